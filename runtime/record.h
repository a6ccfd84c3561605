/* runtime/record.h - What is remembered of a container: STATE/containers/ID/{spec,state}.
 *
 * `spec` is written once, when the container is created; `state` is replaced as a whole at each
 * step of its life. docs/formats/runtime.md describes both. Bytes of secrets are never among
 * them. Functions block; any thread. */
#ifndef RUNTIME_RECORD_H
#define RUNTIME_RECORD_H

#include "runtime/container_spec.h"
#include "runtime/digest.h"
#include "runtime/fault.h"
#include "runtime/file.h"

#define CONTAINER_PHASE_ENUM(X)      \
    X(PHASE_CREATED, 1, "created")   \
    X(PHASE_STARTING, 2, "starting") \
    X(PHASE_RUNNING, 3, "running")   \
    X(PHASE_EXITED, 4, "exited")
FIELDS_ENUM(container_phase, CONTAINER_PHASE_ENUM);

#define CONTAINER_RECORD_FIELDS(X, S)                                                            \
    X(S, 1, STRUCT, container_spec, spec, "Spec", REQUIRED)                                      \
    X(S, 2, STR, LEN(DIGEST_TEXT_LEN, DIGEST_TEXT_LEN), image_id, "ImageID", REQUIRED)           \
    X(S, 3, STR, LEN(DIGEST_TEXT_LEN, DIGEST_TEXT_LEN), manifest, "Manifest", REQUIRED)          \
    X(S, 4, MAP_STR, COUNT(2048), volumes, "Volumes", OPTIONAL) /* target -> anonymous volume */ \
    X(S, 5, TIME, ANY, created, "Created", OPTIONAL)
FIELDS_STRUCT(container_record, CONTAINER_RECORD_FIELDS);

#define CONTAINER_STATE_FIELDS(X, S)                                                         \
    X(S, 1, ENUM, container_phase, phase, "Phase", REQUIRED)                                 \
    /* while starting or running; ticks as in process.h make a pid unique during one boot */ \
    X(S, 2, U64, ANY, pid, "Pid", OPTIONAL)                                                  \
    X(S, 3, U64, ANY, pid_ticks, "PidTicks", OPTIONAL)                                       \
    X(S, 4, U64, ANY, conmon_pid, "MonitorPid", OPTIONAL)                                    \
    X(S, 5, U64, ANY, conmon_ticks, "MonitorTicks", OPTIONAL)                                \
    X(S, 6, STR, LEN(64), boot_id, "BootID", OPTIONAL)                                       \
    /* once exited */                                                                        \
    X(S, 7, U32, ANY, exit_code, "ExitCode", OPTIONAL)                                       \
    X(S, 8, BOOL, ANY, oom_killed, "OOMKilled", OPTIONAL)                                    \
    X(S, 9, STR, LEN(1024), error, "Error", OPTIONAL)                                        \
    X(S, 10, TIME, ANY, started, "Started", OPTIONAL)                                        \
    X(S, 11, TIME, ANY, finished, "Finished", OPTIONAL)                                      \
    X(S, 12, BOOL, ANY, paused, "Paused", OPTIONAL)
FIELDS_STRUCT(container_state_record, CONTAINER_STATE_FIELDS);

/* `dir` is STATE/containers/ID. */
NODISCARD int record_write(const char *dir, const struct container_record *record, struct fault *f);
NODISCARD int record_write_state(const char *dir, const struct container_state_record *state,
                                 struct fault *f);
/*   ERR_CORRUPT: unreadable; the container cannot be kept */
NODISCARD int record_load(const char *dir, struct container_record *record,
                          struct container_state_record *state, struct fault *f);

#endif /* RUNTIME_RECORD_H */
