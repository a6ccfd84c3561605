/* Messages between a begin and an end; attributes in each, nested where they have parts. Lengths
 * are filled in when what they cover is complete. Integers are in network order. */
#include "overlaynet/nft_batch.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>

#include "base/check.h"

#define ALIGNMENT          4     /* NLMSG_ALIGNTO, NLA_ALIGNTO */
#define ELEMENTS_BYTES_MAX 32768 /* of one message: the length of a list has 16 bits */

/* --- Bytes ----------------------------------------------------------------------------------- */

static void put(struct nft_batch *b, const void *bytes, size_t len)
{
    static const uint8_t zeros[ALIGNMENT];

    if (b->err == 0)
        b->err = buf_append(&b->bytes, bytes, len);
    if (b->err == 0)
        b->err = buf_append(&b->bytes, zeros, (ALIGNMENT - len % ALIGNMENT) % ALIGNMENT);
}

static void put_attr(struct nft_batch *b, uint16_t type, const void *value, size_t len)
{
    struct nlattr a = { .nla_len = (uint16_t)(sizeof(struct nlattr) + len), .nla_type = type };

    put(b, &a, sizeof(a));
    put(b, value, len);
}

static void put_text(struct nft_batch *b, uint16_t type, const char *text)
{
    put_attr(b, type, text, strlen(text) + 1);
}

static void put_u32(struct nft_batch *b, uint16_t type, uint32_t value)
{
    const uint8_t bytes[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value };

    put_attr(b, type, bytes, sizeof(bytes));
}

/* An attribute of attributes, which follow until nest_end. */
static size_t nest(struct nft_batch *b, uint16_t type)
{
    size_t at = b->bytes.len;

    put_attr(b, type | NLA_F_NESTED, NULL, 0);
    return at;
}

static void nest_end(struct nft_batch *b, size_t at)
{
    uint16_t len;

    if (b->err < 0)
        return;
    CHECK(b->bytes.len - at <= UINT16_MAX);
    len = (uint16_t)(b->bytes.len - at);
    memcpy(b->bytes.ptr + at + offsetof(struct nlattr, nla_len), &len, sizeof(len));
}

static void put_value(struct nft_batch *b, uint16_t type, const void *value, size_t len)
{
    size_t at = nest(b, type);

    put_attr(b, NFTA_DATA_VALUE, value, len);
    nest_end(b, at);
}

/* --- Messages -------------------------------------------------------------------------------- */

static void message(struct nft_batch *b, uint16_t type, uint16_t flags, uint8_t family,
                    uint16_t subsystem)
{
    struct nlmsghdr h = { .nlmsg_type = type,
                          .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                          .nlmsg_seq = b->sequence++ };
    struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0 };
    uint8_t *id = (uint8_t *)&g.res_id;

    id[0] = (uint8_t)(subsystem >> 8);
    id[1] = (uint8_t)subsystem;
    b->message_at = b->bytes.len;
    put(b, &h, sizeof(h));
    put(b, &g, sizeof(g));
}

static void message_end(struct nft_batch *b)
{
    uint32_t len = (uint32_t)(b->bytes.len - b->message_at);

    if (b->err == 0)
        memcpy(b->bytes.ptr + b->message_at + offsetof(struct nlmsghdr, nlmsg_len), &len,
               sizeof(len));
}

static void close_elements(struct nft_batch *b)
{
    if (b->elements_of == NULL)
        return;
    nest_end(b, b->elements_at);
    message_end(b);
    b->elements_of = NULL;
}

static void command(struct nft_batch *b, unsigned type, uint16_t flags)
{
    close_elements(b);
    message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET, 0);
}

