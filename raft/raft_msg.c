/* raft/raft_msg.c - Messages as bytes: docs/formats/raft.md.
 *
 * Each kind is one table of rows, read by one encoder and one decoder. Not msgpack like the other
 * links: decoding here allocates nothing and copies nothing, since entries are nearly all the bytes
 * that managers exchange, and the log copies them anyway. */
#include "raft/raft_msg.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum { VERSION = 1, ENVELOPE_LEN = 2 + 5 * 8, ENTRY_HEADER_MAX = 1 + 8 + 4 + 16 };
enum { ENTRY_HAS_SESSION = 0x80 };

enum kind { BOOL, U64, REFUSAL, HASH, BYTES, ENTRIES };

struct row {
    enum kind kind;
    size_t offset;
    size_t max; /* BYTES */
};

struct layout {
    const char *name;
    const struct row *rows;
    size_t row_count;
};

#define ROW(kind, member)                              \
    {                                                  \
        kind, offsetof(struct raft_message, member), 0 \
    }
#define ROW_BYTES(member, limit)                            \
    {                                                       \
        BYTES, offsetof(struct raft_message, member), limit \
    }

static const struct row vote_req[] = { ROW(BOOL, vote.pre), ROW(BOOL, vote.transfer),
                                       ROW(U64, vote.last.term), ROW(U64, vote.last.index) };
static const struct row vote_res[] = { ROW(BOOL, vote_res.pre), ROW(BOOL, vote_res.granted) };
static const struct row append[] = { ROW(U64, append.prev.term), ROW(U64, append.prev.index),
                                     ROW(U64, append.commit), ROW(U64, append.read_round),
                                     ROW(ENTRIES, append.entries) };
static const struct row append_res[] = {
    ROW(BOOL, append_res.rejected),  ROW(BOOL, append_res.repair),
    ROW(U64, append_res.match),      ROW(U64, append_res.hint.term),
    ROW(U64, append_res.hint.index), ROW(U64, append_res.read_round),
};
static const struct row heartbeat[] = { ROW(U64, heartbeat.commit), ROW(U64, heartbeat.read_round),
                                        ROW(BOOL, heartbeat.quiet) };
static const struct row heartbeat_res[] = { ROW(U64, heartbeat_res.read_round),
                                            ROW(BOOL, heartbeat_res.unfit) };
static const struct row read_req[] = { ROW(U64, read.id) };
static const struct row read_res[] = { ROW(U64, read_res.id), ROW(BOOL, read_res.rejected),
                                       ROW(U64, read_res.index) };
static const struct row offer[] = {
    ROW(U64, offer.snapshot.base.last.term),
    ROW(U64, offer.snapshot.base.last.index),
    ROW_BYTES(offer.snapshot.base.conf, RAFT_CONF_LEN_MAX),
    ROW(U64, offer.snapshot.size),
    ROW(HASH, offer.snapshot.hash),
};
static const struct row chunk_req[] = { ROW(HASH, chunk.hash), ROW(U64, chunk.offset) };
static const struct row chunk_res[] = { ROW(HASH, chunk_res.hash), ROW(U64, chunk_res.offset),
                                        ROW(BOOL, chunk_res.missing),
                                        ROW_BYTES(chunk_res.data, RAFT_CHUNK_LEN) };
static const struct row refused[] = { ROW(REFUSAL, refused.reason) };

#define LAYOUT(text, rows)                           \
    {                                                \
        text, rows, sizeof(rows) / sizeof((rows)[0]) \
    }

static const struct layout layouts[] = {
    [RAFT_VOTE_REQ] = LAYOUT("vote_req", vote_req),
    [RAFT_VOTE_RES] = LAYOUT("vote_res", vote_res),
    [RAFT_APPEND] = LAYOUT("append", append),
    [RAFT_APPEND_RES] = LAYOUT("append_res", append_res),
    [RAFT_HEARTBEAT] = LAYOUT("heartbeat", heartbeat),
    [RAFT_HEARTBEAT_RES] = LAYOUT("heartbeat_res", heartbeat_res),
    [RAFT_TIMEOUT_NOW] = { "timeout_now", NULL, 0 },
    [RAFT_READ_REQ] = LAYOUT("read_req", read_req),
    [RAFT_READ_RES] = LAYOUT("read_res", read_res),
    [RAFT_SNAPSHOT_OFFER] = LAYOUT("snapshot_offer", offer),
    [RAFT_SNAPSHOT_REQ] = LAYOUT("snapshot_req", chunk_req),
    [RAFT_SNAPSHOT_RES] = LAYOUT("snapshot_res", chunk_res),
    [RAFT_REFUSED] = LAYOUT("refused", refused),
};

