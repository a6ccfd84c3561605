/* Opening and closing: state directory, sockets, lanes, worker, timers. */
#include "overlaynet/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/ipam.h"
#include "overlaynet/overlay_impl.h"

PRINTF_LIKE(4, 5) static int explain(char *why, size_t why_len, int rc, const char *format, ...)
{
    va_list args;

    if (why == NULL || why_len == 0)
        return rc;
    va_start(args, format);
    (void)vsnprintf(why, why_len, format, args);
    va_end(args);
    return rc;
}

mono_ns overlay_now(const struct overlay *o)
{
    (void)o;
    return uv_hrtime();
}

void overlay_tell(struct overlay *o, enum overlay_event_kind kind, const struct id *subject,
                  int err, uint32_t value, const char *detail)
{
    struct overlay_event e = {
        .kind = kind, .subject = *subject, .err = err, .value = value, .detail = detail
    };

    if (o->cfg.on_event != NULL && !o->is_closing)
        o->cfg.on_event(o->cfg.event_ctx, &e);
}

/* --- Boot epoch ------------------------------------------------------------------------------ */

/* A number that is higher at every start, on disk before it is used: peers refuse handshakes that
 * are older than one they have seen. When the file was lost the clock stands in for it. */
static int next_boot(const char *dir, uint32_t *out, char *why, size_t why_len)
{
    char path[OVERLAY_PATH_MAX + 16], temp[OVERLAY_PATH_MAX + 24], text[32];
    unsigned long stored = 0;
    uint32_t clock = (uint32_t)time(NULL);
    ssize_t n;
    int fd, rc = 0;

    (void)snprintf(path, sizeof(path), "%s/epoch", dir);
    (void)snprintf(temp, sizeof(temp), "%s.new", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        char *end = text;

        n = read(fd, text, sizeof(text) - 1);
        (void)close(fd);
        text[n < 0 ? 0 : n] = '\0';
        stored = strtoul(text, &end, 10);
        if (end == text || *end != '\n' || stored >= UINT32_MAX)
            return explain(why, why_len, ERR_CORRUPT,
                           "%s is damaged: remove it if the clock of this host is right", path);
    } else if (errno != ENOENT) {
        return explain(why, why_len, -errno, "%s: %s", path, strerror(errno));
    }
    *out = MAX((uint32_t)stored + 1, clock);
    n = snprintf(text, sizeof(text), "%" PRIu32 "\n", *out);
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) < 0)
        rc = -errno;
    if (fd >= 0)
        (void)close(fd);
    if (rc == 0 && rename(temp, path) < 0)
        rc = -errno;
    return rc < 0 ? explain(why, why_len, rc, "%s: %s", temp, strerror(-rc)) : 0;
}

/* --- Opening --------------------------------------------------------------------------------- */

/* The MTU towards the world, as the kernel's route has it. */
static uint32_t find_underlay_mtu(void)
{
    struct sockaddr_in world = { .sin_family = AF_INET, .sin_port = htons(9) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = 0;
    socklen_t len = sizeof(mtu);

    world.sin_addr.s_addr = htonl(UINT32_C(0xc6336401)); /* RFC 5737: an address for examples */
    if (fd >= 0 && connect(fd, (struct sockaddr *)&world, sizeof(world)) == 0 &&
        getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &len) < 0)
        mtu = 0;
    if (fd >= 0)
        (void)close(fd);
    return mtu >= 576 ? (uint32_t)mtu : OVERLAY_UNDERLAY_MTU_DEFAULT;
}

static unsigned choose_lanes(const struct overlay_config *cfg)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (cfg->lanes != 0)
        return cfg->lanes;
    return (unsigned)MIN(MAX(cores, 1), 4);
}

static int check_config(const struct overlay_config *cfg, char *why, size_t why_len)
{
    if (cfg->loop == NULL || id_is_none(&cfg->node_id))
        return explain(why, why_len, ERR_INVALID, "loop and node id are needed");
    if (strlen(cfg->state_dir) > 180 || strlen(cfg->run_dir) > 180)
        return explain(why, why_len, ERR_INVALID, "state or run directory: path over 180 bytes");
    if (cfg->lanes > OVERLAY_LANES_MAX)
        return explain(why, why_len, ERR_INVALID, "lanes: at most %d", OVERLAY_LANES_MAX);
    if (cfg->underlay_mtu != 0 && (cfg->underlay_mtu < 1280 || cfg->underlay_mtu > 65535))
        return explain(why, why_len, ERR_INVALID, "underlay MTU: 1280 to 65535");
    if ((cfg->egress4.addr.len != 0 &&
         (cfg->egress4.addr.len != IP4_LEN || cfg->egress4.bits < IPAM_SUBNET4_BITS_MIN ||
          cfg->egress4.bits > IPAM_SUBNET4_BITS_MAX)) ||
        (cfg->egress6.addr.len != 0 && cfg->egress6.addr.len != IP6_LEN))
        return explain(why, why_len, ERR_INVALID, "egress subnets: IPv4 /%d to /%d, and IPv6",
                       IPAM_SUBNET4_BITS_MIN, IPAM_SUBNET4_BITS_MAX);
    return 0;
}

