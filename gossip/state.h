/* gossip/state.h - The whole state of one node, for the files of this folder.
 *
 * Each file owns its part and offers x_run(g), which does what is due, and x_deadline(g). Times
 * are this node's waking time (g->now): see gossip.c on stalls. */
#ifndef GOSSIP_STATE_H
#define GOSSIP_STATE_H

#include "base/heap.h"
#include "base/prng.h"
#include "gossip/gossip.h"
#include "gossip/member.h"
#include "gossip/output.h"
#include "gossip/seal.h"

/* --- dissemination.c */
enum lane { LANE_URGENT, LANE_NORMAL, LANE_COUNT };
#define TRANSMITS_MAX 32 /* 4 for each decimal digit of the largest membership, and slack */

struct queue {
    struct list by_transmits[LANE_COUNT][TRANSMITS_MAX]; /* oldest first: nothing starves */
    size_t count;
    mono_ns next; /* next round of gossip; MONO_NEVER while the queue is empty */
};

/* --- probe.c */
enum probe_purpose {
    PROBE_OWN,     /* our turn, or checking what another says; failing makes an accusation */
    PROBE_HELP,    /* for `requester`; failing makes a nack */
    PROBE_CONTACT, /* an address that may have come back; failing is expected */
};

struct probe {
    bool used;
    bool indirect;    /* helpers were asked */
    unsigned repeats; /* pings since then */
    bool resent;      /* the answer's time says nothing about the round trip: Karn's rule */
    enum probe_purpose purpose;
    uint32_t seq;
    node_ref target; /* 0: whoever answers at `addr` */
    struct gossip_addr addr;
    mono_ns sent;
    mono_ns deadline; /* of the current phase */
    unsigned nacks_due;
    uint32_t requester_seq;
    struct gossip_addr requester;
};

struct probes {
    struct probe list[GOSSIP_PROBES_MAX];
    size_t used_count;
    size_t cursor; /* in members.live: one round goes through all */
    mono_ns next;
};

/* --- contact.c */
struct contact {
    struct id id; /* none when only the address is known */
    struct gossip_addr addr;
    node_ref ref; /* of id, or of who last answered there; 0 = nobody yet */
    mono_ns next;
    mono_ns interval;
};

struct contacts {
    struct contact list[GOSSIP_CONTACTS_MAX];
    size_t count;
    mono_ns slot; /* earliest time of the next attempt at an unreachable member */
};

/* --- candidate.c */
struct candidate {
    node_ref ref; /* 0 = free */
    struct blob *record;
    struct blob *meta;
    node_ref source; /* who sent it last */
    mono_ns touched;
    mono_ns ask_after;     /* the host is not asked again before */
    mono_ns refused_until; /* 0 = not refused */
};

struct candidates {
    struct candidate *list; /* GOSSIP_CANDIDATES_MAX, allocated at the first; NULL before */
    size_t count;
};

/* --- digest.c */
struct reconcile {
    node_ref peer;          /* whom we are comparing with; 0 = nobody */
    mono_ns deadline;       /* the comparison is given up */
    mono_ns next;           /* not before */
    mono_ns backoff;        /* grows while comparing changes nothing */
    unsigned fruitless;     /* comparisons in a row that changed nothing */
    mono_ns mismatch_since; /* 0 = the last digest heard was ours */
    uint64_t digest_before; /* ours when the comparison began */
    mono_ns stranger_next;  /* a stranger's digest is not answered before */
};

/* --- exchange.c */
enum exchange_state {
    EXCHANGE_FREE,
    EXCHANGE_CONNECTING, /* opener: until writable */
    EXCHANGE_LISTING,    /* opener: says what it holds, or only what it wants */
    EXCHANGE_AWAITING,   /* reads until the other side's END */
    EXCHANGE_ANSWERING,  /* sends the records that the other side lacks, then END */
    EXCHANGE_CLOSING,    /* CLOSE was put out */
};

struct exchange {
    enum exchange_state state;
    bool opener;
    bool pull;       /* no comparison, only wants */
    bool idle;       /* may send: nothing of ours is in flight */
    bool said_wants; /* responder: its WANT is out */
    bool said_end;
    uint64_t stream;
    node_ref peer; /* 0 = not known yet */
    mono_ns deadline;
    size_t cursor;       /* slot, or place in `answers`, from which to go on */
    uint8_t *unlike;     /* responder: bit per slot that the opener lacks or holds otherwise */
    size_t unlike_slots; /* bits in it */
    node_ref *wants;     /* what we lack and ask for */
    size_t want_count;
    node_ref *answers; /* what the other side asked for */
    size_t answer_count;
    uint8_t *in; /* one frame behind its length, as far as it has arrived; NULL = none yet */
    size_t in_len;
    uint64_t in_total; /* bytes read in this exchange, bounded */
    size_t records;    /* read in this exchange */
};

struct exchanges {
    struct exchange list[GOSSIP_STREAMS_IN_MAX + GOSSIP_STREAMS_OUT_MAX];
    uint64_t last_stream; /* odd */
};

struct gossip {
    struct gossip_config cfg; /* meta and key material are kept elsewhere and cleared here */
    uint8_t secret_key[GOSSIP_SECRET_KEY_LEN];
    struct sealer sealer;
    struct prng prng;
    struct gossip_pool *pool;
    bool owns_pool;
    bool started;
    bool oom;   /* an allocation failed in this step */
    bool quiet; /* what is learned now comes in bulk over a stream, and goes on the same way */

    struct members members;
    struct member *self;
    struct gossip_incarnation incarnation;
    bool leaving;
    bool left;
    mono_ns leave_done;
    unsigned epoch_jumps; /* times that another life of this node outranked us */
    mono_ns epoch_jump_after;

    uint64_t digest;      /* sum of the hashes of all records and accusations held */
    mono_ns changed;      /* when it last changed */
    size_t record_count;  /* members with a record, self included */
    size_t missing_count; /* members whose metadata has not arrived */
    mono_ns pull_next;    /* pull.c asks for metadata; MONO_NEVER = none is missing */
    size_t pull_cursor;

    struct queue queue;
    struct probes probes;
    struct heap suspicions; /* every suspicion, by its timer */
    struct contacts contacts;
    struct candidates candidates;
    struct reconcile reconcile;
    struct exchanges exchanges;
    unsigned health; /* local health: 0 is well; [Lifeguard] IV-A */

    mono_ns now;     /* waking time */
    mono_ns stalled; /* real time minus waking time */
    mono_ns asked;   /* deadline returned last, waking time */

    struct output out;
    struct gossip_stats stats;
};

/* Live others and this node: the n of every formula. */
static inline size_t group_size(const struct gossip *g)
{
    return g->members.live_count + 1;
}

/* ceil(log10(n + 1)), at least 1: the scale of retransmissions. */
unsigned log10_ceil(size_t n);

void health_add(struct gossip *g, int delta);

#endif /* GOSSIP_STATE_H */
