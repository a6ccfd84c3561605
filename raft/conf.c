/* raft/conf.c - Configurations: changing, encoding, comparing.
 *
 *     plain --change of voters--> joint --leave--> plain      one at a time, by the leader
 *     plain --learners, contexts--> plain
 *
 * Encoding, all integers little-endian:
 *     u8 version = 1, u8 joint, u16 member_count, u16 tombstone_count, u64 epoch,
 *     members: u64 id, u8 flags, u16 context_len, context
 *     tombstones: u64 id */
#include "raft/conf.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum { CONF_VERSION = 1, CONF_HEADER_LEN = 14, CONF_MEMBER_LEN = 11, CONF_TOMBSTONE_LEN = 8 };
enum { FLAGS_ALL = RAFT_VOTER | RAFT_VOTER_OLD | RAFT_LEAVING | RAFT_PROMOTE };

static_assert(CONF_HEADER_LEN + RAFT_MEMBERS_MAX * (CONF_MEMBER_LEN + RAFT_CONTEXT_LEN_MAX) +
                      RAFT_TOMBSTONES_MAX * CONF_TOMBSTONE_LEN <=
                  RAFT_CONF_LEN_MAX,
              "the bound in limits.h holds every configuration");

int raft_conf_init(struct raft_conf *out, raft_node_id voter, struct slice context)
{
    if (voter == 0 || context.len > RAFT_CONTEXT_LEN_MAX)
        return ERR_INVALID;
    memset(out, 0, sizeof(*out));
    out->epoch = 1;
    out->member_count = 1;
    out->members[0].id = voter;
    out->members[0].flags = RAFT_VOTER;
    out->members[0].context_len = (uint32_t)context.len;
    if (context.len > 0)
        memcpy(out->members[0].context, context.ptr, context.len);
    return 0;
}

const struct raft_member *raft_conf_find(const struct raft_conf *c, raft_node_id id)
{
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].id == id)
            return &c->members[i];
    return NULL;
}

bool raft_conf_is_removed(const struct raft_conf *c, raft_node_id id)
{
    for (uint32_t i = 0; i < c->tombstone_count; i++)
        if (c->tombstones[i] == id)
            return true;
    return false;
}

static struct raft_member *find_mutable(struct raft_conf *c, raft_node_id id)
{
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].id == id)
            return &c->members[i];
    return NULL;
}

static struct raft_member *insert_member(struct raft_conf *c, raft_node_id id)
{
    uint32_t at = c->member_count;

    for (; at > 0 && c->members[at - 1].id > id; at--)
        c->members[at] = c->members[at - 1];
    memset(&c->members[at], 0, sizeof(c->members[at]));
    c->members[at].id = id;
    c->member_count++;
    return &c->members[at];
}

static void delete_member(struct raft_conf *c, raft_node_id id)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].id != id)
            c->members[kept++] = c->members[i];
    c->member_count = kept;
    if (c->tombstone_count == RAFT_TOMBSTONES_MAX) {
        memmove(c->tombstones, c->tombstones + 1, sizeof(c->tombstones) - sizeof(c->tombstones[0]));
        c->tombstone_count--;
    }
    c->tombstones[c->tombstone_count++] = id;
}

static void set_context(struct raft_member *m, struct slice context)
{
    if (context.len == 0)
        return;
    memset(m->context, 0, sizeof(m->context));
    memcpy(m->context, context.ptr, context.len);
    m->context_len = (uint32_t)context.len;
}

/* A new node has no log yet: as a voter it would delay every commit until it has. So it learns
 * first, marked, and the leader makes it a voter. */
