/* overlaynet/nft_batch.h - One transaction of nf_tables as the kernel reads it. Pure.
 *
 * For tables that are made and changed so often that starting nft(8) each time would be most of
 * the cost: virtual IPs, in every sandbox. nft_send() in nft.h carries it out. One table of the
 * family inet, said at the beginning; an error stays and is told by nft_batch_end().
 *
 *     nft_batch_begin(&b, "shoal_services", limit)
 *     nft_table_replace, nft_set_add, nft_element_add .., nft_chain_add
 *     nft_rule_begin, expressions from left to right, nft_rule_end
 *     nft_batch_end(&b), nft_send(&b, ..), nft_batch_deinit(&b)
 *
 * Expressions pass values in registers of 16 bytes, NFT_REG_1 to 4, which are NFT_REG32_00 to 15
 * in pieces of 4. A value that a test does not find ends the rule. Format: linux/netfilter/
 * nf_tables.h; what a rule looks like: nft --debug=netlink. */
#ifndef OVERLAYNET_NFT_BATCH_H
#define OVERLAYNET_NFT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

struct nft_batch {
    struct buf bytes;
    const char *table; /* borrowed */
    uint32_t sequence;
    size_t message_at;       /* the one being written */
    size_t rule_at;          /* its list of expressions */
    const char *elements_of; /* the set whose elements it lists; NULL = another message */
    size_t elements_at;      /* their list */
    int err;
};

void nft_batch_begin(struct nft_batch *b, const char *table, size_t limit);
NODISCARD int nft_batch_end(struct nft_batch *b); /* ERR_TOO_LARGE, -ENOMEM */
void nft_batch_deinit(struct nft_batch *b);

void nft_table_replace(struct nft_batch *b); /* an empty one, whatever was there */
/* No table of that name, whether there was one or not. */
void nft_table_remove(struct nft_batch *b, const char *table);

/* Types as nft(8) numbers them, for who lists the rules. */
enum nft_type { NFT_TYPE_INTEGER = 4, NFT_TYPE_IP4 = 7, NFT_TYPE_IP6 = 8 };

struct nft_set {
    const char *name;
    uint32_t key_type, key_len;   /* concatenated: types in 6 bits each, the first one highest */
    uint32_t data_type, data_len; /* of a map; 0 = a set */
};
void nft_set_add(struct nft_batch *b, const struct nft_set *set);
void nft_set_flush(struct nft_batch *b, const char *set);
/* `data` NULL: of a set. Elements of one set come one after the other. */
void nft_element_add(struct nft_batch *b, const char *set, const void *key, size_t key_len,
                     const void *data, size_t data_len);

/* A base chain: `type` is "nat", "filter" or "route"; hooks as in linux/netfilter.h. */
void nft_chain_add(struct nft_batch *b, const char *name, const char *type, uint32_t hook,
                   int32_t priority);

void nft_rule_begin(struct nft_batch *b, const char *chain);
void nft_rule_end(struct nft_batch *b);

void nft_meta(struct nft_batch *b, uint32_t key, uint32_t into);
void nft_payload(struct nft_batch *b, uint32_t base, uint32_t offset, uint32_t len, uint32_t into);
void nft_need_equal(struct nft_batch *b, uint32_t reg, const void *value, size_t len);
void nft_immediate(struct nft_batch *b, const void *value, size_t len, uint32_t into);
void nft_random(struct nft_batch *b, uint32_t below, uint32_t into);
/* In a set: must be there. In a map: `into` gets what belongs to it (0: a set). */
void nft_lookup(struct nft_batch *b, const char *set, uint32_t reg, uint32_t into);
/* `port_reg` 0: the port stays. */
void nft_dnat(struct nft_batch *b, uint32_t family, uint32_t addr_reg, uint32_t port_reg);
void nft_reject(struct nft_batch *b, uint32_t type, uint8_t icmp_code);

#endif /* OVERLAYNET_NFT_BATCH_H */
