/* raft/log.c - The log in memory.
 *
 * Late acknowledgements are the delicate part: a write of entries that were truncated and replaced
 * meanwhile may be reported durable, and must not mark the replacements. So truncation lowers the
 * mark of every write under way; what a report can then prove is what is still the same. */
#include "raft/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void log_init(struct raft_log *l)
{
    memset(l, 0, sizeof(*l));
}

static void free_data(const struct raft_entry *e)
{
    free((void *)(uintptr_t)e->data.ptr); /* owned here; const for every borrower */
}

static void free_entries(struct raft_log *l, size_t from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        l->bytes -= log_entry_bytes(&l->entries[l->start + from + i]);
        free_data(&l->entries[l->start + from + i]);
    }
}

void log_deinit(struct raft_log *l)
{
    log_drop_staged(l);
    free_entries(l, 0, l->count);
    free((void *)(uintptr_t)l->base.conf.ptr);
    free(l->entries);
    free(l->staged);
}

struct raft_entry_id log_last(const struct raft_log *l)
{
    return l->count == 0 ? l->base.last : l->entries[l->start + l->count - 1].id;
}

const struct raft_entry *log_at(const struct raft_log *l, raft_index index)
{
    CHECK(index > l->base.last.index);
    CHECK(index - l->base.last.index <= l->count);
    return &l->entries[l->start + (size_t)(index - l->base.last.index) - 1];
}

bool log_term(const struct raft_log *l, raft_index index, raft_term *out)
{
    if (index < l->base.last.index || index > log_last(l).index)
        return false;
    *out = index == l->base.last.index ? l->base.last.term : log_at(l, index)->id.term;
    return true;
}

bool log_matches(const struct raft_log *l, struct raft_entry_id id)
{
    raft_term term;

    return log_term(l, id.index, &term) && term == id.term;
}

struct raft_entry_id log_last_with_term(const struct raft_log *l, raft_index index, raft_term term)
{
    raft_index low = l->base.last.index, high = log_last(l).index;

    if (index < high)
        high = index;
    if (high < low)
        return l->base.last;
    while (low < high) { /* terms never fall along a log, so halving finds the border */
        raft_index mid = low + (high - low + 1) / 2;

        if (log_at(l, mid)->id.term <= term)
            low = mid;
        else
            high = mid - 1;
    }
    return low == l->base.last.index ? l->base.last : log_at(l, low)->id;
}

static int reserve_entries(struct raft_log *l, size_t more)
{
    size_t cap = l->cap == 0 ? 64 : l->cap;
    struct raft_entry *grown;

    if (l->start + l->count + more <= l->cap)
        return 0;
    if (l->start > 0 && l->count + more <= l->cap / 2) {
        memmove(l->entries, l->entries + l->start, l->count * sizeof(*l->entries));
        l->start = 0;
        return 0;
    }
    while (cap < l->start + l->count + more)
        cap *= 2;
    grown = realloc(l->entries, cap * sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    l->entries = grown;
    l->cap = cap;
    return 0;
}

static int copy_entry(struct raft_entry *to, const struct raft_entry *from)
{
    *to = *from;
    to->data = slice_of(NULL, 0);
    if (from->data.len > 0) {
        uint8_t *data = malloc(from->data.len);

        if (data == NULL)
            return -ENOMEM;
        memcpy(data, from->data.ptr, from->data.len);
        to->data = slice_of(data, from->data.len);
    }
    return 0;
}

int log_reserve(struct raft_log *l, size_t staged, size_t spare)
{
    CHECK(l->staged_count == 0);
    if (reserve_entries(l, staged + spare) < 0)
        return -ENOMEM;
    if (staged > l->staged_cap) {
        struct raft_entry *grown = realloc(l->staged, staged * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        l->staged = grown;
        l->staged_cap = staged;
    }
    return 0;
}

int log_stage(struct raft_log *l, const struct raft_entry *e)
{
    CHECK(l->staged_count < l->staged_cap);
    if (copy_entry(&l->staged[l->staged_count], e) < 0)
        return -ENOMEM;
    l->staged_count++;
    return 0;
}

void log_drop_staged(struct raft_log *l)
{
    for (size_t i = 0; i < l->staged_count; i++)
        free_data(&l->staged[i]);
    l->staged_count = 0;
}

void log_append_taken(struct raft_log *l, const struct raft_entry *e)
{
    CHECK(l->start + l->count < l->cap);
    CHECK(e->id.index == log_last(l).index + 1);
    CHECK(e->id.term >= log_last(l).term);
    l->entries[l->start + l->count++] = *e;
    l->bytes += log_entry_bytes(e);
}

void log_append_staged(struct raft_log *l, size_t skip)
{
    for (size_t i = 0; i < l->staged_count; i++) {
        if (i < skip)
            free_data(&l->staged[i]);
        else
            log_append_taken(l, &l->staged[i]);
    }
    l->staged_count = 0;
}

void log_truncate(struct raft_log *l, raft_index last)
{
    size_t kept = (size_t)(last - l->base.last.index);

    CHECK(last >= l->base.last.index);
    CHECK(last <= log_last(l).index);
    free_entries(l, kept, l->count - kept);
    l->count = kept;
    if (l->stable > last)
        l->stable = last;
    for (size_t i = 0; i < l->write_count; i++) {
        struct log_write *w = &l->writes[(l->write_start + i) % RAFT_PENDING_WRITES_MAX];

        if (w->last > last)
            w->last = last;
    }
}

static void set_base(struct raft_log *l, struct raft_entry_id last, struct slice conf)
{
    free((void *)(uintptr_t)l->base.conf.ptr);
    l->base.last = last;
    l->base.conf = conf;
}

void log_compact(struct raft_log *l, struct raft_entry_id last, struct slice conf)
{
    size_t gone = (size_t)(last.index - l->base.last.index);

    CHECK(last.index <= l->stable);
    CHECK(log_matches(l, last));
    free_entries(l, 0, gone);
    l->start += gone;
    l->count -= gone;
    set_base(l, last, conf);
}

void log_reset(struct raft_log *l, struct raft_base base)
{
    free_entries(l, 0, l->count);
    l->start = 0;
    l->count = 0;
    l->write_count = 0;
    set_base(l, base.last, base.conf);
    l->stable = base.last.index; /* the base is durable already: it is the state machine's */
}

void log_note_write(struct raft_log *l, raft_write seq)
{
    struct log_write w = { .seq = seq, .last = log_last(l).index };

    if (l->write_count == RAFT_PENDING_WRITES_MAX) /* a later report for both: never too early */
        l->write_count--;
    l->writes[(l->write_start + l->write_count) % RAFT_PENDING_WRITES_MAX] = w;
    l->write_count++;
}

void log_persisted(struct raft_log *l, raft_write seq)
{
    while (l->write_count > 0 && l->writes[l->write_start].seq <= seq) {
        raft_index last = l->writes[l->write_start].last;

        if (last > l->stable)
            l->stable = last;
        l->write_start = (l->write_start + 1) % RAFT_PENDING_WRITES_MAX;
        l->write_count--;
    }
}
