/* gossip/gossip.h - Who seems alive: SWIM membership as a state machine, without I/O.
 *
 * Feed a struct gossip events; take out a struct gossip_output that says which packets to
 * send, which streams to serve, what changed, and when it next wants to be called. It reads no
 * clock, opens no socket, starts no thread and calls nothing back: the same configuration and
 * the same events always give the same outputs.
 *
 * The host, for every event:
 *     gossip_step(g, &event, now, &out)
 *       send    out.packets, already sealed, each to its address; losing them is no error
 *       serve   out.streams, in order (see enum gossip_stream_kind)
 *       act on  out.notices, in order
 *       wake up at out.deadline and feed GOSSIP_TIMEOUT
 * Feed GOSSIP_START first. Packets that wait in a socket are fed before GOSSIP_TIMEOUT: an answer
 * that has already arrived must not lose against the timer that waits for it.
 *
 * What it knows. Each member has one record, signed by the member itself: id, incarnation,
 * address, alive or leaving, and a hash of its metadata. Against a record stand
 * accusations, each signed by one accuser and naming one incarnation. Both only ever
 * replace older ones, so the order in which they arrive does not matter. Nobody can say
 * "dead": each member concludes GOSSIP_UNREACHABLE by itself, when enough accusers agree for long
 * enough and the accused, who is told, does not answer with a higher incarnation.
 * An unreachable member is suspended, never deleted; only GOSSIP_FORGET deletes.
 *
 * Whom it believes. The cluster's gossip key lets a node take part; it proves no identity. A
 * record counts only when it is signed with the public key that the host gave for that id
 * (GOSSIP_TRUST). The record of any other id is a candidate: it is held, not passed on, not
 * probed, and reported as GOSSIP_NOTICE_CANDIDATE until the host answers GOSSIP_TRUST or
 * GOSSIP_FORGET. A host that knows the certificate authority puts a node's certificate into its
 * metadata and answers from that; a manager answers from the store.
 *
 * Time. `now` is monotonic. A call that comes later than the deadline asked for shows that this
 * node was not running: its timers stand still for that long, so that it accuses nobody of its
 * own sleep.
 *
 * Sources: [SWIM] Das, Gupta, Motivala 2002; [Lifeguard] Dadgar, Phillips, Currey 2017.
 * Wire format: docs/formats/gossip.md. Not thread-safe. */
#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/id.h"
#include "base/slice.h"
#include "base/units.h"
#include "gossip/limits.h"

#define GOSSIP_PUBLIC_KEY_LEN 32 /* Ed25519 */
#define GOSSIP_SECRET_KEY_LEN 64 /* Ed25519 as libsodium keeps it: seed and public key */
#define GOSSIP_KEY_LEN        32 /* XChaCha20-Poly1305 */

struct gossip;
struct gossip_pool;

/* Where packets go: 4 or 16 bytes of IP address, then the port in network order. The core only
 * compares and copies it. len 0 = none. */
struct gossip_addr {
    uint8_t len;
    uint8_t bytes[GOSSIP_ADDR_LEN_MAX];
};

/* Orders what a node says about itself; compare epoch first. */
struct gossip_incarnation {
    uint64_t epoch;   /* starts of the node, persisted by its host; from 1, below 2^48 */
    uint32_t counter; /* changes and refutations since that start */
};

/* In the order of a member's decline. */
enum gossip_status {
    GOSSIP_UNKNOWN,     /* trusted by the host, never heard of */
    GOSSIP_ALIVE,       /* as far as we know */
    GOSSIP_SUSPECT,     /* accused; still counts as alive */
    GOSSIP_UNREACHABLE, /* accused by enough members for long enough; may return at any time */
    GOSSIP_LEFT,        /* said so itself */
};

/* One key of the cluster. The first of a list seals; all of it opens. */
struct gossip_key {
    uint32_t epoch; /* rotation number, in clear in every packet */
    uint8_t bytes[GOSSIP_KEY_LEN];
};

/* An address worth trying for as long as it does not answer. */
struct gossip_contact {
    struct id id; /* none when only the address is known */
    struct gossip_addr addr;
};

/* All times are defaults set by gossip_config_init(). */
struct gossip_config {
    struct id id;                              /* this node */
    struct id cluster;                         /* packets of other clusters do not open */
    uint8_t secret_key[GOSSIP_SECRET_KEY_LEN]; /* signs records and accusations */
    struct gossip_addr addr;                   /* where others reach this node */
    struct slice meta;                         /* up to GOSSIP_META_LEN_MAX; copied */
    struct gossip_key keys[GOSSIP_KEYS_MAX];
    size_t key_count;    /* at least 1 */
    uint64_t boot_epoch; /* higher than at every earlier start: persist, then start */
    uint64_t seed;       /* probe order and jitter; fixed in tests */
    uint64_t salt;       /* random at every start: keeps nonces of equal ids and epochs apart */

