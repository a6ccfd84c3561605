#include "support_ledger.h"

#include <stdlib.h>

struct belief {
    enum gossip_status told;
    mono_ns since;
};

struct ledger {
    unsigned n;
    struct belief *beliefs; /* n for each observer */
    uint64_t *lives;        /* of each observer: what an earlier life was told is forgotten */
    mono_ns *disturbed;     /* by node: until then */
};

static struct belief *row_of(struct ledger *l, struct world *w, unsigned observer)
{
    struct belief *row = &l->beliefs[(size_t)observer * l->n];
    uint64_t life = world_node_at(w, observer)->life;

    if (l->lives[observer] != life) {
        for (unsigned i = 0; i < l->n; i++)
            row[i] = (struct belief){ 0 };
        l->lives[observer] = life;
    }
    return row;
}

static void on_report(void *ctx, struct world *w, unsigned observer, unsigned subject,
                      enum gossip_status status)
{
    struct ledger *l = ctx;
    struct belief *b = &row_of(l, w, observer)[subject];

    if (status == GOSSIP_UNKNOWN)
        return;                            /* only new metadata */
    assert_int_not_equal(b->told, status); /* no news twice */
    *b = (struct belief){ .told = status, .since = world_now(w) };
}

struct ledger *ledger_new(struct world_config *cfg)
{
    struct ledger *l = calloc(1, sizeof(*l));
    unsigned n = cfg->node_count;

    assert_non_null(l);
    l->n = n;
    l->beliefs = calloc((size_t)n * n, sizeof(*l->beliefs));
    l->lives = calloc(n, sizeof(*l->lives));
    l->disturbed = calloc(n, sizeof(*l->disturbed));
    assert_non_null(l->beliefs);
    assert_non_null(l->lives);
    assert_non_null(l->disturbed);
    cfg->on_report = on_report;
    cfg->ctx = l;
    return l;
}

void ledger_free(struct ledger *l)
{
    free(l->beliefs);
    free(l->lives);
    free(l->disturbed);
    free(l);
}

void ledger_disturb(struct ledger *l, unsigned index, mono_ns until)
{
    l->disturbed[index] = MAX(l->disturbed[index], until);
}

void ledger_check_told(struct ledger *l, struct world *w)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct belief *row = row_of(l, w, i);

        for (unsigned k = 0; k < l->n && world_node_at(w, i)->up; k++) {
            if (k != world_node_at(w, i)->identity)
                assert_int_equal(row[k].told, support_status(w, i, k));
        }
    }
}

static bool is_well(struct world *w, unsigned index)
{
    const struct world_node *n = world_node_at(w, index);

    return n->up && !n->slow && n->identity == index;
}

static void check_pair(struct ledger *l, struct world *w, unsigned observer, unsigned subject)
{
    const struct belief *b = &row_of(l, w, observer)[subject];
    mono_ns calm = MAX(l->disturbed[observer], l->disturbed[subject]);

    if (b->told != GOSSIP_UNREACHABLE || !is_well(w, subject) ||
        !world_connected(w, observer, subject) || !world_connected(w, subject, observer))
        return;
    if (world_now(w) > mono_after(MAX(b->since, calm), LEDGER_UNREACHABLE_MAX))
        fail_msg("at %.3f s: %u holds %u for unreachable since %.3f s, undisturbed since %.3f s",
                 (double)world_now(w) / 1e9, observer, subject, (double)b->since / 1e9,
                 (double)calm / 1e9);
}

void ledger_check_reached(struct ledger *l, struct world *w)
{
    for (unsigned i = 0; i < l->n; i++) {
        for (unsigned k = 0; k < l->n && is_well(w, i); k++)
            check_pair(l, w, i, k);
    }
}