static void fill_config(struct overlay *o, const struct overlay_config *cfg)
{
    o->cfg = *cfg;
    o->loop = cfg->loop;
    (void)snprintf(o->state_dir, sizeof(o->state_dir), "%s", cfg->state_dir);
    (void)snprintf(o->run_dir, sizeof(o->run_dir), "%s", cfg->run_dir);
    o->cfg.state_dir = o->state_dir;
    o->cfg.run_dir = o->run_dir;
    if (o->cfg.bind.port == 0)
        o->cfg.bind.port = OVERLAY_PORT_DEFAULT;
    if (o->cfg.clear_port == 0)
        o->cfg.clear_port = OVERLAY_VXLAN_PORT_DEFAULT;
    if (o->cfg.egress4.addr.len == 0)
        CHECK(ip_prefix_parse(slice_of_str(OVERLAY_EGRESS4_DEFAULT), &o->cfg.egress4) == 0);
    if (o->cfg.egress6.addr.len == 0)
        CHECK(ip_prefix_parse(slice_of_str(OVERLAY_EGRESS6_DEFAULT), &o->cfg.egress6) == 0);
    o->underlay_mtu = cfg->underlay_mtu != 0 ? cfg->underlay_mtu : find_underlay_mtu();
}

static void on_lane_note(void *ctx)
{
    struct overlay *o = ctx;

    (void)uv_async_send(&o->notes); /* fails on a closing handle only */
}

static void on_notes(uv_async_t *async)
{
    overlay_take_notes(CONTAINER_OF(async, struct overlay, notes));
}

static void on_reconcile(uv_timer_t *timer)
{
    overlay_reconcile(CONTAINER_OF(timer, struct overlay, reconcile_timer));
}

static int open_lanes(struct overlay *o, unsigned count)
{
    struct underlay u;
    int rc = underlay_open(&o->cfg.bind, count, &u);

    if (rc < 0)
        return rc;
    o->family = u.family;
    o->fabric.udp_gro = u.gro;
    atomic_init(&o->fabric.udp_gso, u.gso);
    for (unsigned i = 0; i < count; i++) {
        struct lane_config cfg = { .fabric = &o->fabric,
                                   .index = i,
                                   .udp_fd = u.udp_fds[i],
                                   .send_fd = u.send_fds[i],
                                   .family = u.family,
                                   .on_note = on_lane_note,
                                   .ctx = o };

        if (rc == 0)
            rc = lane_new(&cfg, &o->fabric.lanes[i]);
        if (rc < 0) { /* those that no lane has taken */
            (void)close(u.udp_fds[i]);
            if (u.send_fds[i] != u.udp_fds[i])
                (void)close(u.send_fds[i]);
        }
    }
    return rc;
}

static int run_lanes(struct overlay *o)
{
    int rc = 0;

    for (unsigned i = 0; i < o->fabric.lane_count && rc == 0; i++)
        rc = lane_run(o->fabric.lanes[i]);
    return rc;
}

static int init_fabric(struct overlay *o, unsigned lanes)
{
    o->fabric.lane_count = lanes;
    o->fabric.common = aligned_alloc(64, (lanes * sizeof(*o->fabric.common) + 63) / 64 * 64);
    if (o->fabric.common == NULL)
        return -ENOMEM;
    memset(o->fabric.common, 0, lanes * sizeof(*o->fabric.common));
    randombytes_buf(o->fabric.ip_secret, sizeof(o->fabric.ip_secret));
    return 0;
}

static void init_tables(struct overlay *o)
{
    randombytes_buf(&o->seed, sizeof(o->seed));
    reclaim_init(&o->fabric.reclaim);
    table_init(&o->fabric.networks, &o->fabric.reclaim);
    table_init(&o->fabric.key_ids, &o->fabric.reclaim);
    heap_init(&o->timers);
    map_init(&o->nets, &o->seed, OVERLAY_NETWORKS_MAX);
    map_init(&o->peers, &o->seed, OVERLAY_PEERS_MAX);
    map_init(&o->peer_marks, &o->seed, OVERLAY_PEERS_MAX);
    map_init(&o->sandboxes, &o->seed, OVERLAY_SANDBOXES_MAX);
}

static void free_overlay(struct overlay *o)
{
    for (unsigned i = 0; i < o->fabric.lane_count; i++) {
        lane_free(o->fabric.lanes[i]);
        o->fabric.lanes[i] = NULL;
    }
    o->is_closing = true;
    overlay_free_sandboxes(o);
    overlay_free_tables(o);
    plumb_free(o->plumb);
    reclaim_deinit(&o->fabric.reclaim);
    free(o->fabric.common);
    sodium_memzero(o, sizeof(*o));
    free(o);
}

