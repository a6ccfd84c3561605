/* chaos/sim/cluster_world.c - Options, the birth of a cluster, the two phases, the minimiser. */
#include "chaos/sim/cluster_world.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "chaos/sim/cluster_sim.h"

#define BIRTH_S    60 /* from the first daemon to a cluster of all computers */
#define LIVENESS_S 120

/* Each seed leaves out many kinds of fault: the presence of one hides what others would find
 * (Groce et al., "Swarm Testing", ISSTA 2012). */
static uint64_t maybe(struct prng *p, double chance, uint64_t low, uint64_t high)
{
    bool present = prng_chance(p, chance);
    uint64_t value = prng_range(p, low, high); /* drawn either way: streams stay aligned */

    return present ? value : 0;
}

void cluster_options_draw(struct cluster_options *o, uint64_t seed)
{
    struct prng root, p;

    memset(o, 0, sizeof(*o));
    prng_init(&root, seed);
    p = prng_fork(&root, "options");
    o->seed = seed;
    o->computers = prng_range(&p, 3, 5);
    o->managers = prng_chance(&p, 0.8) ? 3 : 1;
    o->services = prng_range(&p, 1, 5);
    o->duration_ms = prng_range(&p, 5000, 40000);
    o->think_ms = prng_range(&p, 50, 4000);
    o->delay_us = prng_chance(&p, 0.8) ? prng_range(&p, 100, 1000) : prng_range(&p, 1000, 20000);
    o->loss = maybe(&p, 0.5, 1, 100);
    o->repeat = maybe(&p, 0.4, 1, 100);
    o->disk_us = prng_chance(&p, 0.8) ? prng_range(&p, 30, 300) : prng_range(&p, 300, 5000);
    o->fault_gap_ms = prng_range(&p, 300, 5000);
    o->partition = maybe(&p, 0.4, 1, 10);
    o->one_way = maybe(&p, 0.3, 1, 10);
    o->kill = maybe(&p, 0.5, 1, 10);
    o->kill_leader = maybe(&p, 0.4, 1, 10);
    o->power = maybe(&p, 0.4, 1, 10);
    o->restart = maybe(&p, 0.3, 1, 10);
    o->pause = maybe(&p, 0.3, 1, 10);
    o->container = maybe(&p, 0.6, 1, 20);
    o->drain = maybe(&p, 0.4, 1, 5);
    o->roles = maybe(&p, 0.3, 1, 5);
    o->bad_images = maybe(&p, 0.4, 50, 400);
}

#define COLUMN(name, text) { #name, offsetof(struct cluster_options, name) },
static const struct {
    const char *name;
    size_t offset;
} columns[] = { CLUSTER_OPTIONS(COLUMN){ "skip", offsetof(struct cluster_options, skip) } };

static uint64_t *column(struct cluster_options *o, size_t i)
{
    return (uint64_t *)(void *)((uint8_t *)o + columns[i].offset);
}

bool cluster_options_set(struct cluster_options *o, const char *name, uint64_t value)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (strcmp(columns[i].name, name) == 0) {
            *column(o, i) = value;
            return true;
        }
    return false;
}

void cluster_options_print(const struct cluster_options *o, FILE *f)
{
    struct cluster_options drawn, mine = *o;

    cluster_options_draw(&drawn, o->seed);
    fprintf(f, "--seed %" PRIu64, o->seed);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (*column(&drawn, i) != *column(&mine, i))
            fprintf(f, " --set %s=%" PRIu64, columns[i].name, *column(&mine, i));
    fputc('\n', f);
}

/* --- Everything that is random comes from the seed, also what libsodium gives */

static struct prng sodium_prng;

static const char *random_name(void)
{
    return "simulation";
}

static uint32_t random_word(void)
{
    return (uint32_t)prng_u64(&sodium_prng);
}

static void random_bytes(void *buf, const size_t len)
{
    prng_bytes(&sodium_prng, buf, len);
}

static struct randombytes_implementation simulated_random = {
    .implementation_name = random_name,
    .random = random_word,
    .buf = random_bytes,
};

/* --- The log of the programs, as lines of the trace */

#define LOG_DATE_LEN 21 /* the trace has its own clock */

static struct world *logged;

static void on_log(void *arg, enum log_level level, struct slice line)
{
    struct sim_loop *l = loop_enter(NULL);

    (void)arg;
    (void)level;
    loop_leave(l);
    if (logged != NULL && l != NULL && line.len > LOG_DATE_LEN)
        sim_trace_line(&logged->trace, logged->clock.now, "%u: log %.*s",
                       computer_of_loop(&l->uv)->index, (int)(line.len - LOG_DATE_LEN) - 1,
                       (const char *)line.ptr + LOG_DATE_LEN);
}