void nft_batch_begin(struct nft_batch *b, const char *table, size_t limit)
{
    *b = (struct nft_batch){ .table = table, .sequence = 1 };
    buf_init(&b->bytes, limit);
    message(b, NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
    message_end(b);
}

int nft_batch_end(struct nft_batch *b)
{
    struct nlmsghdr last;

    close_elements(b);
    if (b->err == 0) { /* when the last one is acknowledged, all of them are */
        memcpy(&last, b->bytes.ptr + b->message_at, sizeof(last));
        last.nlmsg_flags |= NLM_F_ACK;
        memcpy(b->bytes.ptr + b->message_at, &last, sizeof(last));
    }
    message(b, NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
    message_end(b);
    return b->err;
}

void nft_batch_deinit(struct nft_batch *b)
{
    buf_deinit(&b->bytes);
}

/* --- Tables, sets, chains -------------------------------------------------------------------- */

static void name_table(struct nft_batch *b, unsigned type, uint16_t flags, const char *table)
{
    command(b, type, flags);
    put_text(b, NFTA_TABLE_NAME, table);
    message_end(b);
}

/* What is not there cannot be deleted: so it is made first. */
void nft_table_remove(struct nft_batch *b, const char *table)
{
    name_table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
    name_table(b, NFT_MSG_DELTABLE, 0, table);
}

void nft_table_replace(struct nft_batch *b)
{
    nft_table_remove(b, b->table);
    name_table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, b->table);
}

void nft_set_add(struct nft_batch *b, const struct nft_set *set)
{
    command(b, NFT_MSG_NEWSET, NLM_F_CREATE);
    put_text(b, NFTA_SET_TABLE, b->table);
    put_text(b, NFTA_SET_NAME, set->name);
    put_u32(b, NFTA_SET_FLAGS, set->data_len > 0 ? NFT_SET_MAP : 0);
    put_u32(b, NFTA_SET_KEY_TYPE, set->key_type);
    put_u32(b, NFTA_SET_KEY_LEN, set->key_len);
    if (set->data_len > 0) {
        put_u32(b, NFTA_SET_DATA_TYPE, set->data_type);
        put_u32(b, NFTA_SET_DATA_LEN, set->data_len);
    }
    put_u32(b, NFTA_SET_ID, b->sequence); /* names it within the transaction; ours have names */
    message_end(b);
}

void nft_set_flush(struct nft_batch *b, const char *set)
{
    command(b, NFT_MSG_DELSETELEM, 0);
    put_text(b, NFTA_SET_ELEM_LIST_TABLE, b->table);
    put_text(b, NFTA_SET_ELEM_LIST_SET, set);
    message_end(b);
}

static void open_elements(struct nft_batch *b, const char *set)
{
    command(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    put_text(b, NFTA_SET_ELEM_LIST_TABLE, b->table);
    put_text(b, NFTA_SET_ELEM_LIST_SET, set);
    b->elements_at = nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
    b->elements_of = set;
}

void nft_element_add(struct nft_batch *b, const char *set, const void *key, size_t key_len,
                     const void *data, size_t data_len)
{
    size_t at;

    if (b->elements_of == NULL || strcmp(b->elements_of, set) != 0 ||
        b->bytes.len - b->elements_at > ELEMENTS_BYTES_MAX)
        open_elements(b, set);
    at = nest(b, NFTA_LIST_ELEM);
    put_value(b, NFTA_SET_ELEM_KEY, key, key_len);
    if (data != NULL)
        put_value(b, NFTA_SET_ELEM_DATA, data, data_len);
    nest_end(b, at);
}

void nft_chain_add(struct nft_batch *b, const char *name, const char *type, uint32_t hook,
                   int32_t priority)
{
    size_t at;

    command(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    put_text(b, NFTA_CHAIN_TABLE, b->table);
    put_text(b, NFTA_CHAIN_NAME, name);
    at = nest(b, NFTA_CHAIN_HOOK);
    put_u32(b, NFTA_HOOK_HOOKNUM, hook);
    put_u32(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    nest_end(b, at);
    put_text(b, NFTA_CHAIN_TYPE, type);
    message_end(b);
}

/* --- Rules ----------------------------------------------------------------------------------- */

void nft_rule_begin(struct nft_batch *b, const char *chain)
{
    command(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    put_text(b, NFTA_RULE_TABLE, b->table);
    put_text(b, NFTA_RULE_CHAIN, chain);
    b->rule_at = nest(b, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft_batch *b)
{
    nest_end(b, b->rule_at);
    message_end(b);
}

struct expression {
    size_t at, data_at;
};

static struct expression expression(struct nft_batch *b, const char *name)
{
    struct expression e = { .at = nest(b, NFTA_LIST_ELEM) };

    put_text(b, NFTA_EXPR_NAME, name);
    e.data_at = nest(b, NFTA_EXPR_DATA);
    return e;
}

static void expression_end(struct nft_batch *b, struct expression e)
{
    nest_end(b, e.data_at);
    nest_end(b, e.at);
}

void nft_meta(struct nft_batch *b, uint32_t key, uint32_t into)
{
    struct expression e = expression(b, "meta");

    put_u32(b, NFTA_META_DREG, into);
    put_u32(b, NFTA_META_KEY, key);
    expression_end(b, e);
}

void nft_payload(struct nft_batch *b, uint32_t base, uint32_t offset, uint32_t len, uint32_t into)
{
    struct expression e = expression(b, "payload");

    put_u32(b, NFTA_PAYLOAD_DREG, into);
    put_u32(b, NFTA_PAYLOAD_BASE, base);
    put_u32(b, NFTA_PAYLOAD_OFFSET, offset);
    put_u32(b, NFTA_PAYLOAD_LEN, len);
    expression_end(b, e);
}

void nft_need_equal(struct nft_batch *b, uint32_t reg, const void *value, size_t len)
{
    struct expression e = expression(b, "cmp");

    put_u32(b, NFTA_CMP_SREG, reg);
    put_u32(b, NFTA_CMP_OP, NFT_CMP_EQ);
    put_value(b, NFTA_CMP_DATA, value, len);
    expression_end(b, e);
}

void nft_immediate(struct nft_batch *b, const void *value, size_t len, uint32_t into)
{
    struct expression e = expression(b, "immediate");

    put_u32(b, NFTA_IMMEDIATE_DREG, into);
    put_value(b, NFTA_IMMEDIATE_DATA, value, len);
    expression_end(b, e);
}

void nft_random(struct nft_batch *b, uint32_t below, uint32_t into)
{
    struct expression e = expression(b, "numgen");

    put_u32(b, NFTA_NG_DREG, into);
    put_u32(b, NFTA_NG_MODULUS, below);
    put_u32(b, NFTA_NG_TYPE, NFT_NG_RANDOM);
    put_u32(b, NFTA_NG_OFFSET, 0);
    expression_end(b, e);
}

void nft_lookup(struct nft_batch *b, const char *set, uint32_t reg, uint32_t into)
{
    struct expression e = expression(b, "lookup");

    put_text(b, NFTA_LOOKUP_SET, set);
    put_u32(b, NFTA_LOOKUP_SREG, reg);
    if (into != 0)
        put_u32(b, NFTA_LOOKUP_DREG, into);
    expression_end(b, e);
}

void nft_dnat(struct nft_batch *b, uint32_t family, uint32_t addr_reg, uint32_t port_reg)
{
    struct expression e = expression(b, "nat");

    put_u32(b, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_u32(b, NFTA_NAT_FAMILY, family);
    put_u32(b, NFTA_NAT_REG_ADDR_MIN, addr_reg);
    if (port_reg != 0)
        put_u32(b, NFTA_NAT_REG_PROTO_MIN, port_reg);
    expression_end(b, e);
}

void nft_reject(struct nft_batch *b, uint32_t type, uint8_t icmp_code)
{
    struct expression e = expression(b, "reject");

    put_u32(b, NFTA_REJECT_TYPE, type);
    if (type != NFT_REJECT_TCP_RST)
        put_attr(b, NFTA_REJECT_ICMP_CODE, &icmp_code, 1);
    expression_end(b, e);
}
