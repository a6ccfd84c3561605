/* The raft driver on a real loop with real files: three members in one process, messages handed
 * over in memory. Protocol behaviour is tested in tests/unit/raft and the simulator; here it is
 * what the driver adds: durable restarts, outcomes, snapshots on disk, graceful and forced ends. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/list.h"
#include "node/cluster/raft_driver.h"

#define MEMBERS 4

struct mail {
    struct list link;
    raft_node_id from, to;
    size_t len;
    uint8_t bytes[];
};

struct member {
    struct world *world;
    raft_node_id id;
    struct raft_driver *driver; /* NULL = down */
    uv_prepare_t prepare;
    char dir[64];
    uint64_t sum, count; /* the state machine: what was applied, folded */
    raft_index applied;
    bool is_cut_off, failed, stopped;
    unsigned restores;
};

struct world {
    uv_loop_t loop;
    uv_timer_t guard; /* ends a test that hangs */
    uv_idle_t courier;
    struct list mail;
    struct member members[MEMBERS];
    uint64_t snapshot_entries;
    char root[32];
};

static uint64_t fold(uint64_t sum, struct slice data)
{
    for (size_t i = 0; i < data.len; i++)
        sum = sum * 31 + data.ptr[i];
    return sum;
}

static int on_apply(void *ctx, raft_index index, raft_term term, struct slice data)
{
    struct member *m = ctx;

    (void)term;
    assert_int_equal(index, m->applied + 1);
    m->applied = index;
    if (data.len > 0) {
        m->sum = fold(m->sum, data);
        m->count++;
    }
    return (int)data.len;
}

static void on_applied(void *ctx, raft_index index)
{
    struct member *m = ctx;

    if (m->world->snapshot_entries != 0)
        raft_driver_durable(m->driver, index);
}

static int save(void *ctx, struct buf *out)
{
    struct member *m = ctx;
    uint64_t state[2] = { m->sum, m->count };
    static uint8_t ballast[600 * 1024]; /* several chunks */
    int rc = buf_append(out, state, sizeof(state));

    return rc < 0 ? rc : buf_append(out, ballast, sizeof(ballast));
}

static int restore(void *ctx, raft_index index, struct slice snapshot)
{
    struct member *m = ctx;
    uint64_t state[2];

    assert_true(snapshot.len > sizeof(state));
    memcpy(state, snapshot.ptr, sizeof(state));
    m->sum = state[0];
    m->count = state[1];
    m->applied = index;
    m->restores++;
    return 0;
}

static void deliver(uv_idle_t *idle);

static void send_mail(void *ctx, raft_node_id to, struct slice bytes)
{
    struct member *m = ctx;
    struct mail *mail = malloc(sizeof(*mail) + bytes.len);

    assert_non_null(mail);
    mail->from = m->id;
    mail->to = to;
    mail->len = bytes.len;
    memcpy(mail->bytes, bytes.ptr, bytes.len);
    list_push_back(&m->world->mail, &mail->link);
    assert_int_equal(uv_idle_start(&m->world->courier, deliver), 0);
}

static void on_failed(void *ctx, int err, const char *why)
{
    struct member *m = ctx;

    print_message("member %d failed: %d %s\n", (int)m->id, err, why);
    m->failed = true;
}

static void deliver(uv_idle_t *idle)
{
    struct world *w = idle->data;
    struct list now, *link;

    assert_int_equal(uv_idle_stop(idle), 0);
    list_init(&now);
    list_splice_back(&now, &w->mail);
    while ((link = list_pop_front(&now)) != NULL) {
        struct mail *mail = CONTAINER_OF(link, struct mail, link);
        struct member *from = &w->members[mail->from - 1], *to = &w->members[mail->to - 1];

        if (to->driver != NULL && !to->is_cut_off && !from->is_cut_off)
            assert_int_equal(
                raft_driver_receive(to->driver, mail->from, slice_of(mail->bytes, mail->len)), 0);
        free(mail);
    }
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened for 20 s");
}

static void remove_tree(const char *path)
{
    struct dirent *entry;
    DIR *dir = opendir(path);

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char child[512];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (unlink(child) < 0)
            remove_tree(child);
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(path);
}

