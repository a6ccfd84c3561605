/* gossip/member.h - The member table: who is known, in what state, and how it is found.
 *
 * A member exists from the host's word (TRUST) to the host's word (FORGET). Members live at
 * stable addresses and have slot numbers, so that a walk over the table survives changes.
 * `live` is the set of others that count as alive: the round of probes goes through
 * it, and every random choice is made from it. */
#ifndef GOSSIP_MEMBER_H
#define GOSSIP_MEMBER_H

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "gossip/blob.h"
#include "gossip/gossip.h"
#include "gossip/record.h"

/* Something that waits to be passed on: dissemination.h. */
struct queued {
    struct list link; /* linked while it waits */
    uint8_t kind;
    uint8_t transmits; /* packets it was part of so far */
    bool urgent;
    bool with_meta;
};

struct accused_by {
    node_ref accuser;
    struct blob *blob;
    struct queued queued;
};

/* The case against one member's incarnation. Exists while there is an accusation. */
struct suspicion {
    struct member *subject;
    struct heap_node timer; /* suspect: the verdict; unreachable: the next attempt to reach it */
    mono_ns since;          /* first accusation */
    mono_ns recheck;        /* ask again for confirmation then; MONO_NEVER = asked */
    mono_ns retry_interval;
    bool retry_granted; /* the next attempt has its slot in the common budget */
    unsigned count;
    struct accused_by by[GOSSIP_ACCUSERS_MAX]; /* ascending accuser, lowest kept: order-free */
};

/* What direct contact taught. Allocated at the first: most members of a large cluster are known
 * by hearsay only. Times are 0 = never. */
struct peer {
    uint64_t boot_epoch; /* replay window: nonces of this epoch .. */
    uint64_t salt;       /* .. and this life, .. */
    uint64_t counter;    /* .. up to this one, .. */
    uint64_t window;     /* .. of which bit i says that counter - i was seen */
    uint32_t key_epoch;
    uint32_t srtt_us; /* 0 = not measured; RFC 6298 */
    uint32_t rttvar_us;
    mono_ns heard;            /* it answered a probe of ours itself */
    mono_ns failed;           /* it did not answer a direct probe of ours */
    mono_ns link_until;       /* the host says that its link lives; good until then */
    mono_ns tell_stale_after; /* it is not told again before that its epoch is used up */
};

struct member {
    node_ref ref;
    struct blob *trust;  /* id, then public key, as the host gave them */
    struct blob *record; /* NULL: GOSSIP_UNKNOWN */
    struct blob *meta;   /* NULL: none, or not arrived; never one that the record does not name */
    struct suspicion *suspicion;
    struct peer *peer;
    struct queued queued; /* its record */
    uint32_t slot;
    uint32_t live_index; /* place in `live`; NOT_LIVE */
    uint8_t status;      /* enum gossip_status */
    bool meta_missing;   /* the record names metadata that is not here */
};

#define NOT_LIVE UINT32_MAX

struct members {
    struct member **chunks; /* MEMBER_CHUNK each; a free slot has ref 0 */
    size_t chunk_count;
    uint32_t slot_count; /* slots ever used */
    uint32_t *free_slots;
    size_t free_count;
    uint32_t *index;  /* by ref, open addressing: 0 = free, else slot + 1 */
    size_t index_len; /* power of two, at least twice slot_count */
    uint32_t *live;
    size_t live_count;
    size_t count; /* with or without a record */
    size_t limit;
};

#define MEMBER_CHUNK 64

void members_init(struct members *t, size_t limit);
void members_deinit(struct members *t, struct gossip_pool *pool);

struct member *member_find(const struct members *t, node_ref ref); /* NULL = not there */

/* The member in a slot below slot_count; NULL = free. */
struct member *member_at(const struct members *t, size_t slot);

/* Adds a member with `trust`, of which it takes a reference.  ERR_FULL, ERR_EXISTS (the ref),
 * -ENOMEM */
NODISCARD int member_add(struct members *t, node_ref ref, struct blob *trust, struct member **out);

/* Removes it from every structure and drops its blobs. Its suspicion must be gone. */
void member_remove(struct members *t, struct gossip_pool *pool, struct member *m);

struct id member_id(const struct member *m);
const uint8_t *member_key(const struct member *m);
struct blob *member_trust(struct gossip_pool *pool, const struct id *id, const uint8_t *public_key);

/* NULL on lack of memory; the caller can do without. */
struct peer *member_peer(struct member *m);

/* Puts it into `live` at a random place, or takes it out. */
void member_set_live(struct members *t, struct member *m, struct prng *prng);
void member_set_not_live(struct members *t, struct member *m);
void members_shuffle_live(struct members *t, struct prng *prng);

/* Up to `want` distinct live members other than `except` (or NULL), uniformly. Returns how many. */
size_t members_sample(const struct members *t, struct prng *prng, const struct member *except,
                      size_t want, struct member **out);

#endif /* GOSSIP_MEMBER_H */
