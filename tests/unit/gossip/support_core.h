/* tests/unit/gossip/support_core.h - Single nodes, and what others might send them. */
#ifndef TESTS_UNIT_GOSSIP_SUPPORT_CORE_H
#define TESTS_UNIT_GOSSIP_SUPPORT_CORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gossip/gossip.h"
#include "gossip/record.h"
#include "gossip/seal.h"

/* Identities are numbers; everything else about them follows. */
struct id support_id(unsigned number);
struct id support_cluster(void);
struct gossip_addr support_addr(unsigned number);
void support_keys(unsigned number, uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN],
                  uint8_t secret_key[GOSSIP_SECRET_KEY_LEN]);
struct gossip_key support_gossip_key(uint32_t epoch);

struct gossip_config support_config(unsigned number);
struct gossip *support_node(unsigned number); /* started at time 0 */

/* One event; the core must accept it. The output borrows as in gossip.h. */
struct gossip_output support_step(struct gossip *g, const struct gossip_event *e, mono_ns now);
struct gossip_output support_plain(struct gossip *g, enum gossip_event_kind kind, mono_ns now);
struct gossip_output support_trust(struct gossip *g, unsigned number, mono_ns now);
struct gossip_output support_packet(struct gossip *g, unsigned from, struct slice bytes,
                                    mono_ns now);

/* A packet that node `from` might send: seal what was written to support_body(). */
struct forge {
    struct sealer sealer;
    uint64_t boot_epoch;
    uint8_t buf[GOSSIP_PACKET_LEN_MAX];
    struct writer body;
};
void support_forge_init(struct forge *f, unsigned from);
void support_forge_begin(struct forge *f, unsigned from);
struct slice support_forge_end(struct forge *f);

/* Statements, signed by whoever `signer` is. */
struct slice support_record(uint8_t out[RECORD_LEN_MAX], unsigned about, uint64_t epoch,
                            uint32_t counter, unsigned signer);
struct slice support_record_with(uint8_t out[RECORD_LEN_MAX], unsigned about, uint64_t epoch,
                                 uint32_t counter, unsigned signer, struct slice meta);
struct slice support_accusation(uint8_t out[ACCUSATION_LEN], unsigned subject, uint64_t epoch,
                                uint32_t counter, unsigned accuser, unsigned signer);

/* Gives `g` a trusted member with a record of that incarnation. */
void support_meet(struct gossip *g, struct forge *f, unsigned number, mono_ns now);

struct gossip_stats support_stats(const struct gossip *g);
enum gossip_status support_member_status(const struct gossip *g, unsigned number);

#endif /* TESTS_UNIT_GOSSIP_SUPPORT_CORE_H */