static int apply_op(struct raft_conf *c, const struct raft_conf_op *op)
{
    struct raft_member *m = find_mutable(c, op->id);

    if (m == NULL) {
        if (op->type != RAFT_ADD_VOTER && op->type != RAFT_ADD_LEARNER)
            return ERR_NOT_FOUND;
        if (raft_conf_is_removed(c, op->id))
            return ERR_REMOVED;
        if (c->member_count == RAFT_MEMBERS_MAX)
            return ERR_FULL;
        m = insert_member(c, op->id);
    }
    switch (op->type) {
    case RAFT_ADD_VOTER:
        if ((m->flags & RAFT_VOTER) == 0)
            m->flags |= RAFT_PROMOTE;
        break;
    case RAFT_MAKE_VOTER:
        m->flags = (m->flags & RAFT_VOTER_OLD) | RAFT_VOTER;
        break;
    case RAFT_ADD_LEARNER:
        m->flags &= RAFT_VOTER_OLD;
        break;
    case RAFT_REMOVE:
        m->flags = (m->flags & RAFT_VOTER_OLD) | RAFT_LEAVING;
        break;
    case RAFT_SET_CONTEXT:
        break;
    default:
        return ERR_INVALID;
    }
    set_context(m, op->context);
    return 0;
}

static bool op_is_sane(const struct raft_conf_op *ops, size_t i)
{
    if (ops[i].id == 0 || ops[i].context.len > RAFT_CONTEXT_LEN_MAX)
        return false;
    for (size_t k = 0; k < i; k++)
        if (ops[k].id == ops[i].id)
            return false;
    return true;
}

static uint32_t count_flag(const struct raft_conf *c, uint32_t flag)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->member_count; i++)
        n += (c->members[i].flags & flag) != 0;
    return n;
}

int raft_conf_change(const struct raft_conf *c, const struct raft_conf_op *ops, size_t count,
                     struct raft_conf *out)
{
    struct raft_conf next = *c;
    bool voters_change = false;

    if (c->joint)
        return ERR_CONFLICT;
    if (count > RAFT_CONF_OPS_MAX)
        return ERR_INVALID;
    for (uint32_t i = 0; i < next.member_count; i++)
        if ((next.members[i].flags & RAFT_VOTER) != 0)
            next.members[i].flags |= RAFT_VOTER_OLD;
    for (size_t i = 0; i < count; i++) {
        int rc = op_is_sane(ops, i) ? apply_op(&next, &ops[i]) : ERR_INVALID;

        if (rc < 0)
            return rc;
    }
    if (count_flag(&next, RAFT_VOTER) == 0)
        return ERR_INVALID;

    for (uint32_t i = 0; i < next.member_count; i++) {
        uint32_t flags = next.members[i].flags;

        voters_change |= ((flags & RAFT_VOTER) != 0) != ((flags & RAFT_VOTER_OLD) != 0);
    }
    next.joint = true;
    if (voters_change)
        *out = next;
    else
        raft_conf_leave(&next, out); /* one half decides anyway: nothing to hold together */
    return 0;
}

void raft_conf_leave(const struct raft_conf *joint, struct raft_conf *out)
{
    struct raft_conf next = *joint;

    CHECK(joint->joint);
    next.joint = false;
    for (uint32_t i = 0; i < joint->member_count; i++)
        if ((joint->members[i].flags & RAFT_LEAVING) != 0)
            delete_member(&next, joint->members[i].id);
    for (uint32_t i = 0; i < next.member_count; i++)
        next.members[i].flags &= ~(uint32_t)RAFT_VOTER_OLD;
    *out = next;
}

bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b)
{
    if (a->epoch != b->epoch || a->joint != b->joint || a->member_count != b->member_count ||
        a->tombstone_count != b->tombstone_count)
        return false;
    for (uint32_t i = 0; i < a->member_count; i++) {
        const struct raft_member *m = &a->members[i], *n = &b->members[i];

        if (m->id != n->id || m->flags != n->flags || m->context_len != n->context_len ||
            memcmp(m->context, n->context, m->context_len) != 0)
            return false;
    }
    return memcmp(a->tombstones, b->tombstones, a->tombstone_count * sizeof(a->tombstones[0])) == 0;
}

