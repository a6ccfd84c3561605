/* Opening, noting inputs, stopping. What follows from the inputs is in raft_pump.c;
 * proposals, reads and changes are noted in raft_request.c.
 *
 *     RUNNING --stop--> HANDING_OVER --leadership is elsewhere and all is answered, or a second
 * passed--> FLUSHING --nothing staged, no lane busy--> CLOSING --last handle closed--> freed
 *
 * A driver that failed goes from RUNNING to FLUSHING without the rest. */
#include "node/cluster/raft_driver.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "node/cluster/raft_driver_priv.h"

#define HOUSEKEEPING_MS UINT64_C(1000)
#define HAND_OVER_NS    NS_PER_S
#define SLOW_FLUSH_NS   NS_PER_S

/* --- Inputs. */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active is what matters */
}

void raft_driver_wake(struct raft_driver *d)
{
    if (d->state != DRIVER_CLOSING && !uv_is_active((uv_handle_t *)&d->idle))
        CHECK(uv_idle_start(&d->idle, on_idle) == 0); /* fails without a callback only */
}

int raft_driver_receive(struct raft_driver *d, raft_node_id from, struct slice bytes)
{
    struct raft_message m;
    struct inbound *in;
    int rc = raft_message_decode(bytes, d->scratch, &m);

    if (rc < 0 || m.from != from)
        return ERR_MALFORMED;
    if (d->failed != 0 || d->state >= DRIVER_FLUSHING ||
        d->inbound_bytes + bytes.len > INBOUND_BYTES_MAX)
        return 0; /* losing one is allowed */
    in = malloc(sizeof(*in) + bytes.len);
    if (in == NULL)
        return 0;
    in->from = from;
    in->len = bytes.len;
    memcpy(in->bytes, bytes.ptr, bytes.len);
    d->inbound_bytes += bytes.len;
    list_push_back(&d->inbound, &in->link);
    raft_driver_wake(d);
    return 0;
}

void raft_driver_transfer(struct raft_driver *d, raft_node_id to)
{
    d->wants_transfer = true;
    d->transfer_to = to;
    raft_driver_wake(d);
}

void raft_driver_unreachable(struct raft_driver *d, raft_node_id peer)
{
    if (d->unreachable_count < UNREACHABLE_MAX)
        d->unreachable[d->unreachable_count++] = peer;
    raft_driver_wake(d);
}

void raft_driver_durable(struct raft_driver *d, raft_index index)
{
    d->machine_durable = MAX(d->machine_durable, index);
    raft_driver_wake(d);
}

void raft_driver_status(const struct raft_driver *d, struct raft_status *out)
{
    raft_status(d->raft, out);
}

const struct raft_conf *raft_driver_conf(const struct raft_driver *d)
{
    return raft_conf_current(d->raft);
}

bool raft_driver_is_active(const struct raft_driver *d, raft_node_id member)
{
    struct raft_peer_status status;

    return raft_peer_status(d->raft, member, &status) == 0 && status.active;
}

/* --- Stopping. */

static void free_list(struct list *head)
{
    struct list *link;

    while ((link = list_pop_front(head)) != NULL)
        free(CONTAINER_OF(link, struct inbound, link)); /* the link is the first member of each */
}

static void free_driver(struct raft_driver *d)
{
    wal_free(d->wal);
    raft_free(d->raft);
    free_list(&d->inbound);
    free_list(&d->no_room);
    free_list(&d->outbound);
    free_list(&d->notices);
    free_list(&d->open);
    free_list(&d->orphans);
    free_list(&d->requests);
    free_list(&d->finished);
    raft_snapshot_deinit(d);
    free(d->slots);
    free(d->applying);
    free(d->scratch);
    free(d->proposals);
    free(d->conf_told);
    sodium_memzero(&d->wal_cfg, sizeof(d->wal_cfg));
    free(d);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct raft_driver *d = handle->data;
    void (*on_stopped)(void *ctx) = d->on_stopped;
    void *ctx = d->stopped_ctx;

    if (--d->open_handles > 0)
        return;
    raft_pump_tell_outcomes(d); /* refusals since the last pump */
    free_driver(d);
    if (on_stopped != NULL)
        on_stopped(ctx);
}