static int open_parts(struct overlay *o, char *why, size_t why_len)
{
    struct plumb_config plumb = { .run_dir = o->run_dir,
                                  .egress4 = o->cfg.egress4,
                                  .egress6 = o->cfg.egress6,
                                  .no_egress = o->cfg.no_egress };
    unsigned lanes = choose_lanes(&o->cfg);
    char detail[PLUMB_WHY_MAX] = "";
    uint8_t suites = AEAD_CHACHA20POLY1305;
    uint32_t boot = 0;
    int rc;

    if (mkdir(o->state_dir, 0700) < 0 && errno != EEXIST)
        return explain(why, why_len, -errno, "%s: %s", o->state_dir, strerror(errno));
    rc = next_boot(o->state_dir, &boot, why, why_len);
    if (rc < 0)
        return rc;
    if (!o->cfg.no_hardware_aes)
        suites = aead_suites();
    session_local_init(&o->local, o->cfg.static_secret, o->cfg.static_public, suites,
                       (uint8_t)lanes, boot);
    rc = init_fabric(o, lanes);
    if (rc == 0)
        rc = open_lanes(o, lanes);
    if (rc < 0)
        return explain(why, why_len, rc, "data port %u/udp: %s", o->cfg.bind.port, err_text(rc));
    rc = plumb_new(&plumb, &o->plumb, detail);
    if (rc < 0)
        return explain(why, why_len, rc, "%s", detail);
    return 0;
}

static int open_handles(struct overlay *o, char *why, size_t why_len)
{
    int rc = uv_async_init(o->loop, &o->notes, on_notes);

    if (rc < 0)
        return explain(why, why_len, rc, "event loop: %s", err_text(rc));
    (void)uv_timer_init(o->loop, &o->timer); /* these do not fail */
    (void)uv_timer_init(o->loop, &o->reconcile_timer);
    (void)uv_timer_start(&o->reconcile_timer, on_reconcile, OVERLAY_RECONCILE_MS,
                         OVERLAY_RECONCILE_MS);
    o->open_handles = 3;
    rc = worker_new(o->loop, &o->worker);
    if (rc == 0)
        rc = run_lanes(o);
    return rc < 0 ? explain(why, why_len, rc, "threads: %s", err_text(rc)) : 0;
}

int overlay_open(const struct overlay_config *cfg, struct overlay **out, char *why, size_t why_len)
{
    struct overlay *o;
    int rc = check_config(cfg, why, why_len);

    if (rc == 0)
        rc = aead_start();
    if (rc < 0)
        return rc;
    o = aligned_alloc(64, (sizeof(*o) + 63) / 64 * 64);
    if (o == NULL)
        return -ENOMEM;
    memset(o, 0, sizeof(*o));
    fill_config(o, cfg);
    init_tables(o);
    rc = open_parts(o, why, why_len);
    if (rc < 0) {
        free_overlay(o);
        return rc;
    }
    rc = open_handles(o, why, why_len);
    if (rc < 0) {
        if (o->open_handles > 0)
            overlay_close(o, NULL, NULL);
        else
            free_overlay(o);
        return rc;
    }
    *out = o;
    return 0;
}

/* --- Closing --------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct overlay *o = handle->data;
    void (*closed)(void *ctx) = o->closed;
    void *ctx = o->closed_ctx;

    if (--o->open_handles > 0)
        return;
    free_overlay(o);
    if (closed != NULL)
        closed(ctx);
}

static void close_handle(struct overlay *o, uv_handle_t *handle)
{
    handle->data = o;
    uv_close(handle, on_handle_closed);
}

static void on_worker_closed(void *ctx)
{
    struct overlay *o = ctx;

    o->worker = NULL;
    for (unsigned i = 0; i < o->fabric.lane_count; i++) {
        lane_free(o->fabric.lanes[i]); /* before the handle that they wake */
        o->fabric.lanes[i] = NULL;
    }
    close_handle(o, (uv_handle_t *)&o->notes);
    close_handle(o, (uv_handle_t *)&o->timer);
    close_handle(o, (uv_handle_t *)&o->reconcile_timer);
}

void overlay_close(struct overlay *o, void (*done)(void *ctx), void *ctx)
{
    if (o == NULL)
        return;
    o->is_closing = true;
    o->closed = done;
    o->closed_ctx = ctx;
    (void)uv_timer_stop(&o->timer);
    (void)uv_timer_stop(&o->reconcile_timer);
    if (o->worker != NULL)
        worker_close(o->worker, on_worker_closed, o);
    else
        on_worker_closed(o);
}