static const struct layout *find_layout(unsigned type)
{
    return type < ARRAY_LEN(layouts) && layouts[type].name != NULL ? &layouts[type] : NULL;
}

const char *raft_message_name(enum raft_message_type type)
{
    const struct layout *l = find_layout((unsigned)type);

    return l == NULL ? "?" : l->name;
}

size_t raft_message_encoded_max(const struct raft_message *m)
{
    size_t len = ENVELOPE_LEN + 160; /* every body without its bytes */

    if (m->type == RAFT_APPEND)
        for (size_t i = 0; i < m->append.entry_count; i++)
            len += ENTRY_HEADER_MAX + m->append.entries[i].data.len;
    if (m->type == RAFT_SNAPSHOT_OFFER)
        len += m->offer.snapshot.base.conf.len;
    if (m->type == RAFT_SNAPSHOT_RES)
        len += m->chunk_res.data.len;
    return len;
}

/* --- encoding */

static uint8_t *put_le(uint8_t *p, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    return p + bytes;
}

static uint8_t *put_bytes(uint8_t *p, struct slice s)
{
    p = put_le(p, s.len, 4);
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static uint8_t *put_entries(uint8_t *p, const struct raft_append *a)
{
    p = put_le(p, a->entry_count, 4);
    for (size_t i = 0; i < a->entry_count; i++) { /* the index follows from prev */
        const struct raft_entry *e = &a->entries[i];
        bool has_session = e->session != 0 || e->sequence != 0;

        *p++ = (uint8_t)(e->type | (has_session ? ENTRY_HAS_SESSION : 0));
        p = put_le(p, e->id.term, 8);
        if (has_session) {
            p = put_le(p, e->session, 8);
            p = put_le(p, e->sequence, 8);
        }
        p = put_bytes(p, e->data);
    }
    return p;
}

int64_t raft_message_encode(const struct raft_message *m, uint8_t *buf, size_t cap)
{
    const struct layout *l = find_layout((unsigned)m->type);
    uint8_t *p = buf;

    CHECK(l != NULL);
    if (cap < raft_message_encoded_max(m))
        return ERR_FULL;
    *p++ = VERSION;
    *p++ = (uint8_t)m->type;
    p = put_le(p, m->cluster, 8);
    p = put_le(p, m->epoch, 8);
    p = put_le(p, m->from, 8);
    p = put_le(p, m->to, 8);
    p = put_le(p, m->term, 8);
    for (size_t i = 0; i < l->row_count; i++) {
        const void *field = (const uint8_t *)m + l->rows[i].offset;

        switch (l->rows[i].kind) {
        case BOOL:
            *p++ = *(const bool *)field;
            break;
        case U64:
            p = put_le(p, *(const uint64_t *)field, 8);
            break;
        case REFUSAL:
            *p++ = (uint8_t) * (const enum raft_refusal *)field;
            break;
        case HASH:
            memcpy(p, field, RAFT_HASH_LEN);
            p += RAFT_HASH_LEN;
            break;
        case BYTES:
            p = put_bytes(p, *(const struct slice *)field);
            break;
        case ENTRIES:
            p = put_entries(p, &m->append);
            break;
        }
    }
    return p - buf;
}

/* --- decoding */

struct reader {
    const uint8_t *at;
    size_t left;
    bool failed; /* sticky: everything read after a failure is zero */
};

static uint64_t take_le(struct reader *r, size_t bytes)
{
    uint64_t v = 0;

    if (r->failed || r->left < bytes) {
        r->failed = true;
        return 0;
    }
    for (size_t i = bytes; i-- > 0;)
        v = v << 8 | r->at[i];
    r->at += bytes;
    r->left -= bytes;
    return v;
}

static struct slice take_bytes(struct reader *r, size_t max)
{
    size_t len = (size_t)take_le(r, 4);
    struct slice s = slice_of(NULL, 0);

    if (r->failed || len > r->left || len > max) {
        r->failed = true;
        return s;
    }
    if (len > 0)
        s = slice_of(r->at, len);
    r->at += len;
    r->left -= len;
    return s;
}

static bool take_bool(struct reader *r)
{
    uint64_t v = take_le(r, 1);

    r->failed |= v > 1;
    return v == 1;
}

static bool is_entry_type(unsigned type)
{
    return type == RAFT_ENTRY_NOOP || type == RAFT_ENTRY_DATA || type == RAFT_ENTRY_CONF ||
           type == RAFT_ENTRY_SESSION;
}

static void take_entries(struct reader *r, struct raft_append *a, struct raft_entry *entries)
{
    uint64_t count = take_le(r, 4);

    if (count > RAFT_MESSAGE_ENTRIES_MAX || a->prev.index > UINT64_MAX - count) {
        r->failed = true;
        return;
    }
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        unsigned type = (unsigned)take_le(r, 1);
        struct raft_entry e = { .id.index = a->prev.index + 1 + i };

        e.type = (enum raft_entry_type)(type & ~(unsigned)ENTRY_HAS_SESSION);
        e.id.term = take_le(r, 8);
        if ((type & ENTRY_HAS_SESSION) != 0) {
            e.session = take_le(r, 8);
            e.sequence = take_le(r, 8);
            r->failed |= e.session == 0 && e.sequence == 0; /* one encoding for each entry */
        }
        e.data = take_bytes(r, RAFT_ENTRY_LEN_MAX);
        r->failed |= !is_entry_type(e.type);
        entries[i] = e;
    }
    a->entries = entries;
    a->entry_count = (size_t)count;
}