static void on_disk_closed(void *ctx)
{
    struct raft_driver *d = ctx;
    uv_handle_t *handles[] = { (uv_handle_t *)&d->prepare, (uv_handle_t *)&d->idle,
                               (uv_handle_t *)&d->timer, (uv_handle_t *)&d->housekeeping };

    for (size_t i = 0; i < ARRAY_LEN(handles); i++)
        uv_close(handles[i], on_handle_closed);
}

static bool is_disk_idle(const struct raft_driver *d)
{
    for (unsigned lane = 0; lane < RAFT_DISK_LANES; lane++)
        if (raft_disk_is_busy(d->disk, lane))
            return false;
    return true;
}

/* A successor leads, or nobody else can; and those who asked here know what came of it. */
static bool has_handed_over(const struct raft_driver *d)
{
    return d->is_handed_over && list_is_empty(&d->open) && list_is_empty(&d->orphans);
}

/* Runs after every pump while stopping. */
static void advance_stop(struct raft_driver *d)
{
    if (d->state == DRIVER_HANDING_OVER &&
        (d->failed != 0 || has_handed_over(d) || uv_hrtime() >= d->stop_deadline)) {
        d->state = DRIVER_FLUSHING;
        raft_pump_end_requests(d);
        wal_witness(d->wal);
        raft_driver_wake(d);
        return;
    }
    if (d->state != DRIVER_FLUSHING || !is_disk_idle(d) || !list_is_empty(&d->finished))
        return;
    d->state = DRIVER_CLOSING;
    (void)uv_prepare_stop(&d->prepare);
    (void)uv_idle_stop(&d->idle);
    (void)uv_timer_stop(&d->timer);
    (void)uv_timer_stop(&d->housekeeping);
    raft_disk_close(d->disk, on_disk_closed, d);
}

void raft_driver_stop(struct raft_driver *d, void (*on_stopped)(void *ctx), void *ctx)
{
    struct raft_event event = { .type = RAFT_STOP };

    CHECK(d->state == DRIVER_RUNNING);
    d->on_stopped = on_stopped;
    d->stopped_ctx = ctx;
    d->state = DRIVER_HANDING_OVER;
    d->stop_deadline = mono_after(uv_hrtime(), HAND_OVER_NS);
    if (raft_pump_step(d, &event) < 0)
        d->stop_deadline = 0; /* nothing to hand over */
    raft_driver_wake(d);
}

/* --- The loop. */

static void on_prepare(uv_prepare_t *prepare)
{
    struct raft_driver *d = prepare->data;

    raft_pump_run(d);
    advance_stop(d);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* the pump looks at the clock */
}

/* A leader whose disk hangs still sends heartbeats and even commits by its followers' disks, but
 * answers nobody: somebody else should lead. */
static void leave_slow_disk(struct raft_driver *d)
{
    mono_ns now = uv_hrtime();

    if (!d->was_leader || !raft_disk_is_busy(d->disk, LANE_LOG) ||
        now - d->flush_began < SLOW_FLUSH_NS || d->state != DRIVER_RUNNING)
        return;
    log_warn("raft", "a flush of the log has taken %llu ms so far: handing leadership over",
             (unsigned long long)((now - d->flush_began) / NS_PER_MS));
    raft_driver_transfer(d, 0);
}

static void on_housekeeping(uv_timer_t *timer)
{
    struct raft_driver *d = timer->data;

    wal_witness(d->wal);
    wal_retry_space(d->wal);
    leave_slow_disk(d);
}

static void on_disk_done(void *ctx, unsigned lane, int status)
{
    struct raft_driver *d = ctx;

    if (lane == LANE_SNAPSHOT) {
        raft_snapshot_written(d, status);
        return;
    }
    raft_flush_done(d, (enum wal_lane)lane, status);
    raft_driver_wake(d);
}

/* --- Opening. */

static void say(char *why, size_t why_len, const char *what, int rc)
{
    (void)snprintf(why, why_len, "%s: %s", what, err_text(rc));
}