static int open_member(struct world *w, raft_node_id id, bool bootstrap, char *why)
{
    struct member *m = &w->members[id - 1];
    struct raft_conf conf;
    struct raft_driver_config cfg = {
        .loop = &w->loop,
        .dir = m->dir,
        .id = id,
        .election_timeout_ns = 2 * NS_PER_S, /* a busy machine must not depose a leader */
        .snapshot_entries = w->snapshot_entries,
        .machine = { m, on_apply, on_applied, save, restore },
        .ctx = m,
        .send = send_mail,
        .on_failed = on_failed,
    };

    memset(cfg.key, 0x11, sizeof(cfg.key));
    assert_int_equal(id_parse(slice_of_str("0123456789abcdefghijklmno"), &cfg.cluster), 0);
    if (bootstrap) {
        assert_int_equal(raft_conf_init(&conf, id, (struct slice){ 0 }), 0);
        cfg.bootstrap = &conf;
    }
    m->sum = m->count = m->applied = 0; /* the machine is volatile: the log brings it back */
    m->stopped = m->failed = false;
    return raft_driver_open(&cfg, &m->driver, why, 256);
}

static void start_member(struct world *w, raft_node_id id, bool bootstrap)
{
    char why[256];
    int rc = open_member(w, id, bootstrap, why);

    if (rc < 0)
        fail_msg("member %d: %s", (int)id, why);
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    list_init(&w->mail);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->guard), 0);
    assert_int_equal(uv_idle_init(&w->loop, &w->courier), 0);
    w->courier.data = w;
    assert_int_equal(uv_timer_start(&w->guard, on_guard, 20000, 0), 0);
    (void)snprintf(w->root, sizeof(w->root), "/tmp/raft-driver.XXXXXX");
    assert_non_null(mkdtemp(w->root));
    for (unsigned i = 0; i < MEMBERS; i++) {
        w->members[i].world = w;
        w->members[i].id = i + 1;
        (void)snprintf(w->members[i].dir, sizeof(w->members[i].dir), "%s/%u", w->root, i + 1);
    }
}

static void on_stopped(void *ctx)
{
    struct member *m = ctx;

    m->stopped = true;
    m->driver = NULL;
}

