/* chaos/sim/net.c - Paths and packets. */
#include "chaos/sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct packet {
    struct sim_net *net;
    unsigned from, to;
    size_t len;
    uint8_t bytes[];
};

void sim_net_init(struct sim_net *n, struct sim_clock *clock, struct prng prng,
                  sim_net_deliver *deliver, void *ctx)
{
    memset(n, 0, sizeof(*n));
    n->clock = clock;
    n->prng = prng;
    n->deliver = deliver;
    n->ctx = ctx;
    n->delay_min = 50 * NS_PER_US;
    n->delay_mean = 200 * NS_PER_US;
}

static void arrive(void *ctx, uint64_t arg)
{
    struct packet *p = ctx;

    (void)arg;
    p->net->deliver(p->net->ctx, p->from, p->to, slice_of(p->bytes, p->len));
    free(p);
}

/* Around the mean, and now and then twenty times as long, as networks do. */
static mono_ns draw_delay(struct sim_net *n)
{
    mono_ns spread = prng_below(&n->prng, 2 * (n->delay_mean - n->delay_min) + 1);

    return n->delay_min + (prng_below(&n->prng, 100) == 0 ? 20 * spread : spread);
}

static void launch(struct sim_net *n, unsigned from, unsigned to, struct slice bytes)
{
    struct packet *p = malloc(sizeof(*p) + bytes.len);
    mono_ns at = n->clock->now + draw_delay(n);

    CHECK(p != NULL);
    *p = (struct packet){ .net = n, .from = from, .to = to, .len = bytes.len };
    memcpy(p->bytes, bytes.ptr, bytes.len);
    if (at < n->clogged_until[from][to])
        at = n->clogged_until[from][to];
    sim_clock_at(n->clock, at, arrive, p, 0);
}

void sim_net_send(struct sim_net *n, unsigned from, unsigned to, struct slice bytes)
{
    n->sent++;
    if (n->cut[from][to] || prng_chance(&n->prng, n->loss)) {
        n->lost++;
        return;
    }
    launch(n, from, to, bytes);
    if (prng_chance(&n->prng, n->repeat))
        launch(n, from, to, bytes);
}

void sim_net_cut(struct sim_net *n, unsigned from, unsigned to)
{
    n->cut[from][to] = true;
}

void sim_net_cut_both(struct sim_net *n, unsigned a, unsigned b)
{
    n->cut[a][b] = true;
    n->cut[b][a] = true;
}

void sim_net_clog(struct sim_net *n, unsigned from, unsigned to, mono_ns until)
{
    n->clogged_until[from][to] = until;
}

void sim_net_partition(struct sim_net *n, const unsigned *group, unsigned count)
{
    for (unsigned a = 0; a < count; a++)
        for (unsigned b = 0; b < count; b++)
            n->cut[a][b] = group[a] != group[b];
}

void sim_net_heal(struct sim_net *n)
{
    memset(n->cut, 0, sizeof(n->cut));
    memset(n->clogged_until, 0, sizeof(n->clogged_until));
}