static wall_ns log_wall(void *arg)
{
    (void)arg;
    return 0;
}

static mono_ns log_mono(void *arg)
{
    (void)arg;
    return logged == NULL ? 0 : logged->clock.now;
}

static void set_log(struct world *w)
{
    struct log_config cfg = {
        .sink = on_log, .wall_clock = log_wall, .mono_clock = log_mono, .level = LOG_LEVEL_INFO
    };

    logged = w;
    log_setup(w != NULL && w->trace.text != NULL ? &cfg : NULL);
}

/* --- The world */

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->result.failed || w->over)
        return;
    w->result.failed = true;
    w->result.failed_at = w->clock.now;
    va_start(args, format);
    (void)vsnprintf(w->result.violation, sizeof(w->result.violation), format, args);
    va_end(args);
    sim_trace_line(&w->trace, w->clock.now, "BROKEN: %s", w->result.violation);
}

struct computer *computer_by_id(const struct world *w, const struct id *id)
{
    union {
        const struct computer *shared;
        struct computer *own; /* who asks holds the world */
    } at = { .shared = w->computers };

    for (unsigned i = 0; i < w->computer_count; i++)
        if (id_equal(&at.own[i].id, id))
            return &at.own[i]; /* cppcheck-suppress returnDanglingLifetime ; of the world */
    return NULL;
}

static struct id fresh_id(struct prng *p)
{
    uint8_t bits[ID_RANDOM_LEN];

    prng_bytes(p, bits, sizeof(bits));
    return id_from_random(bits);
}

static void describe(struct computer *c)
{
    struct node_description *d = &c->description;
    char text[32];

    (void)snprintf(text, sizeof(text), "h%u", c->index);
    CHECK(str_set(&d->hostname, text) == 0);
    (void)snprintf(text, sizeof(text), "10.0.0.%u:2377", c->index + 1);
    CHECK(str_list_append(&d->link_addrs, text) == 0);
    (void)snprintf(text, sizeof(text), "10.0.0.%u:7946", c->index + 1);
    CHECK(str_set(&d->gossip_addr, text) == 0);
    d->resources.nano_cpus = 4 * (int64_t)NS_PER_S;
    d->resources.memory_bytes = INT64_C(8) << 30;
}

static void computer_init(struct world *w, unsigned index)
{
    struct computer *c = &w->computers[index];
    uint8_t seed[crypto_sign_SEEDBYTES] = { 7, (uint8_t)index };

    c->world = w;
    c->index = index;
    c->prng = prng_fork_u64(&w->lives, index);
    c->id = fresh_id(&c->prng);
    (void)crypto_sign_seed_keypair(c->public_key, c->secret_key, seed); /* cannot fail */
    c->powered = true;
    c->raft_disk = disk_mem_new(256 * MIB);
    CHECK(c->raft_disk != NULL);
    omap_init(&c->stored);
    omap_init(&c->sandboxes);
    omap_init(&c->images);
    list_init(&c->containers);
    buf_init(&c->assignment, 64 * MIB);
    describe(c);
}

static struct world *world_new(const struct cluster_options *o)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng root;

    CHECK(w != NULL);
    w->options = *o;
    prng_init(&root, o->seed);
    w->adversary = prng_fork(&root, "adversary");
    w->workload = prng_fork(&root, "workload");
    w->lives = prng_fork(&root, "lives");
    w->links_prng = prng_fork(&root, "links");
    sodium_prng = prng_fork(&root, "sodium");
    sim_clock_init(&w->clock);
    w->clock.now = NS_PER_S; /* clocks of machines do not start at 0 */
    sim_trace_init(&w->trace, o->text);
    sim_net_init(&w->net, &w->clock, prng_fork(&root, "net"), gossip_deliver, w);
    w->net.delay_mean = MAX(o->delay_us * NS_PER_US, w->net.delay_min);
    list_init(&w->conns);
    w->cluster = fresh_id(&w->lives);
    w->computer_count = (unsigned)MIN(MAX(o->computers, UINT64_C(1)), (uint64_t)COMPUTERS_MAX);
    for (unsigned i = 0; i < w->computer_count; i++)
        computer_init(w, i);
    checks_init(w);
    operators_init(w);
    set_log(w);
    return w;
}