static void fill_wal_config(struct raft_driver *d)
{
    struct wal_config *w = &d->wal_cfg;
    struct slice cluster = id_slice(&d->cfg.cluster);

    wal_config_defaults(w);
    (void)crypto_generichash(w->cluster, sizeof(w->cluster), cluster.ptr, cluster.len, NULL, 0);
    memcpy(w->key, d->cfg.key, sizeof(w->key));
    sodium_memzero(d->cfg.key, sizeof(d->cfg.key));
    w->node = d->cfg.id;
    randombytes_buf(w->nonce_prefix, sizeof(w->nonce_prefix));
}

/* Runs the log's own jobs until it can take writes. An old log may start on a full disk, to be
 * compacted; a new one cannot. */
static int settle_log(struct raft_driver *d, const struct wal_recovery *found)
{
    struct disk_job job;

    while (!wal_is_settled(d->wal) || wal_room(d->wal) == 0) {
        enum wal_lane lane = wal_is_settled(d->wal) ? WAL_LANE_SPARE : WAL_LANE_LOG;

        if (!wal_take_job(d->wal, lane, &job))
            return found->is_new ? -ENOSPC : 0;
        wal_job_done(d->wal, lane, raft_disk_run(d->disk, &job));
        if (wal_error(d->wal) != 0)
            return wal_error(d->wal);
    }
    return 0;
}

/* The machine's own copy may be older than the log's base: a snapshot was installed since. */
static int restore_installed(struct raft_driver *d, const struct wal_recovery *found,
                             struct wal_snapshot_found *installed, char *why, size_t why_len)
{
    struct disk_reader reader = raft_disk_reader(d->disk);
    int rc = wal_snapshot_read(&d->wal_cfg, &reader, installed);
    raft_index index = rc == 0 ? installed->snapshot.base.last.index : 0;

    if (rc < 0 && rc != ERR_NOT_FOUND)
        log_warn("raft", "the installed snapshot cannot be read: %s", err_text(rc));
    if (rc == 0 && index > d->cfg.applied) {
        rc = d->cfg.machine.restore(d->cfg.machine.ctx, index, installed->bytes);
        if (rc < 0) {
            say(why, why_len, "restoring the installed snapshot", rc);
            return rc;
        }
        d->cfg.applied = index;
    }
    if (d->cfg.applied < found->base.last.index) {
        (void)snprintf(why, why_len,
                       "the state on disk ends at entry %llu but the log begins after %llu: remove "
                       "this node from the cluster and let it join anew",
                       (unsigned long long)d->cfg.applied,
                       (unsigned long long)found->base.last.index);
        return ERR_CORRUPT;
    }
    return 0;
}

static raft_term term_at(const struct wal_recovery *found, const struct raft_start *start,
                         raft_index index)
{
    if (index == start->installed.last.index)
        return start->installed.last.term;
    if (index > found->base.last.index && index - found->base.last.index <= found->entry_count)
        return found->entries[index - found->base.last.index - 1].id.term;
    return found->base.last.term;
}

static int start_core(struct raft_driver *d, struct wal_recovery *found, char *why, size_t why_len)
{
    static const struct hash_seed no_seed;
    struct raft_config cfg = {
        .id = d->cfg.id,
        .cluster = hash_bytes(&no_seed, id_slice(&d->cfg.cluster)) | 1, /* not 0 */
        .election_timeout_ns = d->cfg.election_timeout_ns,
        .heartbeat_ns = d->cfg.heartbeat_ns,
        .compact_count = d->cfg.snapshot_entries,
        .keep_count = d->cfg.snapshot_entries,
    };
    struct raft_event event = { .type = RAFT_START };
    struct wal_snapshot_found installed = { 0 };
    int rc = restore_installed(d, found, &installed, why, why_len);

    if (rc < 0)
        goto out;
    randombytes_buf(&cfg.seed, sizeof(cfg.seed));
    rc = raft_new(&cfg, &d->raft);
    if (rc < 0)
        goto out;
    event.start = (struct raft_start){
        .hard_state = found->hard_state,
        .base = found->base,
        .entries = found->entries,
        .entry_count = found->entry_count,
        .applied = d->cfg.applied,
        .installed = installed.snapshot.base,
        .acknowledged = found->acknowledged,
        .bootstrap = found->is_new ? d->cfg.bootstrap : NULL,
        .force_new_cluster = d->cfg.force_new_cluster,
    };
    d->applied = d->machine_durable = d->durable_told = d->cfg.applied;
    d->applied_term = term_at(found, &event.start, d->applied);
    rc = raft_pump_step(d, &event);
    d->conf_changed = true; /* to be told in any case */
    d->role_changed = true;
out:
    if (rc < 0 && why[0] == '\0')
        say(why, why_len, "the log on disk does not fit the state", rc);
    free(installed.memory);
    return rc;
}

