/* gossip/view.h - Merging statements into what this node believes.
 *
 * The merge is a join of semilattices: of two records of a node the higher incarnation stays (at
 * equal incarnation the greater bytes: only a node that breaks the rules signs two), and of the
 * accusations of the incarnation held the GOSSIP_ACCUSERS_MAX of the lowest accusers stay. So
 * order and repetition do not matter, and two nodes that have seen the same statements hold
 * the same bytes. */
#ifndef GOSSIP_VIEW_H
#define GOSSIP_VIEW_H

#include "gossip/state.h"

/* Both take bytes from a peer. `source` is the member that sent them, or NULL.
 * True when something was learned. */
bool view_take_record(struct gossip *g, struct slice bytes, const struct member *source);
bool view_take_accusation(struct gossip *g, struct slice bytes);

/* Someone heard another life of this node in our epoch or a later one. Anyone with the gossip key
 * can say so; it costs us an epoch, and at most one for each pause. */
void view_take_stale(struct gossip *g, const struct message_stale *stale);

/* Signs and publishes what this node says about itself now, as `incarnation`. */
void view_say_self(struct gossip *g, struct gossip_incarnation incarnation,
                   const struct gossip_addr *addr, struct slice meta);

/* The same with the next counter: metadata or address changed, or a refutation is due. */
struct gossip_incarnation view_next_incarnation(const struct gossip *g);
void view_refute(struct gossip *g);

/* This node accuses a member, unless enough others have. */
void view_accuse(struct gossip *g, struct member *m);

/* The host's words. */
int view_trust(struct gossip *g, const struct id *id, const uint8_t *public_key);
void view_forget(struct gossip *g, struct member *m);

void view_set_status(struct gossip *g, struct member *m, enum gossip_status status,
                     enum gossip_notice_kind notice);
void view_notice(struct gossip *g, const struct member *m, enum gossip_notice_kind kind);

/* What two nodes compare about a member: equal when its record and accusations are. */
uint64_t member_version(const struct member *m);

#endif /* GOSSIP_VIEW_H */
