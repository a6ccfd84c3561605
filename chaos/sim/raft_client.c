/* chaos/sim/raft_client.c - Clients: one operation at a time, retried until answered or given up.
 *
 * Writes carry session and sequence, and are retried with the same ones at any member; reads are
 * asked of any member. What is given up stays open: unknown, not failed. */
#include <inttypes.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/raft_sim.h"

static void try_again(struct client *c, mono_ns delay);

void client_init(struct client *c, struct world *w, unsigned index)
{
    *c = (struct client){ .world = w, .index = index };
}

/* Tickets name client and try, so that a late answer to an earlier try is known as such. */
static uint64_t ticket_of(const struct client *c)
{
    return (uint64_t)(c->index + 1) << 48 | c->request;
}

static struct client *find_client(struct world *w, uint64_t ticket)
{
    uint64_t number = ticket >> 48;
    struct client *c;

    if (number == 0 || number > w->options.clients)
        return NULL;
    c = &w->clients[number - 1];
    return ticket_of(c) == ticket && c->state != CLIENT_IDLE ? c : NULL;
}

static void on_think_over(void *ctx, uint64_t arg)
{
    const struct client *c = ctx;

    (void)arg;
    if (!c->world->over)
        client_begin(ctx);
}

static void finish(struct client *c)
{
    struct world *w = c->world;
    mono_ns think = w->options.think_us * NS_PER_US;

    c->state = CLIENT_IDLE;
    c->request++;
    sim_clock_after(&w->clock, prng_below(&w->workload, 2 * think + 1), on_think_over, c, 0);
}

static void begin_op(struct client *c)
{
    struct world *w = c->world;
    struct recorded_op *o;

    c->op = w->op_count++;
    o = &w->ops[c->op];
    c->command.key = (uint8_t)prng_below(&w->workload, MACHINE_KEYS);
    c->command.kind = (enum linear_kind)prng_below(&w->workload, 3);
    c->command.value = ++w->next_value;
    c->command.expected = w->machine.registers[c->command.key]; /* often right */
    c->padding = (size_t)prng_below(&w->workload, w->options.padding + 1);
    *o = (struct recorded_op){ .key = c->command.key };
    o->op = (struct linear_op){
        .kind = c->command.kind,
        .value = c->command.value,
        .expected = c->command.expected,
        .unknown = true, /* until answered */
        .called = w->clock.now,
    };
    if (c->command.kind == LINEAR_READ) {
        w->result.reads++;
    } else {
        w->result.writes++;
        o->session = c->session;
        o->sequence = ++c->sequence;
    }
    c->floor = w->acked_index;
    c->state = CLIENT_WAITING;
}

void client_begin(struct client *c)
{
    struct world *w = c->world;

    if (c->session == 0)
        c->state = CLIENT_OPENING;
    else if (w->op_count == OPS_MAX || c->had_last)
        return;
    else
        begin_op(c);
    c->had_last = w->healing && c->session != 0;
    c->gives_up_at = c->had_last ? MONO_NEVER : w->clock.now + 4 * NS_PER_S;
    try_again(c, 0);
}

static struct host *choose_host(struct client *c)
{
    struct world *w = c->world;
    struct host *h;

    if (prng_chance(&w->workload, 0.6)) /* where it led last time */
        c->target = (unsigned)prng_below(&w->workload, w->host_count);
    h = &w->hosts[c->target];
    for (unsigned i = 0; i < w->host_count; i++)
        if (w->hosts[i].process.up && !w->hosts[i].process.paused &&
            w->hosts[i].seen.role == RAFT_LEADER && prng_chance(&w->workload, 0.8))
            h = &w->hosts[i];
    c->target = h->index;
    return h;
}

static void propose(struct client *c, struct host *h)
{
    uint8_t buf[MACHINE_COMMAND_LEN + 65536];
    struct raft_proposal p = { .type = RAFT_ENTRY_SESSION, .ticket = ticket_of(c) };
    struct raft_event event = { .type = RAFT_PROPOSE };

    if (c->state == CLIENT_WAITING) {
        p.type = RAFT_ENTRY_DATA;
        p.session = c->session;
        p.sequence = c->sequence;
        p.data = slice_of(buf, machine_command_encode(&c->command, c->padding, buf));
    }
    if (!host_has_room(h, 1, p.data.len))
        return;
    event.propose.proposals = &p;
    event.propose.count = 1;
    (void)host_step(h, &event); /* refused: the retry goes elsewhere */
}

static void ask(struct client *c, struct host *h)
{
    struct raft_event event = { .type = RAFT_READ };

    event.read.ticket = ticket_of(c);
    (void)host_step(h, &event); /* answers come in the output */
}

static void on_try(void *ctx, uint64_t arg)
{
    struct client *c = ctx;
    struct world *w = c->world;
    struct host *h;

    if (w->over || c->request != arg || c->state == CLIENT_IDLE)
        return;
    if (w->clock.now >= c->gives_up_at && c->state == CLIENT_WAITING) {
        finish(c); /* the operation stays open */
        return;
    }
    h = choose_host(c);
    c->request++;
    try_again(c, prng_range(&w->workload, 150, 600) * NS_PER_MS);
    if (!h->process.up || h->process.paused)
        return;
    if (c->state == CLIENT_WAITING && c->command.kind == LINEAR_READ)
        ask(c, h);
    else
        propose(c, h);
}

static void try_again(struct client *c, mono_ns delay)
{
    sim_clock_after(&c->world->clock, delay + 100 * NS_PER_US, on_try, c, c->request);
}

/* --- answers */

void client_applied(struct world *w, uint64_t ticket, struct raft_entry_id id, int32_t result)
{
    struct client *c = find_client(w, ticket);
    struct recorded_op *o;

    if (c == NULL)
        return; /* of an earlier try: the client asked again, and its answer will say the same */
    if (c->state == CLIENT_OPENING) {
        c->session = id.index;
        c->sequence = 0;
        finish(c);
        return;
    }
    o = &w->ops[c->op];
    if (result == MACHINE_GONE) {
        c->session = 0; /* the session was forgotten: a new one, and this outcome stays open */
        finish(c);
        return;
    }
    o->op.unknown = false;
    o->op.matched = result == MACHINE_STORED;
    o->op.returned = w->clock.now;
    w->acked_index = MAX(w->acked_index, id.index);
    finish(c);
}

void client_read_done(struct world *w, struct host *h, const struct raft_read_result *r)
{
    struct client *c = find_client(w, r->ticket);
    struct recorded_op *o;

    if (c == NULL)
        return;
    if (r->status != RAFT_READ_OK) {
        try_again(c, 5 * NS_PER_MS);
        return;
    }
    o = &w->ops[c->op];
    if (h->machine.applied.index < c->floor)
        world_fail(w, "stale read: %u answers at %" PRIu64 ", %" PRIu64 " was acknowledged before",
                   h->index, h->machine.applied.index, c->floor);
    o->op.value = h->machine.registers[c->command.key];
    o->op.unknown = false;
    o->op.returned = w->clock.now;
    finish(c);
}

/* The cluster has served it after the last fault. */
bool client_is_done(const struct client *c)
{
    return c->state == CLIENT_IDLE && (c->had_last || c->world->op_count == OPS_MAX);
}