    mono_ns probe_interval;        /* 400 ms: one member is probed */
    mono_ns rtt_floor;             /* 100 ms: a direct probe is never given less */
    mono_ns rtt_ceiling;           /* 400 ms: nor more, before local health stretches it */
    mono_ns gossip_interval;       /* 50 ms: while there is something to pass on */
    size_t gossip_fanout;          /* 3 members each time */
    mono_ns suspicion_min;         /* 1000 ms, grows by a quarter with each tenfold membership */
    unsigned suspicion_max_factor; /* 4: a suspicion that nobody confirms takes that much longer */
    mono_ns link_hold;             /* 2 s: a live link speaks for its node that long */
    mono_ns contact_interval_max;  /* 30 s: slowest retry of an unreachable address */
    mono_ns leave_time;            /* 600 ms from GOSSIP_LEAVE to GOSSIP_NOTICE_DONE */
    size_t packet_len_max;         /* GOSSIP_PACKET_LEN_MIN..GOSSIP_PACKET_LEN_MAX, sealed */
    size_t member_count_max;

    /* Immutable blobs (records, metadata) that several nodes of one process may share, or
     * NULL for a pool of its own. Borrowed until gossip_free(). For simulators. */
    struct gossip_pool *pool;
};

enum gossip_event_kind {
    GOSSIP_START,
    GOSSIP_TIMEOUT,         /* the deadline has come; never wrong, only useless when early */
    GOSSIP_PACKET,          /* addr, bytes: a datagram arrived */
    GOSSIP_SEND_FAILED,     /* addr: the system says that nothing listens there */
    GOSSIP_SET_META,        /* bytes: this node's metadata is now this */
    GOSSIP_SET_ADDR,        /* addr: others reach this node here from now on */
    GOSSIP_SET_KEYS,        /* keys: rotation; the first seals, the others only open */
    GOSSIP_SET_CONTACTS,    /* contacts: replaces the list */
    GOSSIP_TRUST,           /* id, public_key: this id is a member of the cluster with this key */
    GOSSIP_FORGET,          /* id: removed from the cluster, or a candidate refused */
    GOSSIP_LINK_ALIVE,      /* id: its link has just carried something from it */
    GOSSIP_LINK_LOST,       /* id: its link was reset: probe it now */
    GOSSIP_LEAVE,           /* say goodbye; then wait for GOSSIP_NOTICE_DONE */
    GOSSIP_STREAM_INBOUND,  /* stream: a peer opened a stream; the host numbers these even */
    GOSSIP_STREAM_DATA,     /* stream, bytes: in any cuts */
    GOSSIP_STREAM_WRITABLE, /* stream: connected, or all bytes put out so far are gone */
    GOSSIP_STREAM_CLOSED,   /* stream: ended, refused or failed; fed once, also after CLOSE */
};

/* Borrowed for the call. Members not named at the kind are ignored. */
struct gossip_event {
    enum gossip_event_kind kind;
    struct gossip_addr addr;
    struct slice bytes;
    struct id id;
    const uint8_t *public_key; /* GOSSIP_PUBLIC_KEY_LEN bytes */
    uint64_t stream;           /* not 0 */
    const struct gossip_key *keys;
    size_t key_count;
    const struct gossip_contact *contacts;
    size_t contact_count;
};

struct gossip_packet {
    struct gossip_addr to;
    struct slice bytes;
};

enum gossip_stream_kind {
    GOSSIP_STREAM_OPEN,  /* connect to `peer` at `addr`; then feed WRITABLE, or CLOSED */
    GOSSIP_STREAM_SEND,  /* bytes; when all are handed to the system feed WRITABLE */
    GOSSIP_STREAM_CLOSE, /* after what was sent; then feed CLOSED */
};

struct gossip_stream_op {
    enum gossip_stream_kind kind;
    uint64_t stream; /* odd when opened by this node */
    struct id peer;  /* none when a contact is known by address only */
    struct gossip_addr addr;
    struct slice bytes;
};

enum gossip_notice_kind {
    GOSSIP_NOTICE_JOINED,      /* first heard of, in whatever status */
    GOSSIP_NOTICE_ALIVE,       /* cleared of suspicion, or back */
    GOSSIP_NOTICE_SUSPECT,     /* may still clear itself; do not act on it */
    GOSSIP_NOTICE_UNREACHABLE, /* the verdict; suspend what the member offers */
    GOSSIP_NOTICE_LEFT,        /* left by its own word */
    GOSSIP_NOTICE_META,        /* its metadata changed, or arrived after JOINED */
    GOSSIP_NOTICE_ADDR,        /* its address changed */
    GOSSIP_NOTICE_CANDIDATE,   /* answer GOSSIP_TRUST or GOSSIP_FORGET; nothing was verified */
    GOSSIP_NOTICE_EPOCH,       /* own: a higher epoch of this node was seen; persist `epoch` */
    GOSSIP_NOTICE_CONFLICT,    /* own: another process runs with this node's identity */
    GOSSIP_NOTICE_DONE,        /* own: the goodbye was said */
};

struct gossip_notice {
    enum gossip_notice_kind kind;
    enum gossip_status status;
    struct id id;
    struct gossip_incarnation incarnation;
    struct gossip_addr addr;
    struct slice meta; /* empty while it has not arrived */
};

