/* gossip/dissemination.h - What waits to be passed on, and the packets that carry it.
 *
 * An item is part of 4 * ceil(log10(n + 1)) packets and then forgotten: [SWIM] 4.1. Least-sent
 * first and oldest first among equals, so a flood of others' news starves nothing; our own
 * record goes before all. Refutations and accusations have a lane of their own, which
 * takes at most two thirds of a packet while the other waits too. */
#ifndef GOSSIP_DISSEMINATION_H
#define GOSSIP_DISSEMINATION_H

#include "gossip/state.h"

#define META_INLINE_MAX 512 /* metadata that gossip carries along; more is pulled */

enum queued_kind { QUEUED_RECORD, QUEUED_ACCUSATION };

/* One packet in the making; one budget for all that goes into it. */
struct draft {
    uint8_t buf[GOSSIP_PACKET_LEN_MAX];
    struct writer body;
    struct gossip_addr to;
};

/* Starts a packet: who sends it and the digest of what it knows. */
void draft_begin(struct gossip *g, struct draft *d, const struct gossip_addr *to);

/* Seals and puts out the packet. With `piggyback`, what waits in the queue fills it up first;
 * `to` is the member that will read it, or NULL, and is not told about itself. */
void draft_send(struct gossip *g, struct draft *d);
void draft_send_piggyback(struct gossip *g, struct draft *d, const struct member *to);

/* Appends a record, with its metadata if that is here, wanted and fits. False: no room. */
bool write_member_record(struct writer *w, const struct member *m, size_t meta_len_max);
bool write_accusation(struct writer *w, const struct accused_by *by);

void queue_init(struct queue *q);
void queue_record(struct gossip *g, struct member *m, enum lane lane, bool with_meta);
void queue_accusation(struct gossip *g, struct accused_by *by);
void queue_remove(struct gossip *g, struct queued *item);

/* Others say it already: counts as one transmission of ours once a few are done ("feedback" of
 * rumour mongering: Demers et al. 1987, 1.4). Keeps a crowd from telling itself for long. */
void queue_heard(struct gossip *g, struct queued *item);

void dissemination_run(struct gossip *g);
mono_ns dissemination_deadline(const struct gossip *g);

#endif /* GOSSIP_DISSEMINATION_H */