static void world_free(struct world *w)
{
    w->over = true;
    daemon_deinit_all(w);
    for (struct heap_node *n; (n = heap_min(&w->clock.heap)) != NULL;)
        (void)sim_clock_step(&w->clock, n->deadline); /* what is under way frees itself */
    sim_clock_deinit(&w->clock);
    conns_deinit(w);
    for (unsigned i = 0; i < w->computer_count; i++) {
        struct computer *c = &w->computers[i];

        containers_deinit(c);
        sandboxes_clear(c);
        omap_deinit(&c->images);
        disks_deinit(c);
        fields_deinit(&node_description_type, &c->description);
    }
    daemons_free(w);
    operators_deinit(w);
    checks_deinit(w);
    set_log(NULL);
    free(w);
}

static void run_until(struct world *w, mono_ns until)
{
    while (!w->result.failed && sim_clock_step(&w->clock, until))
        ;
}

#define KEY_PERIOD_NS (INT64_C(2) * 1000000000) /* short, so that faults meet every step */

/* --- Birth: init on the first computer, then joins, all before anything goes wrong */

static struct node make_node(const struct computer *c, bool manager)
{
    struct node n = { .id = c->id };

    n.spec.role = n.role = manager ? ROLE_MANAGER : ROLE_WORKER;
    memcpy(n.identity_key, c->public_key, sizeof(n.identity_key));
    n.static_key[0] = (uint8_t)(c->index + 1);
    CHECK(fields_copy(&node_description_type, &c->description, &n.description) == 0);
    return n;
}

static int admit_first(struct world *w, struct admit *a)
{
    struct computer *c = &w->computers[0];
    struct node n = make_node(c, true);
    struct cluster cluster = { .id = w->cluster,
                               .subnet_size = 24,
                               .data_port = 7947,
                               .epoch = 1,
                               .gossip_key_period = KEY_PERIOD_NS };
    struct gossip_secret *secret = LIST_ADD(&cluster.gossip_keys);
    int rc;

    CHECK(secret != NULL && str_set(&cluster.spec.name, "default") == 0);
    secret->epoch = 1;
    CHECK(bytes_set(&secret->key, slice_of(c->secret_key, GOSSIP_KEY_LEN)) == 0);
    n.status.state = NODE_READY;
    n.manager = calloc(1, sizeof(*n.manager));
    CHECK(n.manager != NULL);
    n.manager->raft_id = c->member.raft_id;
    n.manager->reachability = REACHABILITY_REACHABLE;
    rc = admit_cluster_init(a, &cluster, &n);
    fields_deinit(&cluster_type, &cluster);
    fields_deinit(&node_type, &n);
    return rc;
}

static int admit_join(struct world *w, struct admit *a, unsigned index)
{
    struct node n = make_node(&w->computers[index], index < w->options.managers);
    int rc = admit_node_join(a, &n);

    fields_deinit(&node_type, &n);
    return rc;
}

static int admit_network(struct admit *a)
{
    struct id id;
    char name[] = "net", driver[] = "overlay";

    return admit_network_create(a, &(struct network_spec){ .name = name, .driver = driver }, &id);
}

static void on_born(void *owner, int err, const struct field_error *why)
{
    struct world *w = owner;

    if (err < 0)
        world_fail(w, "the cluster cannot be made: %s", why->text);
    w->birth_step++;
}

/* 0: the cluster; 1 .. n-1: computer joins; n: the network. */
static void propose_birth(struct world *w, struct daemon *d)
{
    struct transaction t = { 0 };
    struct field_error why = { "" };
    unsigned step = w->birth_step;
    struct sim_loop *before = loop_enter(&d->loop);
    struct admit a;
    int rc;

    manager_admit(d->manager, &a, &t, &why);
    if (step == 0)
        rc = admit_first(w, &a);
    else if (step < w->computer_count)
        rc = admit_join(w, &a, step);
    else
        rc = admit_network(&a);
    if (rc < 0) {
        world_fail(w, "the cluster cannot be made: %s", why.text);
        fields_deinit(&transaction_type, &t);
    } else {
        manager_propose(d->manager, &t, on_born, w);
    }
    loop_leave(before);
    loop_poke(&d->loop);
}

static void await_birth(struct world *w, unsigned step)
{
    mono_ns limit = w->clock.now + BIRTH_S * NS_PER_S;

    while (w->birth_step == step && !w->result.failed) {
        if (w->clock.now > limit)
            world_fail(w, "the cluster cannot be made: step %u has no outcome", step);
        run_until(w, w->clock.now + 5 * NS_PER_MS);
    }
}

static struct daemon *await_leader(struct world *w)
{
    mono_ns limit = w->clock.now + BIRTH_S * NS_PER_S;

    while (leading_daemon(w) == NULL && !w->result.failed) {
        if (w->clock.now > limit)
            world_fail(w, "the cluster cannot be made: nobody leads");
        run_until(w, w->clock.now + 5 * NS_PER_MS);
    }
    return leading_daemon(w);
}

