/* gossip/exchange.h - Comparing everything over a stream: joining, healing, large metadata.
 *
 *     opener     HELLO, own RECORD, LIST of (ref, version).., END
 *     responder  WANT.., RECORD and ACCUSATION that the opener lacks or has otherwise.., END
 *     opener     RECORD and ACCUSATION wanted.., END
 *
 * With HELLO.pull the opener sends WANT.. instead of LIST and the answer ends the exchange. Every
 * frame is sealed like a packet and stands behind its length (u32). What is not said
 * within EXCHANGE_TIME is cut off, however slowly it trickles. */
#ifndef GOSSIP_EXCHANGE_H
#define GOSSIP_EXCHANGE_H

#include "gossip/state.h"

#define EXCHANGE_TIME (20 * NS_PER_S)

/* Opens one to `m`, or with m NULL to whoever is at `addr`; nothing when one with the same peer or
 * too many are open. `id` may be none. */
void exchange_open(struct gossip *g, const struct member *m, const struct id *id,
                   const struct gossip_addr *addr);
void exchange_open_pull(struct gossip *g, const struct member *m, const node_ref *wants,
                        size_t count);

int exchange_on_inbound(struct gossip *g, uint64_t stream);
void exchange_on_data(struct gossip *g, uint64_t stream, struct slice bytes);
void exchange_on_writable(struct gossip *g, uint64_t stream);
void exchange_on_closed(struct gossip *g, uint64_t stream);

void exchange_run(struct gossip *g);
mono_ns exchange_deadline(const struct gossip *g);
void exchanges_deinit(struct gossip *g);

#endif /* GOSSIP_EXCHANGE_H */