static void take_row(struct reader *r, const struct row *row, struct raft_entry *entries,
                     struct raft_message *out)
{
    void *field = (uint8_t *)out + row->offset;

    switch (row->kind) {
    case BOOL:
        *(bool *)field = take_bool(r);
        break;
    case U64:
        *(uint64_t *)field = take_le(r, 8);
        break;
    case REFUSAL: {
        uint64_t reason = take_le(r, 1);

        r->failed |= reason < RAFT_REFUSED_CLUSTER || reason > RAFT_REFUSED_REMOVED;
        *(enum raft_refusal *)field = (enum raft_refusal)reason;
        break;
    }
    case HASH:
        if (r->left < RAFT_HASH_LEN || r->failed) {
            r->failed = true;
            break;
        }
        memcpy(field, r->at, RAFT_HASH_LEN);
        r->at += RAFT_HASH_LEN;
        r->left -= RAFT_HASH_LEN;
        break;
    case BYTES:
        *(struct slice *)field = take_bytes(r, row->max);
        break;
    case ENTRIES:
        take_entries(r, &out->append, entries);
        break;
    }
}

int raft_message_decode(struct slice bytes, struct raft_entry *entries, struct raft_message *out)
{
    struct reader r = { .at = bytes.ptr, .left = bytes.len };
    struct raft_message m;
    const struct layout *l;
    unsigned type;

    memset(&m, 0, sizeof(m));
    if (bytes.len > RAFT_MESSAGE_LEN_MAX || take_le(&r, 1) != VERSION)
        return ERR_MALFORMED;
    type = (unsigned)take_le(&r, 1);
    l = find_layout(type);
    if (r.failed || l == NULL)
        return ERR_MALFORMED;
    m.type = (enum raft_message_type)type;
    m.cluster = take_le(&r, 8);
    m.epoch = take_le(&r, 8);
    m.from = take_le(&r, 8);
    m.to = take_le(&r, 8);
    m.term = take_le(&r, 8);
    for (size_t i = 0; i < l->row_count; i++)
        take_row(&r, &l->rows[i], entries, &m);
    if (r.failed || r.left > 0)
        return ERR_MALFORMED;
    *out = m;
    return 0;
}
