/* free -> held (host asked once it is complete) -> admitted, or refused for a minute. */
#include "gossip/candidate.h"

#include <stdlib.h>

#include "gossip/pull.h"
#include "gossip/view.h"

#define ASK_INTERVAL NS_PER_S
#define REFUSED_TIME (60 * NS_PER_S)

static struct candidate *find(const struct gossip *g, node_ref ref)
{
    for (size_t i = 0; g->candidates.list != NULL && i < GOSSIP_CANDIDATES_MAX; i++) {
        if (g->candidates.list[i].ref == ref)
            return &g->candidates.list[i];
    }
    return NULL;
}

static void clear(struct gossip *g, struct candidate *c)
{
    if (c->ref == 0)
        return;
    blob_unref(g->pool, c->record);
    blob_unref(g->pool, c->meta);
    *c = (struct candidate){ 0 };
    g->candidates.count--;
}

/* A free place, or that of the entry that nobody has mentioned for longest. */
static struct candidate *take_place(struct gossip *g, node_ref ref)
{
    struct candidate *oldest;

    if (g->candidates.list == NULL) {
        g->candidates.list = calloc(GOSSIP_CANDIDATES_MAX, sizeof(*g->candidates.list));
        if (g->candidates.list == NULL) {
            g->oom = true;
            return NULL;
        }
    }
    oldest = &g->candidates.list[0];
    for (size_t i = 0; i < GOSSIP_CANDIDATES_MAX && oldest->ref != 0; i++) {
        struct candidate *c = &g->candidates.list[i];

        if (c->ref == 0 || c->touched < oldest->touched)
            oldest = c;
    }
    if (oldest->ref != 0)
        g->stats.refused_full++;
    clear(g, oldest);
    oldest->ref = ref;
    g->candidates.count++;
    return oldest;
}

static bool is_whole(const struct candidate *c)
{
    return c->meta != NULL || record_of(c->record).meta_len == 0;
}

static void ask_host(struct gossip *g, struct candidate *c)
{
    struct record r = record_of(c->record);
    struct gossip_notice n = { .kind = GOSSIP_NOTICE_CANDIDATE,
                               .status = GOSSIP_UNKNOWN,
                               .id = r.id,
                               .incarnation = r.incarnation,
                               .addr = r.addr };

    if (g->now < c->ask_after || !is_whole(c))
        return;
    c->ask_after = mono_after(g->now, ASK_INTERVAL);
    if (!output_notice(&g->out, &n, c->meta))
        g->oom = true;
}

/* Does the statement replace the one held? The later does; but a whole one is not given up for one
 * whose metadata may have died with its node, and the host is asked about nothing less. */
static bool is_better(const struct candidate *c, const struct record *r, struct slice meta)
{
    struct record held = record_of(c->record);
    bool whole = r->meta_len == 0 || meta.len > 0 ||
                 (c->meta != NULL && record_has_meta(r, blob_slice(c->meta)));

    if (whole != is_whole(c))
        return whole;
    return gossip_incarnation_cmp(r->incarnation, held.incarnation) > 0;
}

/* False: nothing that could change the host's mind. */
static bool update(struct gossip *g, struct candidate *c, const struct record *r,
                   struct slice bytes, struct slice meta)
{
    struct blob *blob;

    if (c->record != NULL && !is_better(c, r, meta))
        return true; /* known; the host may still owe an answer */
    blob = blob_intern(g->pool, bytes);
    if (blob == NULL) {
        g->oom = true;
        return false;
    }
    blob_unref(g->pool, c->record);
    c->record = blob;
    if (c->meta != NULL && !record_has_meta(r, blob_slice(c->meta))) {
        blob_unref(g->pool, c->meta);
        c->meta = NULL;
    }
    if (c->meta == NULL && meta.len > 0) {
        c->meta = blob_intern(g->pool, meta);
        g->oom |= c->meta == NULL;
    }
    return true;
}

void candidate_hold(struct gossip *g, node_ref ref, const struct record *r, struct slice bytes,
                    struct slice meta, const struct member *source)
{
    struct candidate *c = find(g, ref);

    if (c == NULL)
        c = take_place(g, ref);
    if (c == NULL)
        return;
    c->touched = g->now;
    c->source = source == NULL ? 0 : source->ref;
    if (c->refused_until > g->now)
        return;
    if (update(g, c, r, bytes, meta))
        ask_host(g, c);
    if (c->record == NULL)
        clear(g, c); /* no memory for it */
    else if (!is_whole(c))
        pull_wake(g);
}

void candidate_admit(struct gossip *g, struct member *m)
{
    struct candidate *c = find(g, m->ref);
    struct candidate held;
    uint8_t bytes[RECORD_LEN_MAX + GOSSIP_META_LEN_MAX];
    struct writer w = writer_of(bytes, sizeof(bytes));

    if (c == NULL)
        return;
    held = *c;
    *c = (struct candidate){ 0 };
    g->candidates.count--;
    if (held.record != NULL) {
        write_bytes(&w, blob_slice(held.record));
        write_bytes(&w, blob_slice(held.meta));
        (void)view_take_record(g, slice_of(bytes, w.len), NULL); /* counts a bad signature */
    }
    blob_unref(g->pool, held.record);
    blob_unref(g->pool, held.meta);
}

void candidate_refuse(struct gossip *g, const struct id *id)
{
    node_ref ref = node_ref_of(id);
    struct candidate *c = find(g, ref);

    if (c == NULL)
        c = take_place(g, ref);
    if (c == NULL)
        return;
    clear(g, c);
    c->ref = ref;
    c->touched = g->now;
    c->refused_until = mono_after(g->now, REFUSED_TIME);
    g->candidates.count++;
}

static bool is_incomplete(const struct candidate *c)
{
    return c->ref != 0 && c->record != NULL && !is_whole(c);
}

bool candidate_is_welcome(const struct gossip *g, node_ref ref)
{
    const struct candidate *c = find(g, ref);

    return c == NULL || (c->refused_until <= g->now && (c->record == NULL || is_incomplete(c)));
}

const struct blob *candidate_incomplete(const struct gossip *g, size_t nth)
{
    for (size_t i = 0; g->candidates.list != NULL && i < GOSSIP_CANDIDATES_MAX; i++) {
        if (is_incomplete(&g->candidates.list[i]) && nth-- == 0)
            return g->candidates.list[i].record;
    }
    return NULL;
}

size_t candidate_missing(const struct gossip *g, node_ref *out, size_t cap, node_ref *out_source)
{
    size_t count = 0;

    for (size_t i = 0; g->candidates.list != NULL && i < GOSSIP_CANDIDATES_MAX && count < cap;
         i++) {
        const struct candidate *c = &g->candidates.list[i];

        if (!is_incomplete(c))
            continue;
        out[count++] = c->ref;
        *out_source = c->source;
    }
    return count;
}

void candidates_deinit(struct gossip *g)
{
    for (size_t i = 0; g->candidates.list != NULL && i < GOSSIP_CANDIDATES_MAX; i++)
        clear(g, &g->candidates.list[i]);
    free(g->candidates.list);
    g->candidates.list = NULL;
}
