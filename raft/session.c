/* raft/session.c - Sessions and their windows.
 *
 * Per session, a window of sequences: all up to `floor` are settled, the SESSION_WINDOW after it
 * are either done, with a result, or open. A sequence beyond the window moves it up. One that falls
 * out open is given up: should it arrive after all, nobody could say any more that it did not run
 * before, so it is refused and its outcome stays unknown. Results at or below the floor are
 * forgotten; a client has its answer before it starts SESSION_WINDOW more. */
#include "raft/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

struct session {
    uint64_t id;
    uint64_t used;                  /* index of the last entry that named it */
    uint64_t floor;                 /* settled up to here */
    bool done[SESSION_WINDOW];      /* sequence s is at s % SESSION_WINDOW, */
    int32_t result[SESSION_WINDOW]; /* for floor < s <= floor + SESSION_WINDOW */
};

struct session_table {
    size_t count;
    struct session sessions[SESSION_MAX]; /* ascending by id */
};

int session_new(struct session_table **out)
{
    struct session_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return -ENOMEM;
    *out = t;
    return 0;
}

void session_free(struct session_table *t)
{
    free(t);
}

static struct session *find(struct session_table *t, uint64_t id)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (t->sessions[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->count && t->sessions[low].id == id ? &t->sessions[low] : NULL;
}

static void evict_oldest(struct session_table *t)
{
    size_t oldest = 0;

    for (size_t i = 1; i < t->count; i++)
        if (t->sessions[i].used < t->sessions[oldest].used)
            oldest = i;
    t->count--;
    memmove(&t->sessions[oldest], &t->sessions[oldest + 1],
            (t->count - oldest) * sizeof(t->sessions[0]));
}

void session_open(struct session_table *t, uint64_t id)
{
    if (t->count > 0 && t->sessions[t->count - 1].id >= id)
        return; /* entries are applied in order, so this one was */
    if (t->count == SESSION_MAX)
        evict_oldest(t);
    memset(&t->sessions[t->count], 0, sizeof(t->sessions[0]));
    t->sessions[t->count].id = id;
    t->sessions[t->count++].used = id;
}

enum session_verdict session_check(struct session_table *t, raft_index index, uint64_t session,
                                   uint64_t sequence, int32_t *out_result)
{
    struct session *s;

    if (session == 0)
        return SESSION_APPLY;
    s = find(t, session);
    if (s == NULL || sequence == 0)
        return SESSION_GONE;
    s->used = index;
    if (sequence <= s->floor)
        return SESSION_GONE;
    if (sequence > s->floor + SESSION_WINDOW || !s->done[sequence % SESSION_WINDOW])
        return SESSION_APPLY;
    *out_result = s->result[sequence % SESSION_WINDOW];
    return SESSION_REPEAT;
}

void session_done(struct session_table *t, uint64_t session, uint64_t sequence, int32_t result)
{
    struct session *s = session == 0 ? NULL : find(t, session);

    if (s == NULL)
        return;
    CHECK(sequence > s->floor);
    while (sequence - s->floor > SESSION_WINDOW) {
        if (sequence - s->floor > (uint64_t)2 * SESSION_WINDOW) { /* a jump: all of it falls out */
            memset(s->done, 0, sizeof(s->done));
            s->floor = sequence - SESSION_WINDOW;
            break;
        }
        s->floor++;
        s->done[s->floor % SESSION_WINDOW] = false;
    }
    s->done[sequence % SESSION_WINDOW] = true;
    s->result[sequence % SESSION_WINDOW] = result;
}

/* --- u32 count; per session: u64 id, used, floor; u16 done_count; per done: u8 distance from the
 * floor - 1, i32 result; ascending, little-endian */

static uint8_t *put_le(uint8_t *p, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    return p + bytes;
}

size_t session_encode(const struct session_table *t, uint8_t *buf)
{
    uint8_t *p = put_le(buf, t->count, 4);

    for (size_t i = 0; i < t->count; i++) {
        const struct session *s = &t->sessions[i];
        uint8_t *count_at;
        uint64_t count = 0;

        p = put_le(p, s->id, 8);
        p = put_le(p, s->used, 8);
        p = put_le(p, s->floor, 8);
        count_at = p;
        p += 2;
        for (uint64_t d = 0; d < SESSION_WINDOW; d++) {
            size_t slot = (size_t)((s->floor + 1 + d) % SESSION_WINDOW);

            if (!s->done[slot])
                continue;
            *p++ = (uint8_t)d;
            p = put_le(p, (uint32_t)s->result[slot], 4);
            count++;
        }
        (void)put_le(count_at, count, 2);
    }
    return (size_t)(p - buf);
}

static bool take_le(struct slice *s, size_t bytes, uint64_t *out)
{
    uint64_t v = 0;

    if (s->len < bytes)
        return false;
    for (size_t i = bytes; i-- > 0;)
        v = v << 8 | s->ptr[i];
    *out = v;
    *s = slice_of(s->ptr + bytes, s->len - bytes);
    return true;
}

static bool take_session(struct slice *in, struct session *s)
{
    uint64_t count, distance, result, next = 0;

    memset(s, 0, sizeof(*s));
    if (!take_le(in, 8, &s->id) || !take_le(in, 8, &s->used) || !take_le(in, 8, &s->floor) ||
        !take_le(in, 2, &count) || s->floor > UINT64_MAX - SESSION_WINDOW)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        size_t slot;

        if (!take_le(in, 1, &distance) || !take_le(in, 4, &result) || distance < next)
            return false;
        slot = (size_t)((s->floor + 1 + distance) % SESSION_WINDOW);
        s->done[slot] = true;
        s->result[slot] = (int32_t)(uint32_t)result;
        next = distance + 1;
    }
    return s->id != 0;
}

int session_decode(struct session_table *t, struct slice bytes)
{
    struct session_table *fresh;
    uint64_t count;
    int rc = session_new(&fresh);

    if (rc < 0)
        return rc;
    rc = ERR_MALFORMED;
    if (!take_le(&bytes, 4, &count) || count > SESSION_MAX)
        goto out;
    for (; fresh->count < count; fresh->count++) {
        struct session *s = &fresh->sessions[fresh->count];

        if (!take_session(&bytes, s) || (fresh->count > 0 && s[-1].id >= s->id))
            goto out;
    }
    if (bytes.len > 0)
        goto out;
    t->count = fresh->count;
    memcpy(t->sessions, fresh->sessions, t->count * sizeof(t->sessions[0]));
    rc = 0;
out:
    session_free(fresh);
    return rc;
}
