/* A fault is a row of a table: how many seeds have it, and what it does to the node drawn. */
#include "support_swarm.h"

#define HOUR          (3600 * NS_PER_S)
#define DOUBLED_PAUSE (60 * NS_PER_S) /* so long a node waits to outbid its double again */

/* Sizes: most groups are small, because what is wrong shows there first and a small group is a
 * cheap try; three seeds in a hundred have up to 41, one in a thousand up to 200 members. */
static unsigned draw_size(struct prng *p)
{
    if (prng_chance(p, 0.001))
        return 42 + (unsigned)prng_below(p, 159);
    return 2 + (unsigned)prng_below(p, prng_chance(p, 0.03) ? 40 : 9);
}

static void draw_slowness(struct world_config *cfg, struct prng *p)
{
    cfg->slow_count = (unsigned)prng_below(p, cfg->node_count);
    cfg->stall_min = NS_PER_MS;
    cfg->stall_max = prng_range(p, 10 * NS_PER_MS, 5 * NS_PER_S);
    cfg->awake_min = NS_PER_MS;
    cfg->awake_max = prng_range(p, 10 * NS_PER_MS, 3 * NS_PER_S);
    cfg->work_time = prng_chance(p, 0.5) ? 0 : NS_PER_MS;
}

static void draw_config(struct world_config *cfg, uint64_t seed, struct prng *p)
{
    world_config_init(cfg);
    cfg->seed = seed;
    cfg->node_count = draw_size(p);
    cfg->contact_count = 1 + (unsigned)prng_below(p, 3);
    cfg->loss = prng_chance(p, 0.5) ? 0 : 0.3 * (double)prng_below(p, 100) / 100;
    cfg->delay_max =
        prng_range(p, NS_PER_MS, prng_chance(p, 0.2) ? 300 * NS_PER_MS : 5 * NS_PER_MS);
    cfg->join_spread = prng_below(p, 2 * NS_PER_S);
    cfg->meta_len =
        prng_chance(p, 0.2) ? prng_below(p, GOSSIP_META_LEN_MAX + 1) : prng_below(p, 200);
    cfg->clock_drift_ppm = prng_chance(p, 0.2) ? 20000 : 0;
    if (prng_chance(p, 0.3))
        draw_slowness(cfg, p);
}

/* --- the kinds of faults */

static void disturb(struct swarm *s, unsigned i)
{
    ledger_disturb(s->ledger, i, world_now(s->world));
}

static bool is_up(struct swarm *s, unsigned i)
{
    return world_node_at(s->world, i)->up;
}

static unsigned draw_node(struct swarm *s)
{
    return (unsigned)prng_below(&s->prng, s->cfg.node_count);
}

static void crash(struct swarm *s, unsigned i)
{
    world_crash(s->world, i);
}

static void restart(struct swarm *s, unsigned i)
{
    if (is_up(s, i))
        return;
    world_restart(s->world, i);
    disturb(s, i);
}

static void restart_forgetful(struct swarm *s, unsigned i)
{
    world_crash(s->world, i);
    world_restart_forgetful(s->world, i);
    disturb(s, i);
}

/* A power failure, or an upgrade that was not patient. */
static void restart_all(struct swarm *s, unsigned i)
{
    for (unsigned k = 0; k < s->cfg.node_count; k++)
        world_crash(s->world, k);
    if (prng_chance(&s->prng, 0.5))
        world_run(s->world, world_now(s->world) + prng_below(&s->prng, 10 * NS_PER_S));
    for (unsigned k = 0; k < s->cfg.node_count; k++)
        restart(s, (i + k) % s->cfg.node_count);
}

static void part(struct swarm *s, unsigned i)
{
    world_set_group(s->world, i, (unsigned)prng_below(&s->prng, 2));
    disturb(s, i);
}

static void block(struct swarm *s, unsigned i)
{
    world_block(s->world, i, draw_node(s));
}

static void stall(struct swarm *s, unsigned i)
{
    mono_ns t = prng_below(&s->prng, 4 * NS_PER_S);

    if (!is_up(s, i))
        return;
    world_stall(s->world, i, t);
    ledger_disturb(s->ledger, i, world_now(s->world) + t);
}

static void change_meta(struct swarm *s, unsigned i)
{
    uint8_t meta[64] = { (uint8_t)prng_u64(&s->prng), 1 };

    if (is_up(s, i))
        world_set_meta(s->world, i, slice_of(meta, prng_below(&s->prng, sizeof(meta))));
}

/* Two that both moved while they were apart can only find each other through others, who need not
 * be there: nothing is demanded of a node that has moved. Contacts stay, as one address must; no
 * two ever move to the same. */