static uint8_t *put_le(uint8_t *p, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    return p + bytes;
}

static uint64_t get_le(const uint8_t *p, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

size_t raft_conf_encode(const struct raft_conf *c, uint8_t *buf)
{
    uint8_t *p = buf;

    *p++ = CONF_VERSION;
    *p++ = c->joint;
    p = put_le(p, c->member_count, 2);
    p = put_le(p, c->tombstone_count, 2);
    p = put_le(p, c->epoch, 8);
    for (uint32_t i = 0; i < c->member_count; i++) {
        const struct raft_member *m = &c->members[i];

        p = put_le(p, m->id, 8);
        *p++ = (uint8_t)m->flags;
        p = put_le(p, m->context_len, 2);
        memcpy(p, m->context, m->context_len);
        p += m->context_len;
    }
    for (uint32_t i = 0; i < c->tombstone_count; i++)
        p = put_le(p, c->tombstones[i], CONF_TOMBSTONE_LEN);
    return (size_t)(p - buf);
}

/* The rules that every configuration keeps, whoever made it. */
static bool conf_is_sane(const struct raft_conf *c)
{
    for (uint32_t i = 0; i < c->member_count; i++) {
        const struct raft_member *m = &c->members[i];

        if (m->id == 0 || (i > 0 && c->members[i - 1].id >= m->id))
            return false;
        if ((m->flags & ~(uint32_t)FLAGS_ALL) != 0 || raft_conf_is_removed(c, m->id))
            return false;
        if (!c->joint && (m->flags & (RAFT_VOTER_OLD | RAFT_LEAVING)) != 0)
            return false;
        if ((m->flags & RAFT_VOTER) != 0 && (m->flags & (RAFT_LEAVING | RAFT_PROMOTE)) != 0)
            return false;
    }
    for (uint32_t i = 0; i < c->tombstone_count; i++)
        if (c->tombstones[i] == 0)
            return false;
    return c->epoch != 0 && count_flag(c, RAFT_VOTER) > 0 &&
           (!c->joint || count_flag(c, RAFT_VOTER_OLD) > 0);
}

int raft_conf_decode(struct slice bytes, struct raft_conf *out)
{
    const uint8_t *p = bytes.ptr, *end;
    uint64_t members, tombstones;

    if (bytes.len < CONF_HEADER_LEN || p[0] != CONF_VERSION || p[1] > 1)
        return ERR_MALFORMED;
    end = p + bytes.len;
    members = get_le(p + 2, 2);
    tombstones = get_le(p + 4, 2);
    if (members > RAFT_MEMBERS_MAX || tombstones > RAFT_TOMBSTONES_MAX)
        return ERR_MALFORMED;

    memset(out, 0, sizeof(*out));
    out->joint = p[1] == 1;
    out->epoch = get_le(p + 6, 8);
    p += CONF_HEADER_LEN;
    for (; out->member_count < members; out->member_count++) {
        struct raft_member *m = &out->members[out->member_count];

        if (end - p < CONF_MEMBER_LEN)
            return ERR_MALFORMED;
        m->id = get_le(p, 8);
        m->flags = p[8];
        m->context_len = (uint32_t)get_le(p + 9, 2);
        p += CONF_MEMBER_LEN;
        if (m->context_len > RAFT_CONTEXT_LEN_MAX || end - p < (ptrdiff_t)m->context_len)
            return ERR_MALFORMED;
        memcpy(m->context, p, m->context_len);
        p += m->context_len;
    }
    if (end - p != (ptrdiff_t)(tombstones * CONF_TOMBSTONE_LEN))
        return ERR_MALFORMED;
    for (; out->tombstone_count < tombstones; p += CONF_TOMBSTONE_LEN)
        out->tombstones[out->tombstone_count++] = get_le(p, CONF_TOMBSTONE_LEN);
    return conf_is_sane(out) ? 0 : ERR_MALFORMED;
}
