/* runtime/stream.h - Running a command in a container, and collecting what it says: for callers
 * inside this folder. The calls for everybody are in runtime.h. */
#ifndef RUNTIME_STREAM_H
#define RUNTIME_STREAM_H

#include "runtime/refusal.h"
#include "runtime/runtime_impl.h"

enum stream_kind { KIND_EXEC, KIND_ATTACH };
enum stream_state { STREAM_STARTING, STREAM_OPEN, STREAM_CLOSING };

struct runtime_stream {
    struct list link;    /* of rt->streams */
    struct list waiting; /* of its container's attaches or attaching */
    struct work work;    /* opening, later tidying up */
    struct work kill_work;
    struct later later;
    struct runtime *rt;
    enum stream_kind kind;
    enum stream_state state;
    struct stream_callbacks callbacks;

    /* for the thread */
    struct container *container; /* NULL once it may be gone */
    char id[CONTAINER_ID_LEN_MAX + 1];
    struct str_list argv, env;
    char *dir, *user;
    bool tty, open_stdin, has_env;
    uint16_t rows, columns;
    int fds[3]; /* our ends: stdin, stdout (or tty, or socket), stderr; -1 = none */
    pid_t pid;  /* of the OCI runtime's exec; 0 = not spawned */
    int pidfd;
    struct path process_path, pid_path;

    /* loop */
    uv_pipe_t pipes[3];
    bool pipe_open[3];
    uv_poll_t process;
    bool process_open;
    uv_timer_t timer; /* first the time limit, then for draining */
    bool timer_open;
    unsigned open_handles;
    uint64_t timeout_ms;
    unsigned reading; /* outputs not at their end */
    bool held, input_shut, close_wanted, exited, timed_out, killing;
    bool holds_pool; /* from its opening to its end: its command's end makes work for a thread */
    int exit_code, err;
    char words[REFUSAL_WORDS_MAX]; /* the first of its stderr: they may be the OCI runtime's */
    struct fault fault;
    uint8_t buffer[STREAM_READ_BYTES];
};

/* stream.c, on the loop */
struct runtime_stream *stream_new(struct runtime *rt, const char *id, enum stream_kind kind,
                                  const struct stream_callbacks *callbacks);
void stream_begin(struct runtime_stream *s, struct container *c, int rc); /* rc < 0: refuses */
void stream_opened(struct runtime_stream *s);          /* a thread has; s->err says how it went */
void stream_refuse(struct runtime_stream *s, int err); /* ends it as soon as the loop turns */
void stream_finish_if_done(struct runtime_stream *s);  /* when all it waited for has happened */

/* stream_input.c, on the loop */
void stream_shut_input(struct runtime_stream *s); /* of an open one */

/* stream_end.c, on the loop */
void stream_finish(struct runtime_stream *s); /* ends it; on_end follows */
void stream_close_handle(struct runtime_stream *s, uv_handle_t *handle, bool *open);

/* stream_open.c, on a thread */
void stream_open_run(struct work *w);
int stream_open_attach(struct runtime_stream *s); /* ERR_x, and s->fault says why */
void stream_kill_child(struct runtime_stream *s); /* and reaps it */
void stream_set_size(int terminal_fd, uint16_t rows, uint16_t columns);

/* Like runtime_exec, for a container at hand; ends with ERR_TIMEOUT after `timeout_ms`, the
 * command being killed; 0 = no limit. */
struct runtime_stream *stream_exec(struct container *c, const struct exec_spec *spec,
                                   uint64_t timeout_ms, const struct stream_callbacks *callbacks);

/* attach.c: one that waits for a start waits no more. */
void attach_leave(struct runtime_stream *s);

#endif /* RUNTIME_STREAM_H */