/* What the host must do now. Pointers borrow from the gossip until the next call on it. */
struct gossip_output {
    const struct gossip_packet *packets;
    size_t packet_count;
    const struct gossip_stream_op *streams;
    size_t stream_count;
    const struct gossip_notice *notices;
    size_t notice_count;
    mono_ns deadline; /* call again then at the latest; MONO_NEVER = no need */
};

/* What was counted since the start. X(name, text). */
#define GOSSIP_COUNTERS(X)                                                                     \
    X(packets_in, "packets opened and handled")                                                \
    X(packets_out, "packets put out")                                                          \
    X(bytes_out, "bytes of those packets")                                                     \
    X(refused_seal, "packets or frames that no key opens: wrong key, cluster, or damaged")     \
    X(refused_replay, "packets that were seen before or are of an earlier life of the sender") \
    X(refused_malformed, "opened, but fields contradict each other or their bounds")           \
    X(refused_signature, "records or accusations with a wrong signature")                      \
    X(refused_full, "work refused because a table was full")                                   \
    X(misdirected, "probes for another node that has or had our address")                      \
    X(probes, "probes started")                                                                \
    X(probes_failed, "probes without any answer")                                              \
    X(accusations, "accusations made by this node")                                            \
    X(refutations, "accusations against this node that it answered")                           \
    X(verdicts, "members found unreachable")                                                   \
    X(stalls, "times this node was not running when it had asked to be called")                \
    X(syncs, "digest differences worked on by packets")                                        \
    X(exchanges, "streams opened to exchange many records")

struct gossip_stats {
#define GOSSIP_COUNTER_MEMBER(name, text) uint64_t name;
    GOSSIP_COUNTERS(GOSSIP_COUNTER_MEMBER)
#undef GOSSIP_COUNTER_MEMBER
    unsigned health;        /* 0 is well, up to GOSSIP_HEALTH_MAX; stretches our time-outs */
    size_t alive_count;     /* alive and suspect members, with this node */
    size_t member_count;    /* all with a record, with this node */
    size_t candidate_count; /* waiting for the host's word */
    size_t queue_count;     /* records and accusations waiting to be passed on */
    mono_ns mismatch_age;   /* how long some peer's digest has differed from ours; 0 = it agrees */
    size_t key_lag_count;   /* alive members not yet seen sealing with our first key */
};

struct gossip_member_info {
    struct id id;
    enum gossip_status status;
    struct gossip_incarnation incarnation;
    struct gossip_addr addr;
    struct slice meta;      /* borrows until the next step */
    mono_ns rtt;            /* smoothed; 0 = never measured */
    unsigned accuser_count; /* distinct accusers of the current incarnation */
    uint32_t key_epoch;     /* the key it last sealed with; 0 = never heard directly */
};

/* Sets every default; id, cluster, keys, addresses, epoch, seed and salt are the caller's. */
void gossip_config_init(struct gossip_config *cfg);

/* Creates a node that knows only itself. Copies `cfg`. The caller owns *out: gossip_free().
 *   ERR_INVALID (cfg breaks a rule stated at its field), -ENOMEM */
NODISCARD int gossip_new(const struct gossip_config *cfg, struct gossip **out);

void gossip_free(struct gossip *g); /* accepts NULL; ends every borrow, wipes the keys */

/* Handles one event. Borrows `event` for the call; `now` never goes back. Bad bytes from a peer are
 * no error: they are counted in the stats and dropped. *out is always written.
 *   ERR_INVALID  the event breaks a rule stated at its kind (host's fault; nothing changed)
 *   ERR_FULL     GOSSIP_TRUST: the table holds member_count_max members
 *   -ENOMEM      the event may have had no effect; the state is whole */
NODISCARD int gossip_step(struct gossip *g, const struct gossip_event *event, mono_ns now,
                          struct gossip_output *out);

struct gossip_incarnation gossip_self_incarnation(const struct gossip *g);
void gossip_stats_get(const struct gossip *g, struct gossip_stats *out);

/* One member, this node included.  ERR_NOT_FOUND */
NODISCARD int gossip_member_get(const struct gossip *g, const struct id *id,
                                struct gossip_member_info *out);

/* Every member with a record, in no order that means anything: start with *cursor = 0 and go on
 * while it returns true. Ends early when members are forgotten meanwhile. */
bool gossip_member_next(const struct gossip *g, size_t *cursor, struct gossip_member_info *out);

/* A hash of every record and accusation held: equal at two nodes exactly when their views are (but
 * for a chance of 2^-64). */
uint64_t gossip_digest(const struct gossip *g);

/* -1, 0 or 1. */
int gossip_incarnation_cmp(struct gossip_incarnation a, struct gossip_incarnation b);

bool gossip_addr_equal(const struct gossip_addr *a, const struct gossip_addr *b);

/* For people: "alive", "suspect", "unreachable", "left", "unknown". */
const char *gossip_status_text(enum gossip_status status);

/* A pool for gossip_config.pool; free it after every gossip that uses it. */
NODISCARD int gossip_pool_new(struct gossip_pool **out);
void gossip_pool_free(struct gossip_pool *pool);

#endif /* GOSSIP_GOSSIP_H */
