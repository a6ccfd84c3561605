/* Composition: runtime, membership, API on one loop. SIGTERM and SIGINT end it gracefully:
 * leadership is handed over, containers stay. A second signal ends it at once. SIGPWR says that the
 * machine goes down: the managers are told, containers end in order, then the daemon does. */
#include "node/daemon.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/backend.h"
#include "node/disk/state_file.h"
#include "node/member.h"
#include "node/options.h"
#include "node/sd_notify.h"
#include "node/shutdown.h"
#include "node/state_lock.h"

#define VERSION "0.1.0"

struct daemon {
    uv_loop_t loop;
    struct options options;
    struct runtime *runtime;
    struct member *member;
    struct api *api;
    uv_signal_t term, interrupt, power;
    bool ready;         /* the runtime is */
    bool shutting_down; /* containers are being stopped; then comes: */
    bool stopping;
    int exit_code;
};

/* --- Log: standard error, one line each */

static void write_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    (void)level;
    if (write(STDERR_FILENO, line.ptr, line.len) < 0)
        return; /* there is nowhere to say so */
}

static wall_ns wall_clock(void *arg)
{
    uv_timeval64_t tv;

    (void)arg;
    return uv_gettimeofday(&tv) != 0 ? 0
                                     : tv.tv_sec * INT64_C(1000000000) + (int64_t)tv.tv_usec * 1000;
}

static mono_ns mono_clock(void *arg)
{
    (void)arg;
    return uv_hrtime();
}

/* --- End: API, then membership, then runtime */

static void on_signal_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void on_runtime_closed(void *owner)
{
    struct daemon *d = owner;

    uv_close((uv_handle_t *)&d->term, on_signal_closed);
    uv_close((uv_handle_t *)&d->interrupt, on_signal_closed);
    uv_close((uv_handle_t *)&d->power, on_signal_closed);
}

static void on_member_closed(void *ctx)
{
    struct daemon *d = ctx;

    runtime_close(d->runtime, on_runtime_closed, d);
}

static void on_api_closed(void *ctx)
{
    struct daemon *d = ctx;

    member_close(d->member, on_member_closed, d);
}

static void stop(struct daemon *d, int exit_code)
{
    if (d->stopping)
        return;
    d->stopping = true;
    d->exit_code = exit_code;
    sd_notify_state("STOPPING=1");
    api_close(d->api, on_api_closed, d);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;

    if (d->stopping)
        _exit(128 + number);
    log_info("daemon", "signal %d: stopping; containers go on running", number);
    stop(d, 0);
}

/* --- The machine goes down */

static void on_shut_down(void *owner, int err, const char *message)
{
    struct daemon *d = owner;

    (void)err; /* always 0, as `message` is "" */
    (void)message;
    if (!d->stopping)
        log_info("daemon", "no container runs any more: stopping");
    stop(d, 0);
}

static void shut_down(struct daemon *d)
{
    member_shut_down(d->member);
    runtime_shut_down(d->runtime, on_shut_down, d);
}

static void on_power(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;

    if (d->shutting_down || d->stopping)
        return;
    log_info("daemon", "signal %d: the machine goes down: stopping all containers", number);
    d->shutting_down = true;
    if (d->ready)
        shut_down(d);
}

/* --- What the parts say */

static void on_changed(void *ctx, const struct store_changes *changes)
{
    struct daemon *d = ctx;

    if (!d->stopping)
        api_on_changed(d->api, changes);
}

static void on_failed(void *ctx, const char *why)
{
    struct daemon *d = ctx;

    log_error("daemon", "cannot go on: %s", why);
    stop(d, 1);
}

static void on_runtime_ready(void *owner, int err, const char *message)
{
    struct daemon *d = owner;

    if (err < 0) {
        log_error("daemon", "containers cannot run here: %s", message);
        stop(d, 1);
        return;
    }
    log_info("daemon", "ready: %s, cgroups %s, socket %s", runtime_host(d->runtime)->oci_runtime,
             runtime_host(d->runtime)->cgroup_layout, d->options.socket);
    d->ready = true;
    member_start(d->member);
    sd_notify_state("READY=1");
    if (d->shutting_down) /* it was told too early */
        shut_down(d);
}

static void on_container(void *owner, enum container_event_kind kind,
                         const struct container_info *info)
{
    struct daemon *d = owner;

    if (d->stopping)
        return;
    member_container(d->member, kind, info);
    if (d->api != NULL && kind != CONTAINER_EVENT_FOUND)
        api_on_container(d->api, kind, info);
}

