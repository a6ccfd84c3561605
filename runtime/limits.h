/* runtime/limits.h - Every bound of this folder, with its reason. */
#ifndef RUNTIME_LIMITS_H
#define RUNTIME_LIMITS_H

#include "base/units.h"

#define MANIFEST_BYTES_MAX     (4 * MIB) /* what registries accept */
#define IMAGE_CONFIG_BYTES_MAX (8 * MIB) /* history of a hundred layers is some 100 KiB */
#define LAYER_COUNT_MAX        127 /* overlayfs mounts fail beyond some 128 lower directories */
#define INDEX_ENTRY_COUNT_MAX  1024
#define BLOB_BYTES_MAX         (256 * GIB)
#define UNPACKED_BYTES_MAX     (256 * GIB) /* of one layer */
#define UNPACKED_ENTRIES_MAX   4000000     /* of one layer */
/* No compressor reaches this on real files (deflate ends at 1032): a bomb. Checked beyond 64 MiB.
 */
#define UNPACK_RATIO_MAX        1200
#define XATTR_BYTES_MAX         (64 * KIB) /* the kernel's own */
#define ARCHIVE_IMAGE_COUNT_MAX 1024

#define CONTAINER_COUNT_MAX 4096
#define RECORD_BYTES_MAX    (16 * MIB) /* a stored container record */
#define REFERENCE_COUNT_MAX 65536
#define REFERENCE_LEN_MAX   4095
#define VOLUME_COUNT_MAX    65536
#define INGEST_COUNT_MAX    64

/* Sets of capabilities in use at once; one more compiles again. A program has at most 4096
 * instructions of 8 bytes, says the kernel. */
#define SECCOMP_PROGRAMS_MAX      16
#define SECCOMP_PROGRAM_BYTES_MAX (32 * KIB)

#define HEALTH_OUTPUT_MAX    4096
#define EXEC_COUNT_MAX       256       /* running at once, all containers */
#define STREAM_QUEUE_MAX     (1 * MIB) /* input waiting for one exec or attach */
#define STREAM_READ_BYTES    (64 * KIB)
#define LOG_RECORD_BYTES_MAX (32 * KIB) /* conmon writes pieces of at most 8 KiB */
#define LOGS_OPEN_MAX        1024
#define COMMAND_OUTPUT_MAX   (16 * KIB) /* kept of what the OCI runtime prints */

#define COMMAND_TIMEOUT_MS    (60 * 1000) /* one OCI runtime command on a host that swaps */
#define DEFAULT_STOP_GRACE_NS (10 * NS_PER_S)
#define KILL_WAIT_NS          (30 * NS_PER_S) /* after SIGKILL: longer means stuck in the kernel */

#endif /* RUNTIME_LIMITS_H */