static void move(struct swarm *s, unsigned i)
{
    if (i < s->cfg.contact_count || !is_up(s, i))
        return;
    world_move(s->world, i, s->cfg.node_count * (1 + (unsigned)prng_below(&s->prng, 50)) + i);
    ledger_disturb(s->ledger, i, MONO_NEVER);
}

static void leave(struct swarm *s, unsigned i)
{
    if (!is_up(s, i) || prng_chance(&s->prng, 0.8))
        return;
    world_leave(s->world, i);
    world_run(s->world, world_now(s->world) + NS_PER_S);
    world_crash(s->world, i);
}

static void claim_addr(struct swarm *s, unsigned i)
{
    unsigned victim = draw_node(s);

    if (s->claimed != UINT32_MAX || i == victim || !is_up(s, i))
        return;
    s->claimed = i;
    world_claim_addr(s->world, i, world_node_at(s->world, victim)->addr);
    ledger_disturb(s->ledger, i, MONO_NEVER);
    ledger_disturb(s->ledger, victim, MONO_NEVER);
}

static void impersonate(struct swarm *s, unsigned i)
{
    unsigned victim = draw_node(s);

    if (s->doubled || i == victim)
        return;
    s->doubled = true;
    world_impersonate(s->world, i, victim);
    ledger_disturb(s->ledger, i, MONO_NEVER);
    ledger_disturb(s->ledger, victim, MONO_NEVER);
}

static void jump_clock(struct swarm *s, unsigned i)
{
    if (prng_chance(&s->prng, 0.3)) {
        mono_ns back = prng_below(&s->prng, 3 * NS_PER_S);

        world_jump_clock(s->world, i, -(int64_t)back);
        ledger_disturb(s->ledger, i, world_now(s->world) + back);
    } else {
        world_jump_clock(s->world, i, (int64_t)prng_below(&s->prng, HOUR));
        disturb(s, i);
    }
}

static void rotate(struct swarm *s, unsigned i)
{
    for (unsigned k = 0; k < s->cfg.node_count; k++) {
        if (world_rotate(s->world, (i + k) % s->cfg.node_count) && prng_chance(&s->prng, 0.3))
            return; /* the others have it only later */
    }
}

static const struct fault {
    double share; /* of the seeds that have this kind */
    void (*cause)(struct swarm *s, unsigned index);
} faults[] = {
    { 0.5, crash },       { 0.8, restart },           { 0.4, part },       { 0.3, block },
    { 0.3, stall },       { 0.4, change_meta },       { 0.2, move },       { 0.2, leave },
    { 0.1, claim_addr },  { 0.1, impersonate },       { 0.2, jump_clock }, { 0.2, rotate },
    { 0.1, restart_all }, { 0.1, restart_forgetful },
};

/* --- */

void swarm_init(struct swarm *s, uint64_t seed)
{
    *s = (struct swarm){ .claimed = UINT32_MAX };
    prng_init(&s->prng, seed);
    draw_config(&s->cfg, seed, &s->prng);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        s->kinds |= (unsigned)prng_chance(&s->prng, faults[i].share) << i;
    s->ledger = ledger_new(&s->cfg);
    s->world = world_new(&s->cfg);
    assert_non_null(s->world);
    world_run(s->world, s->cfg.join_spread + NS_PER_MS);
}

void swarm_deinit(struct swarm *s)
{
    world_free(s->world);
    ledger_free(s->ledger);
}

/* Seconds, sometimes a minute, and for a few small groups hours. */
static mono_ns draw_pause(struct swarm *s)
{
    if (s->cfg.node_count <= 5 && prng_chance(&s->prng, 0.0005))
        return prng_below(&s->prng, 3 * HOUR);
    return prng_below(&s->prng, prng_chance(&s->prng, 0.04) ? 60 * NS_PER_S : 3 * NS_PER_S);
}

void swarm_disturb(struct swarm *s)
{
    size_t kind;
    unsigned i;

    world_run(s->world, world_now(s->world) + draw_pause(s));
    kind = prng_below(&s->prng, ARRAY_LEN(faults));
    i = draw_node(s);
    if ((s->kinds >> kind & 1) != 0)
        faults[kind].cause(s, i);
}

void swarm_heal(struct swarm *s)
{
    mono_ns awake = world_now(s->world);

    world_heal(s->world);
    for (unsigned i = 0; i < s->cfg.node_count; i++) {
        struct world_node *n = world_node_at(s->world, i);

        n->slow = false;
        if (n->identity != i)
            world_unmask(s->world, i);
        if (!n->up)
            world_restart(s->world, i);
        world_move(s->world, i, n->addr); /* says so again, if it had claimed another */
        awake = MAX(awake, n->stalled_until);
    }
    if (s->doubled)
        awake += DOUBLED_PAUSE;
    world_run(s->world, awake + NS_PER_MS); /* the last stalls are over */
}
