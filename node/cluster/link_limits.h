/* node/cluster/link_limits.h - Every bound of the links, and where it comes from. */
#ifndef NODE_CLUSTER_LINK_LIMITS_H
#define NODE_CLUSTER_LINK_LIMITS_H

#include <assert.h>

#include "base/noise.h"
#include "base/units.h"
#include "node/cluster/link.h"

/* --- Frames and records: docs/formats/links.md --- */
#define FRAME_HEAD_LEN     6
#define FRAME_BODY_LEN_MAX (16 * KIB) /* the piece in which bulk travels */
#define FRAME_LEN_MAX      (FRAME_HEAD_LEN + FRAME_BODY_LEN_MAX)
#define RECORD_HEAD_LEN    2
#define RECORD_LEN_MAX     (FRAME_LEN_MAX + NOISE_TAG_LEN) /* after the head */
#define RECORD_OVERHEAD    (RECORD_HEAD_LEN + NOISE_TAG_LEN)
#define HANDSHAKE_LEN_MAX  4096 /* certificate 400, four roots 600, keys and tags 150 */

static_assert(RECORD_LEN_MAX <= NOISE_MESSAGE_LEN_MAX, "one record is one Noise message");

/* --- Queues --- */
#define QUEUE_LEN_MAX (8 * MIB)  /* messages of one channel waiting for one node */
#define STREAMS_MAX   1024       /* that one side may have open on one link */
#define WRITE_LEN     (64 * KIB) /* handed to the kernel at a time */
#define NOTSENT_LEN   (64 * KIB) /* lying unsent in the kernel, ahead of what is urgent */

/* --- Time --- */
#define CONNECT_NS     (2 * NS_PER_S)
#define HANDSHAKE_NS   (5 * NS_PER_S) /* from the first byte to a usable link */
#define PING_AFTER_NS  (1 * NS_PER_S) /* without a byte received */
#define DEAD_AFTER_NS  (3 * NS_PER_S)
#define HELD_UP_NS     (500 * NS_PER_MS) /* a timer that late: this process was stopped */
#define RTT_EVERY_NS   (5 * NS_PER_S)    /* measured at least so often on a busy link */
#define IDLE_CLOSE_NS  (60 * NS_PER_S)   /* on-demand links, by the one who dialled */
#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (2 * NS_PER_S)
#define LINGER_NS      (1 * NS_PER_S) /* for the last frame of a connection to leave */
#define REKEY_NS       (3600 * NS_PER_S)
#define REKEY_LEN      (1 * GIB)

/* --- Enrolment --- */
#define ENROLL_ANSWER_NS     (60 * NS_PER_S) /* for a quorum that is just being elected */
#define ENROLL_PENDING_MAX   64              /* requests waiting for their answer */
#define ENROLL_FAILURES_MAX  5               /* wrong tokens from one address ... */
#define ENROLL_WINDOW_NS     (60 * NS_PER_S) /* ... within this time */
#define ENROLL_ADDRESSES_MAX 64              /* addresses remembered for that */

#define LINK_COUNT_DEFAULT      16384
#define HANDSHAKE_COUNT_DEFAULT 256
#define PEERS_MAX               16384

#endif /* NODE_CLUSTER_LINK_LIMITS_H */
