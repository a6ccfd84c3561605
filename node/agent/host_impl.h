/* node/agent/host_impl.h - Private to host*.c. */
#ifndef NODE_AGENT_HOST_IMPL_H
#define NODE_AGENT_HOST_IMPL_H

#include "node/agent/host.h"

#define LEAVING_MAX 256

struct host {
    struct host_config cfg;
    char *state_dir; /* a copy: cfg.state_dir points here */
    struct agent *agent;
    uint64_t boot; /* random per start */

    uv_prepare_t pump;
    uv_timer_t timer;
    int open_handles;
    bool awake; /* something happened since the last turn */
    bool started, shutting_down, closing;
    bool settled;      /* overlay and services know all that should be, and removed the rest */
    size_t operations; /* under way, of runtime, overlay and image fetching */

    struct id leaving[LEAVING_MAX]; /* networks to be removed once no sandbox uses them */
    size_t leaving_count;

    bool row_changed; /* the assignment on disk is older than the one in memory */
    bool writing;
    uv_work_t write;
    uint8_t *write_bytes;
    size_t write_len;
    int write_err;

    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* One operation under way; ends in host_operation_done exactly once. */
struct host_operation {
    struct host *host;
    uint64_t token;
    enum agent_operation_kind kind;
    struct id task_id;
    struct task task; /* a copy: rows may change while it runs */
};

wall_ns host_wall_now(void);

void host_operation_start(struct host *h, const struct agent_operation *op);
void host_operation_done(struct host_operation *op, int err, const char *message);

/* Network rows: done within the call. */
void host_network_row(struct host *h, const struct agent_operation *op);
/* A sandbox is gone: networks that waited for that are removed. */
void host_network_retry(struct host *h);
/* The sandbox of a task as its attachments describe it; arrays live in `storage`. */
struct host_sandbox {
    struct overlay_sandbox sandbox;
    struct overlay_attachment attachments[OVERLAY_ATTACHMENTS_MAX];
    struct overlay_publish publish[OVERLAY_PUBLISH_MAX];
};
NODISCARD int host_sandbox_of(const struct host *h, const struct task *task,
                              struct host_sandbox *out, struct field_error *err);

/* The sealed assignment on disk. */
NODISCARD int assignment_load(const struct host *h, struct assign *out);
NODISCARD int assignment_seal(const struct host *h, uint8_t **out, size_t *out_len);
NODISCARD int assignment_write(const char *state_dir, const uint8_t *bytes,
                               size_t len); /* blocks */

#endif /* NODE_AGENT_HOST_IMPL_H */