static void settle(struct world *w, mono_ns within, const char *when)
{
    mono_ns limit = w->clock.now + within;
    const char *why = NULL;

    while (!w->result.failed && (why = check_unsettled(w)) != NULL) {
        if (w->clock.now >= limit) {
            world_fail(w, "%s, after %" PRIu64 " s: %s", when, within / NS_PER_S, why);
            return;
        }
        run_until(w, w->clock.now + 50 * NS_PER_MS);
    }
}

static void give_birth(struct world *w)
{
    unsigned steps = w->computer_count + 1;

    w->computers[0].member.raft_id = 0x1001;
    daemon_start(&w->computers[0]);
    for (unsigned step = 0; step < steps && !w->result.failed; step++) {
        struct daemon *d = await_leader(w);

        if (d == NULL)
            return;
        propose_birth(w, d);
        await_birth(w, step);
        if (step > 0 && step < w->computer_count) {
            struct computer *c = &w->computers[step];

            c->member.managers[c->member.manager_count++] = w->computers[0].id;
            daemon_start(c);
        }
    }
    settle(w, BIRTH_S * NS_PER_S, "the cluster is not made");
}

/* --- Phases */

static void on_check(void *ctx, uint64_t arg)
{
    struct world *w = ctx;

    (void)arg;
    if (w->over)
        return;
    check_periodically(w);
    sim_clock_after(&w->clock, 200 * NS_PER_MS, on_check, w, 0);
}

static void demand_liveness(struct world *w)
{
    mono_ns began = w->clock.now;

    adversary_end(w);
    run_until(w, w->clock.now + 10 * NS_PER_S); /* those about to stop, stop and start */
    settle(w, LIVENESS_S * NS_PER_S, "after healing");
    w->result.healed_in = w->clock.now - began;
    operators_stop(w);
    if (!w->result.failed)
        operators_verify(w, leading_daemon(w));
    run_until(w, w->clock.now + 5 * NS_PER_S);
    settle(w, 30 * NS_PER_S, "after resting"); /* and it stays so */
}

void cluster_world_run(const struct cluster_options *o, struct cluster_result *out)
{
    struct world *w;

    CHECK(randombytes_set_implementation(&simulated_random) == 0);
    CHECK(sodium_init() >= 0);
    w = world_new(o);
    give_birth(w);
    w->calm_since = w->clock.now;
    w->net.loss = (double)o->loss / 1000;
    w->net.repeat = (double)o->repeat / 1000;
    on_check(w, 0);
    operators_begin(w);
    adversary_begin(w);
    run_until(w, w->clock.now + o->duration_ms * NS_PER_MS);
    if (!w->result.failed)
        demand_liveness(w);
    w->result.hash = w->trace.hash;
    w->result.events = w->clock.ran;
    w->result.simulated = w->clock.now;
    *out = w->result;
    world_free(w);
}

/* --- Minimising: first whole kinds of fault, then single acts, then size */

static bool still_fails(struct cluster_options *o, const struct cluster_options *candidate,
                        struct cluster_result *result)
{
    struct cluster_result r;

    cluster_world_run(candidate, &r);
    if (!r.failed)
        return false;
    *o = *candidate;
    *result = r;
    return true;
}

static bool lower_columns(struct cluster_options *o, struct cluster_result *result, unsigned *runs)
{
    bool better = false;

    for (size_t i = 0; i < ARRAY_LEN(columns) - 1 && *runs > 0; i++) {
        struct cluster_options candidate = *o;
        uint64_t *value = column(&candidate, i);

        if (columns[i].offset >= offsetof(struct cluster_options, partition))
            *value = 0;
        else if (strcmp(columns[i].name, "loss") == 0 || strcmp(columns[i].name, "repeat") == 0)
            *value = 0;
        else if (strcmp(columns[i].name, "duration_ms") == 0)
            *value = *value * 3 / 4;
        else if (strcmp(columns[i].name, "services") == 0 && *value > 1)
            *value -= 1;
        if (*value == *column(o, i))
            continue;
        --*runs;
        better = still_fails(o, &candidate, result) || better;
    }
    return better;
}

void cluster_minimise(struct cluster_options *o, struct cluster_result *result, unsigned runs)
{
    bool better = true;

    while (better && runs > 0) {
        better = lower_columns(o, result, &runs);
        for (uint64_t act = 0; act < MIN(result->acts, UINT64_C(64)) && runs > 0; act++) {
            struct cluster_options candidate = *o;

            candidate.skip |= UINT64_C(1) << act;
            if (candidate.skip == o->skip)
                continue;
            runs--;
            better = still_fails(o, &candidate, result) || better;
        }
    }
}
