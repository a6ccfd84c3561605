/* chaos/sim/gossip_model_priv.h - One modelled node, for the files gossip_model*.c. */
#ifndef CHAOS_SIM_GOSSIP_MODEL_PRIV_H
#define CHAOS_SIM_GOSSIP_MODEL_PRIV_H

#include "chaos/sim/gossip_model.h"

#define MODEL_PROBE_INTERVAL NS_PER_S
#define MODEL_SUSPICION_MULT 4
#define MODEL_CLAIMS_MAX     20 /* in one packet of 1400 bytes */
#define MODEL_CONFIRMERS_MAX 2  /* SUSPICION_MULT - 2 */
#define MODEL_HELPING_MAX    64

/* "node .. is .. in incarnation ..": what is gossiped. */
struct model_claim {
    uint32_t subject;
    uint32_t incarnation;
    uint32_t from;
    uint8_t status; /* enum gossip_status */
};

enum model_message_kind { MODEL_PING, MODEL_ACK, MODEL_PING_REQ, MODEL_NACK, MODEL_GOSSIP };

struct model_message {
    uint8_t kind;
    uint8_t count;
    uint32_t seq;
    uint32_t target;
    struct model_claim claims[MODEL_CLAIMS_MAX];
};

/* Small, for there are n^2 of them; a status of its own array. */
struct model_view {
    uint32_t incarnation;
    uint32_t changed_ms;
};

struct model_suspicion {
    uint32_t subject;
    mono_ns start;
    uint32_t needed; /* confirmations for the shortest time-out */
    uint32_t from[MODEL_CONFIRMERS_MAX + 1];
    uint32_t count; /* accusers, the first included */
};

struct model_news {
    struct model_claim claim;
    unsigned transmits;
};

struct model_helping {
    uint32_t seq, requester, requester_seq, target; /* seq 0 = free */
    mono_ns nack_at;                                /* MONO_NEVER = said */
};

struct model_probe {
    uint32_t seq; /* 0 = none under way */
    uint32_t target;
    bool indirect;
    bool contacted; /* the reliable ping was answered; counts at the end */
    unsigned nacks_expected, nacks_heard;
    mono_ns timeout, end;
    mono_ns fallback; /* when the reliable ping's answer is there; MONO_NEVER */
};

struct model {
    bool lifeguard;
    uint8_t *statuses;        /* enum gossip_status, by subject */
    struct model_view *views; /* by subject */
    uint32_t *order;          /* of probes */
    size_t order_next;
    uint32_t incarnation;
    unsigned awareness;
    uint32_t next_seq;
    size_t alive; /* or suspect; this node included */
    struct model_suspicion *suspicions;
    size_t suspicion_count, suspicion_cap;
    struct model_news *news; /* oldest first */
    size_t news_count, news_cap;
    struct model_helping helping[MODEL_HELPING_MAX];
    size_t helping_next;
    struct model_probe probe;
    mono_ns next_probe, next_gossip, next_full;
};

/* Whom a random choice may fall on. */
enum model_pick { MODEL_PICK_ALIVE, MODEL_PICK_GOSSIP /* suspect and lately dead ones too */ };

/* Up to `want` distinct others. */
size_t model_pick(struct world *w, struct world_node *n, enum model_pick whom, uint32_t except,
                  size_t want, uint32_t *out);

/* Local health, 0 to 7: [Lifeguard] IV-A. */
void model_add_awareness(struct model *m, int delta);

/* --- gossip_model_news.c: what waits to be passed on */
void model_spread(struct model *m, const struct model_claim *c); /* replaces older news */

/* Fills the message up with news. */
void model_send(struct world *w, struct world_node *n, unsigned to, struct model_message *msg);

/* --- gossip_model_belief.c: what one node holds of the others */
void model_hear(struct world *w, struct world_node *n, const struct model_claim *c);
mono_ns model_verdict_at(const struct model *m, const struct model_suspicion *s);
bool model_run_suspicions(struct world *w, struct world_node *n); /* true: some were due */

/* --- gossip_model_probe.c */
void model_on_ping_req(struct world *w, struct world_node *n, unsigned from,
                       const struct model_message *msg);
void model_on_ack(struct world *w, struct world_node *n, uint32_t seq);
void model_on_nack(struct world_node *n, uint32_t seq);
bool model_run_probe(struct world *w, struct world_node *n);   /* a phase that is over */
bool model_start_probe(struct world *w, struct world_node *n); /* the ticker */
bool model_run_nacks(struct world *w, struct world_node *n);
mono_ns model_probe_deadline(const struct model *m);

#endif /* CHAOS_SIM_GOSSIP_MODEL_PRIV_H */
