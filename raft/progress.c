/* raft/progress.c - Flow control towards one member. Messages may be lost, repeated and reordered:
 * acks and rejections are weighed against what is known already and never taken at face value. */
#include "raft/progress.h"

#include <string.h>

#include "base/check.h"

static void clear_window(struct progress *p)
{
    p->window_start = 0;
    p->window_count = 0;
    p->window_bytes = 0;
    p->stalled = false;
}

void progress_init(struct progress *p, raft_node_id id, raft_index last, mono_ns now)
{
    memset(p, 0, offsetof(struct progress, window));
    clear_window(p);
    p->id = id;
    p->next = last + 1;
    p->heard_at = now; /* grace: a new member does not depose the leader at once */
    p->round_target = last;
    p->round_started = now;
    p->caught_up = false;
}

void progress_probe(struct progress *p, raft_index next)
{
    CHECK(next > p->match);
    p->flow = RAFT_PROBE;
    p->next = next;
    p->paused = false;
    clear_window(p);
}

void progress_snapshot(struct progress *p)
{
    p->flow = RAFT_SNAPSHOT;
    p->paused = false;
    clear_window(p);
}

void progress_sent(struct progress *p, raft_index last, size_t count, size_t bytes)
{
    struct inflight *f;

    if (p->flow == RAFT_PROBE) {
        p->paused = true;
        return;
    }
    if (count == 0)
        return;
    CHECK(p->window_count < RAFT_INFLIGHT_MAX);
    f = &p->window[(p->window_start + p->window_count) % RAFT_INFLIGHT_MAX];
    f->last = last;
    f->bytes = bytes;
    p->window_count++;
    p->window_bytes += bytes;
    p->next = last + 1;
}

bool progress_is_open(const struct progress *p, const struct raft_config *cfg)
{
    switch (p->flow) {
    case RAFT_PROBE:
        return !p->paused;
    case RAFT_REPLICATE:
        return p->window_count < cfg->inflight_max &&
               (p->window_count == 0 || p->window_bytes < cfg->inflight_bytes_max);
    case RAFT_SNAPSHOT:
        break;
    }
    return false;
}

static void drop_oldest(struct progress *p)
{
    p->window_bytes -= p->window[p->window_start].bytes;
    p->window_start = (p->window_start + 1) % RAFT_INFLIGHT_MAX;
    p->window_count--;
}

bool progress_acked(struct progress *p, raft_index match)
{
    bool is_news = match > p->match;

    while (p->window_count > 0 && p->window[p->window_start].last <= match)
        drop_oldest(p);
    if (is_news) {
        p->match = match;
        p->stalled = false;
    }
    if (p->next <= match)
        p->next = match + 1;
    return is_news;
}

bool progress_rejected(struct progress *p, raft_index rejected, raft_index probe)
{
    if (p->flow == RAFT_SNAPSHOT || rejected <= p->match)
        return false;
    if (p->flow == RAFT_REPLICATE) {
        progress_probe(p, p->match + 1);
        return true;
    }
    if (rejected != p->next - 1)
        return false; /* of an older probe */
    if (probe > rejected)
        probe = rejected; /* always a step back, or it would never end */
    progress_probe(p, probe > p->match ? probe : p->match + 1);
    return true;
}

void progress_heard(struct progress *p, const struct raft_config *cfg)
{
    if (p->stalled)
        p->paused = false;
    if (p->flow == RAFT_REPLICATE && !progress_is_open(p, cfg))
        drop_oldest(p); /* whatever was lost: one message per heartbeat gets through */
}
