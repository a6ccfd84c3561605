/* chaos/sim/cluster_disk.c - What survives a process: raft_disk.h over raft/disk_mem.h,
 * store_disk.h and the agent's assignment in memory.
 *
 * An operation of the log takes effect when its time has come, so a crash can come between any
 * two. The copy of the store and the assignment change in one step each, as LMDB's transactions
 * and a renamed file do. A dead process changes nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"
#include "node/agent/host_impl.h"
#include "node/cluster/raft_disk.h"
#include "node/store/store_disk.h"

/* --- The log */

struct lane {
    struct raft_disk *disk;
    uv_work_t req;
    bool busy;
    struct disk_job job;
    size_t next;
    int status;
};

struct raft_disk {
    struct computer *computer;
    struct sim_loop *loop;
    struct raft_disk_events events;
    struct lane lanes[RAFT_DISK_LANES];
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    uv_work_t close;
};

int raft_disk_open(uv_loop_t *loop, const char *dir, const struct raft_disk_events *events,
                   struct raft_disk **out)
{
    struct raft_disk *d = calloc(1, sizeof(*d));

    (void)dir;
    CHECK(d != NULL);
    d->computer = computer_of_loop(loop);
    d->loop = CONTAINER_OF(loop, struct sim_loop, uv);
    d->events = *events;
    for (unsigned i = 0; i < RAFT_DISK_LANES; i++)
        d->lanes[i].disk = d;
    *out = d;
    return 0;
}

struct disk_reader raft_disk_reader(struct raft_disk *d)
{
    return disk_mem_reader(d->computer->raft_disk);
}

int raft_disk_run(struct raft_disk *d, const struct disk_job *job)
{
    return disk_mem_run_job(d->computer->raft_disk, job);
}

static void start_op(struct lane *l);

static void run_op(uv_work_t *req)
{
    struct lane *l = CONTAINER_OF(req, struct lane, req);
    const struct disk_op *op = &l->job.ops[l->next++];

    l->status = l->disk->loop->dead ? 0 : disk_mem_run(l->disk->computer->raft_disk, op);
}

static void after_op(uv_work_t *req, int status)
{
    struct lane *l = CONTAINER_OF(req, struct lane, req);
    struct raft_disk *d = l->disk;

    (void)status;
    if (l->status == 0 && l->next < l->job.op_count) {
        start_op(l);
        return;
    }
    l->busy = false;
    d->events.on_done(d->events.ctx, (unsigned)(l - d->lanes), l->status);
}

static void start_op(struct lane *l)
{
    struct world *w = l->disk->computer->world;
    mono_ns mean = w->options.disk_us * NS_PER_US;

    loop_work(l->disk->loop, 10 * NS_PER_US + prng_below(&l->disk->loop->prng, 2 * mean + 1),
              &l->req, run_op, after_op);
}

void raft_disk_submit(struct raft_disk *d, unsigned lane, const struct disk_job *job)
{
    struct lane *l = &d->lanes[lane];

    CHECK(!l->busy && job->op_count > 0);
    l->busy = true;
    l->job = *job;
    l->next = 0;
    start_op(l);
}

bool raft_disk_is_busy(const struct raft_disk *d, unsigned lane)
{
    return d->lanes[lane].busy;
}

static void nothing(uv_work_t *req)
{
    (void)req;
}

static void after_close(uv_work_t *req, int status)
{
    struct raft_disk *d = CONTAINER_OF(req, struct raft_disk, close);
    void (*on_closed)(void *ctx) = d->on_closed;
    void *ctx = d->closed_ctx;

    (void)status;
    free(d);
    if (on_closed != NULL)
        on_closed(ctx);
}

void raft_disk_close(struct raft_disk *d, void (*on_closed)(void *ctx), void *ctx)
{
    for (unsigned i = 0; i < RAFT_DISK_LANES; i++)
        CHECK(!d->lanes[i].busy);
    d->on_closed = on_closed;
    d->closed_ctx = ctx;
    loop_work(d->loop, 10 * NS_PER_US, &d->close, nothing, after_close);
}

/* --- The copy of the store */

struct store_disk {
    struct computer *computer;
    struct sim_loop *loop;
};

struct batch_row {
    struct list link;
    unsigned kind;
    struct id id;
    struct buf bytes; /* empty: removed */
};

struct store_batch {
    struct list rows;
    uint64_t applied;
    bool replaces;
};

#define ROW_KEY_LEN (1 + ID_LEN)

static struct slice row_key(unsigned kind, const struct id *id, char out[ROW_KEY_LEN])
{
    out[0] = (char)('a' + kind);
    memcpy(out + 1, id->text, ID_LEN);
    return slice_of(out, ROW_KEY_LEN);
}

/* The path does not matter: the loop that runs says whose disk it is. */
int store_disk_open(const char *path, const uint8_t key[STORE_DISK_KEY_LEN],
                    struct store_disk **out, char *why, size_t why_len)
{
    struct store_disk *d = calloc(1, sizeof(*d));
    struct sim_loop *l = loop_enter(NULL);

    (void)path;
    (void)key;
    (void)why;
    (void)why_len;
    loop_leave(l);
    CHECK(d != NULL && l != NULL);
    d->loop = l;
    d->computer = computer_of_loop(&l->uv);
    *out = d;
    return 0;
}

void store_disk_close(struct store_disk *d)
{
    free(d);
}