static int open_log(struct raft_driver *d, char *why, size_t why_len)
{
    struct disk_reader reader = raft_disk_reader(d->disk);
    struct wal_recovery found = { 0 };
    int rc = wal_open(&d->wal_cfg, &reader, &d->wal, &found);

    if (rc < 0) {
        say(why, why_len, "reading the raft log", rc);
        return rc;
    }
    if (found.torn_bytes > 0)
        log_info("raft", "the log's last flush was interrupted: %llu bytes cut",
                 (unsigned long long)found.torn_bytes);
    if (found.damaged_places > 0)
        log_error("raft", "the log is damaged at %u places, the first: %s%s", found.damaged_places,
                  found.detail, found.acknowledged.term == 0 ? "" : "; its peers will repair it");
    if (found.is_new && d->cfg.applied > 0) {
        (void)snprintf(why, why_len,
                       "the raft log is gone but the state has entry %llu: remove "
                       "this node from the cluster and let it join anew",
                       (unsigned long long)d->cfg.applied);
        rc = ERR_CORRUPT;
    }
    if (rc == 0) {
        rc = settle_log(d, &found);
        if (rc < 0)
            say(why, why_len, "making the raft log durable", rc);
    }
    if (rc == 0)
        rc = start_core(d, &found, why, why_len);
    wal_recovery_deinit(&found);
    return rc;
}

static int open_handles(struct raft_driver *d)
{
    uv_loop_t *loop = d->cfg.loop;

    CHECK(uv_prepare_init(loop, &d->prepare) == 0); /* these never fail */
    CHECK(uv_idle_init(loop, &d->idle) == 0);
    CHECK(uv_timer_init(loop, &d->timer) == 0);
    CHECK(uv_timer_init(loop, &d->housekeeping) == 0);
    d->prepare.data = d->idle.data = d->timer.data = d->housekeeping.data = d;
    d->on_timer = on_timer;
    d->open_handles = 4;
    CHECK(uv_prepare_start(&d->prepare, on_prepare) == 0);
    return uv_timer_start(&d->housekeeping, on_housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
}

static int allocate(struct raft_driver *d)
{
    d->scratch = calloc(RAFT_MESSAGE_ENTRIES_MAX, sizeof(d->scratch[0]));
    d->proposals = calloc(RAFT_PROPOSALS_MAX, sizeof(d->proposals[0]));
    d->conf_told = calloc(1, sizeof(*d->conf_told));
    list_init(&d->inbound);
    list_init(&d->no_room);
    list_init(&d->outbound);
    list_init(&d->notices);
    list_init(&d->requests);
    list_init(&d->open);
    list_init(&d->orphans);
    list_init(&d->finished);
    buf_init(&d->staged, SNAPSHOT_BYTES_MAX);
    return d->scratch == NULL || d->proposals == NULL || d->conf_told == NULL ? -ENOMEM : 0;
}

int raft_driver_open(const struct raft_driver_config *cfg, struct raft_driver **out, char *why,
                     size_t why_len)
{
    struct raft_disk_events events = { .on_done = on_disk_done };
    struct raft_driver *d = calloc(1, sizeof(*d));
    int rc;

    why[0] = '\0';
    if (d == NULL)
        return -ENOMEM;
    d->cfg = *cfg;
    d->deadline = MONO_NEVER;
    events.ctx = d;
    rc = allocate(d);
    if (rc == 0) {
        fill_wal_config(d);
        rc = raft_disk_open(cfg->loop, cfg->dir, &events, &d->disk);
        if (rc < 0)
            say(why, why_len, cfg->dir, rc);
    }
    if (rc == 0)
        rc = open_log(d, why, why_len);
    if (rc == 0)
        rc = open_handles(d);
    if (rc < 0) {
        if (d->disk != NULL)
            raft_disk_close(d->disk, NULL, NULL);
        free_driver(d);
        return rc;
    }
    raft_driver_wake(d);
    *out = d;
    return 0;
}