/* --- Start */

/* Two daemons on one state directory would destroy each other's files. */
static int lock_state(const struct options *o)
{
    int lock = state_lock_open(o->state_dir); /* kept open until the process ends */

    if (lock < 0 || state_dir_make(o->run_dir) < 0) {
        (void)fprintf(stderr, "shoal: %s and %s cannot be made: run as root\n", o->state_dir,
                      o->run_dir);
        return ERR_FORBIDDEN;
    }
    if (state_lock_take(lock) < 0) {
        (void)fprintf(stderr, "shoal: another daemon uses %s\n", o->state_dir);
        return ERR_IN_USE;
    }
    return 0;
}

int daemon_open_runtime(const struct options *options, struct runtime_config *cfg,
                        struct runtime **out)
{
    char state[OPTIONS_PATH_MAX + 16], run[OPTIONS_PATH_MAX + 16];

    (void)snprintf(state, sizeof(state), "%s/runtime", options->state_dir);
    (void)snprintf(run, sizeof(run), "%s/runtime", options->run_dir);
    cfg->state_dir = state;
    cfg->run_dir = run;
    cfg->oci_runtime = options->oci_runtime;
    cfg->cgroup_parent = options->cgroup_parent;
    return runtime_open(cfg, out);
}

static int open_runtime(struct daemon *d)
{
    struct runtime_config cfg = {
        .loop = &d->loop, .owner = d, .on_ready = on_runtime_ready, .on_event = on_container
    };

    return daemon_open_runtime(&d->options, &cfg, &d->runtime);
}

static int open_member(struct daemon *d)
{
    struct member_config cfg = { .loop = &d->loop,
                                 .options = &d->options,
                                 .runtime = d->runtime,
                                 .ctx = d,
                                 .on_changed = on_changed,
                                 .on_failed = on_failed };

    return member_new(&cfg, &d->member);
}

static int open_api(struct daemon *d)
{
    struct api_config cfg = { .loop = &d->loop,
                              .socket = d->options.socket,
                              .state_dir = d->options.state_dir,
                              .version = VERSION,
                              .runtime = d->runtime };
    char why[256] = "";
    int rc;

    backend_init(&cfg.backend, d->member);
    rc = api_open(&cfg, &d->api, why, sizeof(why));
    if (rc < 0)
        (void)fprintf(stderr, "shoal: %s\n", why[0] != '\0' ? why : err_text(rc));
    return rc;
}

static int start(struct daemon *d)
{
    int rc = open_runtime(d);

    if (rc == 0)
        rc = open_member(d);
    if (rc == 0)
        rc = open_api(d);
    if (rc < 0) {
        (void)fprintf(stderr, "shoal: the daemon cannot start: %s\n", err_text(rc));
        return rc;
    }
    d->term.data = d->interrupt.data = d->power.data = d;
    CHECK(uv_signal_init(&d->loop, &d->term) == 0); /* cannot fail */
    CHECK(uv_signal_init(&d->loop, &d->interrupt) == 0);
    CHECK(uv_signal_init(&d->loop, &d->power) == 0);
    rc = uv_signal_start(&d->term, on_signal, SIGTERM);
    if (rc == 0)
        rc = uv_signal_start(&d->interrupt, on_signal, SIGINT);
    return rc < 0 ? rc : uv_signal_start(&d->power, on_power, SIGPWR);
}

int daemon_main(int argc, char **argv)
{
    static struct daemon daemon;
    struct daemon *d = &daemon;
    int rc = options_parse(argc, argv, &d->options);

    if (rc != 0)
        return rc > 0 ? 0 : 2;
    if (sodium_init() < 0 || uv_loop_init(&d->loop) < 0) {
        (void)fputs("shoal: no source of randomness, or no memory\n", stderr);
        return 1;
    }
    log_setup(&(struct log_config){ .sink = write_line,
                                    .wall_clock = wall_clock,
                                    .mono_clock = mono_clock,
                                    .level = d->options.log_level,
                                    .format = d->options.log_format });
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
    if (d->options.shut_down)
        return shutdown_main(&d->options);
    if (lock_state(&d->options) < 0 || start(d) < 0)
        return 1;
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&d->loop); /* the process ends anyhow */
    return d->exit_code;
}