int store_disk_load(struct store_disk *d, struct store *s, char *why, size_t why_len)
{
    (void)why;
    (void)why_len;
    for (const struct omap_node *n = omap_first(&d->computer->stored); n != NULL;
         n = omap_next(n)) {
        const struct buf *bytes = omap_value(n);
        int rc = store_load_object(s, (unsigned)(omap_key(n).ptr[0] - 'a'), buf_slice(bytes));

        if (rc < 0)
            return rc;
    }
    store_set_applied(s, d->computer->stored_applied);
    return 0;
}

int store_batch_new(struct store_batch **out)
{
    struct store_batch *b = calloc(1, sizeof(*b));

    CHECK(b != NULL);
    list_init(&b->rows);
    *out = b;
    return 0;
}

static void clear_batch(struct store_batch *b)
{
    struct list *link;

    while ((link = list_pop_front(&b->rows)) != NULL) {
        struct batch_row *row = CONTAINER_OF(link, struct batch_row, link);

        buf_deinit(&row->bytes);
        free(row);
    }
}

void store_batch_free(struct store_batch *b)
{
    if (b == NULL)
        return;
    clear_batch(b);
    free(b);
}

static void add_row(struct store_batch *b, unsigned kind, const struct id *id,
                    const struct object *o)
{
    struct batch_row *row = calloc(1, sizeof(*row));

    CHECK(row != NULL);
    row->kind = kind;
    row->id = *id;
    buf_init(&row->bytes, 16 * MIB);
    if (o != NULL)
        CHECK(fields_encode(object_kind_type(kind), o, &row->bytes, NULL) == 0);
    list_push_back(&b->rows, &row->link);
}

int store_batch_add(struct store_batch *b, const struct store_changes *changes, uint64_t applied)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct store_change *c = &changes->items[i];

        add_row(b, c->kind, c->after != NULL ? &c->after->id : &c->before->id, c->after);
    }
    b->applied = applied;
    return 0;
}

int store_batch_replace(struct store_batch *b, const struct store *s)
{
    struct store_iter it;

    clear_batch(b);
    b->replaces = true;
    for (unsigned kind = 1; kind <= OBJECT_KIND_MAX; kind++)
        for (const struct object *o = store_first(s, kind, &it); o != NULL; o = store_next(&it))
            add_row(b, kind, &o->id, o);
    b->applied = store_applied(s);
    return 0;
}

bool store_batch_is_empty(const struct store_batch *b)
{
    return b->applied == 0;
}

uint64_t store_batch_applied(const struct store_batch *b)
{
    return b->applied;
}

static void free_stored(struct computer *c)
{
    for (const struct omap_node *n = omap_first(&c->stored); n != NULL; n = omap_next(n)) {
        buf_deinit(omap_value(n));
        free(omap_value(n));
    }
    omap_deinit(&c->stored);
    omap_init(&c->stored);
}

int store_disk_commit(struct store_disk *d, const struct store_batch *b)
{
    struct computer *c = d->computer;

    if (d->loop->dead)
        return 0;
    if (b->replaces)
        free_stored(c);
    LIST_EACH(link, &b->rows)
    {
        const struct batch_row *row = CONTAINER_OF(link, struct batch_row, link);
        char text[ROW_KEY_LEN];
        struct slice key = row_key(row->kind, &row->id, text);
        struct buf *bytes = omap_get(&c->stored, key);

        if (row->bytes.len == 0) {
            (void)omap_remove(&c->stored, key);
            if (bytes != NULL)
                buf_deinit(bytes);
            free(bytes);
            continue;
        }
        if (bytes == NULL) {
            bytes = calloc(1, sizeof(*bytes));
            CHECK(bytes != NULL);
            buf_init(bytes, 16 * MIB);
            CHECK(omap_set(&c->stored, key, bytes) == 0);
        }
        buf_clear(bytes);
        CHECK(buf_append_slice(bytes, buf_slice(&row->bytes)) == 0);
    }
    c->stored_applied = b->applied;
    return 0;
}

/* --- The assignment: written in one step by the worker that the host starts */

int assignment_load(const struct host *h, struct assign *out)
{
    struct computer *c = computer_of_loop(h->cfg.loop);

    if (c->assignment.len == 0)
        return -ENOENT;
    return fields_decode(&assign_type, buf_slice(&c->assignment), out, NULL);
}

int assignment_seal(const struct host *h, uint8_t **out, size_t *out_len)
{
    struct assign all = { .version = agent_version(h->agent) };
    const struct assigned *row;
    struct buf bytes;
    int rc;

    buf_init(&bytes, 64 * MIB);
    all.rows.items = calloc(agent_row_count(h->agent) + 1, sizeof(*all.rows.items));
    CHECK(all.rows.items != NULL);
    for (row = agent_next_row(h->agent, NULL); row != NULL;
         row = agent_next_row(h->agent, row->key))
        all.rows.items[all.rows.count++] = *row;
    rc = fields_encode(&assign_type, &all, &bytes, NULL);
    free(all.rows.items); /* the rows are the agent's */
    *out = buf_take(&bytes, out_len);
    return rc;
}

int assignment_write(const char *state_dir, const uint8_t *bytes, size_t len)
{
    struct sim_loop *l = loop_enter(NULL);
    struct computer *c;

    (void)state_dir;
    loop_leave(l);
    c = computer_of_loop(&l->uv);
    if (l->dead)
        return 0;
    buf_clear(&c->assignment);
    return buf_append(&c->assignment, bytes, len);
}

void store_wipe(struct computer *c)
{
    free_stored(c);
    c->stored_applied = 0;
}

void disks_deinit(struct computer *c)
{
    free_stored(c);
    buf_deinit(&c->assignment);
    disk_mem_free(c->raft_disk);
}