static void stop_member(struct world *w, raft_node_id id)
{
    struct member *m = &w->members[id - 1];

    raft_driver_stop(m->driver, on_stopped, m);
    while (!m->stopped)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static void world_deinit(struct world *w)
{
    struct list *link;

    for (unsigned i = 0; i < MEMBERS; i++)
        if (w->members[i].driver != NULL)
            stop_member(w, i + 1);
    uv_close((uv_handle_t *)&w->guard, NULL);
    uv_close((uv_handle_t *)&w->courier, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    while ((link = list_pop_front(&w->mail)) != NULL)
        free(CONTAINER_OF(link, struct mail, link));
    remove_tree(w->root);
}

/* --- Waiting for outcomes. */

struct outcome {
    bool is_done;
    int err, result;
    raft_index index;
};

static void on_done(void *owner, int err, raft_index index, int apply_result)
{
    struct outcome *o = owner;

    assert_false(o->is_done); /* exactly once */
    *o = (struct outcome){ true, err, apply_result, index };
}

static void wait_for(struct world *w, const struct outcome *o)
{
    while (!o->is_done)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static struct member *leader(struct world *w)
{
    for (;;) {
        for (unsigned i = 0; i < MEMBERS; i++) {
            struct raft_status status;

            if (w->members[i].driver == NULL || w->members[i].is_cut_off)
                continue;
            raft_driver_status(w->members[i].driver, &status);
            if (status.role == RAFT_LEADER)
                return &w->members[i];
        }
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

/* Proposes until a leader takes it; the outcome is a success. */
static void put(struct world *w, const char *text)
{
    struct outcome o = { 0 };

    do {
        o = (struct outcome){ 0 };
        raft_driver_propose(leader(w)->driver, slice_of_str(text), on_done, &o);
        assert_false(o.is_done); /* never inside the call */
        wait_for(w, &o);
    } while (o.err == ERR_NOT_LEADER || o.err == ERR_UNAVAILABLE);
    assert_int_equal(o.err, 0);
    assert_int_equal(o.result, strlen(text));
}

static void add_voter(struct world *w, raft_node_id id)
{
    struct raft_conf_op op = { .type = RAFT_ADD_VOTER, .id = id };
    struct outcome o;

    do {
        o = (struct outcome){ 0 };
        raft_driver_change(leader(w)->driver, &op, 1, on_done, &o);
        wait_for(w, &o);
    } while (o.err == ERR_UNAVAILABLE || o.err == ERR_CONFLICT);
    assert_int_equal(o.err, 0);
}

static void wait_applied(struct world *w, const struct member *m, uint64_t count)
{
    while (m->count < count)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static bool is_voter_everywhere(struct world *w, raft_node_id id)
{
    const struct raft_member *m = raft_conf_find(raft_driver_conf(leader(w)->driver), id);

    return m != NULL && (m->flags & RAFT_VOTER) != 0 && !raft_driver_conf(leader(w)->driver)->joint;
}

static void three_members(struct world *w)
{
    start_member(w, 1, true);
    for (raft_node_id id = 2; id <= 3; id++) {
        start_member(w, id, false);
        add_voter(w, id);
        while (!is_voter_everywhere(w, id))
            (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

/* --- Tests. */

static void test_a_single_member_applies_and_remembers(void **state)
{
    struct world w;
    uint64_t sum;

    (void)state;
    world_init(&w);
    start_member(&w, 1, true);
    put(&w, "alpha");
    put(&w, "beta");
    sum = w.members[0].sum;
    stop_member(&w, 1);
    start_member(&w, 1, true); /* the bootstrap of a log that has something is ignored */
    wait_applied(&w, &w.members[0], 2);
    assert_int_equal(w.members[0].sum, sum);
    put(&w, "gamma");
    world_deinit(&w);
}

/* A leader that is told to stop hands over first, and whoever asked it learns what came of it. */
static void test_three_members_agree_and_survive_the_leader(void **state)
{
    struct outcome o[10] = { 0 };
    size_t taken = 0;
    struct world w;
    struct member *old;

    (void)state;
    world_init(&w);
    three_members(&w);
    for (unsigned i = 0; i < 50; i++)
        put(&w, "value");
    old = leader(&w);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        raft_driver_propose(old->driver, slice_of_str("last"), on_done, &o[i]);
        if (i == ARRAY_LEN(o) / 2)
            (void)uv_run(&w.loop, UV_RUN_NOWAIT); /* these are in its log, the others are not yet */
    }
    stop_member(&w, old->id);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        assert_true(o[i].err == 0 || o[i].err == ERR_UNAVAILABLE || o[i].err == ERR_NOT_LEADER);
        taken += o[i].err == 0;
    }
    assert_in_range(taken, ARRAY_LEN(o) / 2 + 1, ARRAY_LEN(o));
    put(&w, "after");
    start_member(&w, old->id, false);
    for (unsigned i = 0; i < 3; i++)
        wait_applied(&w, &w.members[i], 51 + taken);
    assert_int_equal(w.members[0].sum, w.members[1].sum);
    assert_int_equal(w.members[1].sum, w.members[2].sum);
    world_deinit(&w);
}

static void test_reads_wait_for_what_was_acknowledged(void **state)
{
    struct outcome o = { 0 };
    struct world w;

    (void)state;
    world_init(&w);
    three_members(&w);
    put(&w, "x");
    for (unsigned i = 0; i < 3; i++) {
        o = (struct outcome){ 0 };
        raft_driver_read(w.members[i].driver, on_done, &o);
        wait_for(&w, &o);
        assert_int_equal(o.err, 0);
        assert_int_equal(w.members[i].count, 1);
        assert_true(o.index <= w.members[i].applied);
    }
    world_deinit(&w);
}

static void test_a_follower_refuses_proposals(void **state)
{
    struct outcome o = { 0 };
    struct world w;
    raft_node_id other;

    (void)state;
    world_init(&w);
    three_members(&w);
    other = leader(&w)->id % 3 + 1;
    raft_driver_propose(w.members[other - 1].driver, slice_of_str("no"), on_done, &o);
    wait_for(&w, &o);
    assert_int_equal(o.err, ERR_NOT_LEADER);
    world_deinit(&w);
}

/* Taken by a leader that is then cut off: neither success nor failure may be claimed. */
static void test_a_lost_leader_answers_unknown(void **state)
{
    struct outcome o = { 0 };
    struct world w;
    struct member *old;

    (void)state;
    world_init(&w);
    three_members(&w);
    put(&w, "x");
    old = leader(&w);
    old->is_cut_off = true;
    raft_driver_propose(old->driver, slice_of_str("?"), on_done, &o);
    wait_for(&w, &o);
    assert_int_equal(o.err, ERR_UNKNOWN_OUTCOME);
    put(&w, "y");
    old->is_cut_off = false;
    wait_applied(&w, old, 2);
    for (unsigned i = 0; i < 3; i++)
        wait_applied(&w, &w.members[i], 2);
    assert_int_equal(w.members[0].sum, w.members[1].sum);
    assert_int_equal(w.members[1].sum, w.members[2].sum);
    world_deinit(&w);
}

static void test_stopping_answers_everything_that_is_open(void **state)
{
    struct outcome o[20] = { 0 }, late[3] = { 0 };
    struct world w;

    (void)state;
    world_init(&w);
    start_member(&w, 1, true);
    put(&w, "x");
    for (size_t i = 0; i < ARRAY_LEN(o); i++)
        raft_driver_propose(w.members[0].driver, slice_of_str("z"), on_done, &o[i]);
    raft_driver_stop(w.members[0].driver, on_stopped, &w.members[0]);
    for (size_t i = 0; !w.members[0].stopped; i++) { /* also what comes while it stops */
        if (i < ARRAY_LEN(late))
            raft_driver_propose(w.members[0].driver, slice_of_str("l"), on_done, &late[i]);
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    }
    assert_true(late[0].is_done);
    assert_int_equal(late[0].err, ERR_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        assert_true(o[i].is_done);
        assert_true(o[i].err == 0 || o[i].err == ERR_UNKNOWN_OUTCOME ||
                    o[i].err == ERR_UNAVAILABLE);
    }
    world_deinit(&w);
}

/* A member that is behind the compacted log fetches the state, and still has it after a restart
 * although its own machine never wrote it down. */
static void test_a_snapshot_is_fetched_installed_and_durable(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.snapshot_entries = 20;
    three_members(&w);
    for (unsigned i = 0; i < 200; i++)
        put(&w, "value");
    start_member(&w, 4, false);
    add_voter(&w, 4);
    wait_applied(&w, &w.members[3], 200);
    assert_int_equal(w.members[3].restores, 1);
    put(&w, "more");
    wait_applied(&w, &w.members[3], 201);
    stop_member(&w, 4);
    start_member(&w, 4, false);
    assert_int_equal(w.members[3].restores, 2); /* from its file, before it hears of anyone */
    wait_applied(&w, &w.members[3], 201);
    assert_int_equal(w.members[3].sum, leader(&w)->sum);
    world_deinit(&w);
}

/* Nobody knows what is on a disk that refused a write: no more answers but "unknown", and the
 * program is told to stop. */
static void test_a_failed_write_is_the_end(void **state)
{
    struct rlimit none = { 0 }, before;
    struct outcome o = { 0 }, later = { 0 };
    struct world w;

    (void)state;
    world_init(&w);
    start_member(&w, 1, true);
    put(&w, "x");
    assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    raft_driver_propose(w.members[0].driver, slice_of_str("y"), on_done, &o);
    wait_for(&w, &o);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(o.err, ERR_UNKNOWN_OUTCOME);
    assert_true(w.members[0].failed);
    raft_driver_propose(w.members[0].driver, slice_of_str("z"), on_done, &later);
    wait_for(&w, &later);
    assert_int_equal(later.err, ERR_UNAVAILABLE);
    world_deinit(&w);
}

static void test_a_second_driver_on_one_directory_is_refused(void **state)
{
    struct world w;
    char why[256];

    (void)state;
    world_init(&w);
    start_member(&w, 1, true);
    memcpy(w.members[1].dir, w.members[0].dir, sizeof(w.members[1].dir));
    assert_int_equal(open_member(&w, 2, false, why), -EWOULDBLOCK);
    assert_true(strstr(why, w.members[0].dir) != NULL);
    world_deinit(&w);
}

static void test_another_nodes_log_is_refused(void **state)
{
    struct world w;
    char why[256];

    (void)state;
    world_init(&w);
    start_member(&w, 1, true);
    put(&w, "x");
    stop_member(&w, 1);
    memcpy(w.members[1].dir, w.members[0].dir, sizeof(w.members[1].dir));
    assert_int_equal(open_member(&w, 2, false, why), ERR_WRONG_CLUSTER);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_single_member_applies_and_remembers),
        cmocka_unit_test(test_three_members_agree_and_survive_the_leader),
        cmocka_unit_test(test_reads_wait_for_what_was_acknowledged),
        cmocka_unit_test(test_a_follower_refuses_proposals),
        cmocka_unit_test(test_a_lost_leader_answers_unknown),
        cmocka_unit_test(test_stopping_answers_everything_that_is_open),
        cmocka_unit_test(test_a_snapshot_is_fetched_installed_and_durable),
        cmocka_unit_test(test_a_failed_write_is_the_end),
        cmocka_unit_test(test_a_second_driver_on_one_directory_is_refused),
        cmocka_unit_test(test_another_nodes_log_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
