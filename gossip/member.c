/* Chunks of members behind a hash index. Slots are reused last freed first. */
#include "gossip/member.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define INDEX_MIN 64

void members_init(struct members *t, size_t limit)
{
    memset(t, 0, sizeof(*t));
    t->limit = limit;
}

static void drop_blobs(struct gossip_pool *pool, struct member *m)
{
    blob_unref(pool, m->trust);
    blob_unref(pool, m->record);
    blob_unref(pool, m->meta);
    free(m->peer);
}

void members_deinit(struct members *t, struct gossip_pool *pool)
{
    for (size_t slot = 0; slot < t->slot_count; slot++) {
        struct member *m = member_at(t, slot);

        if (m != NULL)
            drop_blobs(pool, m);
    }
    for (size_t i = 0; i < t->chunk_count; i++)
        free(t->chunks[i]);
    free(t->chunks);
    free(t->free_slots);
    free(t->index);
    free(t->live);
    memset(t, 0, sizeof(*t));
}

struct member *member_at(const struct members *t, size_t slot)
{
    struct member *m = &t->chunks[slot / MEMBER_CHUNK][slot % MEMBER_CHUNK];

    return m->ref == 0 ? NULL : m;
}

struct member *member_find(const struct members *t, node_ref ref)
{
    if (t->index_len == 0 || ref == 0)
        return NULL;
    for (size_t i = ref & (t->index_len - 1); t->index[i] != 0; i = (i + 1) & (t->index_len - 1)) {
        struct member *m = member_at(t, t->index[i] - 1);

        if (m != NULL && m->ref == ref)
            return m;
    }
    return NULL;
}

static void index_put(uint32_t *index, size_t len, node_ref ref, uint32_t slot)
{
    size_t i = ref & (len - 1);

    while (index[i] != 0)
        i = (i + 1) & (len - 1);
    index[i] = slot + 1;
}

/* Refills the index; what was removed leaves no trace in it. */
static void index_fill(struct members *t, uint32_t *index, size_t len)
{
    for (uint32_t slot = 0; slot < t->slot_count; slot++) {
        struct member *m = member_at(t, slot);

        if (m != NULL)
            index_put(index, len, m->ref, slot);
    }
}

static int grow_index(struct members *t)
{
    size_t len = t->index_len == 0 ? INDEX_MIN : t->index_len * 2;
    uint32_t *index = calloc(len, sizeof(*index));

    if (index == NULL)
        return -ENOMEM;
    index_fill(t, index, len);
    free(t->index);
    t->index = index;
    t->index_len = len;
    return 0;
}

/* One chunk more, and room for its members in the arrays that count slots. */
static int grow_chunks(struct members *t)
{
    size_t slots = (t->chunk_count + 1) * MEMBER_CHUNK;
    struct member **chunks = realloc(t->chunks, (t->chunk_count + 1) * sizeof(*chunks));
    uint32_t *free_slots, *live;

    if (chunks == NULL)
        return -ENOMEM;
    t->chunks = chunks;
    free_slots = realloc(t->free_slots, slots * sizeof(*free_slots));
    if (free_slots == NULL)
        return -ENOMEM;
    t->free_slots = free_slots;
    live = realloc(t->live, slots * sizeof(*live));
    if (live == NULL)
        return -ENOMEM;
    t->live = live;
    t->chunks[t->chunk_count] = calloc(MEMBER_CHUNK, sizeof(struct member));
    if (t->chunks[t->chunk_count] == NULL)
        return -ENOMEM;
    t->chunk_count++;
    return 0;
}

int member_add(struct members *t, node_ref ref, struct blob *trust, struct member **out)
{
    struct member *m;
    uint32_t slot;
    int rc;

    if (member_find(t, ref) != NULL)
        return ERR_EXISTS;
    if (t->count >= t->limit)
        return ERR_FULL;
    if ((size_t)(t->slot_count + 1) * 2 > t->index_len) {
        rc = grow_index(t);
        if (rc < 0)
            return rc;
    }
    if (t->free_count == 0 && t->slot_count == t->chunk_count * MEMBER_CHUNK) {
        rc = grow_chunks(t);
        if (rc < 0)
            return rc;
    }
    slot = t->free_count > 0 ? t->free_slots[--t->free_count] : t->slot_count++;
    m = &t->chunks[slot / MEMBER_CHUNK][slot % MEMBER_CHUNK];
    memset(m, 0, sizeof(*m));
    m->ref = ref;
    m->trust = blob_ref(trust);
    m->slot = slot;
    m->live_index = NOT_LIVE;
    m->status = GOSSIP_UNKNOWN;
    list_init(&m->queued.link);
    index_put(t->index, t->index_len, ref, slot);
    t->count++;
    *out = m;
    return 0;
}

void member_remove(struct members *t, struct gossip_pool *pool, struct member *m)
{
    CHECK(m->suspicion == NULL);
    member_set_not_live(t, m);
    list_remove(&m->queued.link);
    drop_blobs(pool, m);
    t->free_slots[t->free_count++] = m->slot;
    t->count--;
    memset(m, 0, sizeof(*m));
    /* Removal is rare: refill instead of keeping tombstones. */
    memset(t->index, 0, t->index_len * sizeof(*t->index));
    index_fill(t, t->index, t->index_len);
}

struct id member_id(const struct member *m)
{
    struct id id = { 0 };

    memcpy(id.text, m->trust->bytes, ID_LEN);
    return id;
}

const uint8_t *member_key(const struct member *m)
{
    return m->trust->bytes + ID_LEN;
}

struct blob *member_trust(struct gossip_pool *pool, const struct id *id, const uint8_t *public_key)
{
    uint8_t bytes[ID_LEN + GOSSIP_PUBLIC_KEY_LEN];

    memcpy(bytes, id->text, ID_LEN);
    memcpy(bytes + ID_LEN, public_key, GOSSIP_PUBLIC_KEY_LEN);
    return blob_intern(pool, slice_of(bytes, sizeof(bytes)));
}

struct peer *member_peer(struct member *m)
{
    if (m->peer == NULL)
        m->peer = calloc(1, sizeof(*m->peer));
    return m->peer;
}

static void place_live(struct members *t, size_t index, uint32_t slot)
{
    t->live[index] = slot;
    member_at(t, slot)->live_index = (uint32_t)index;
}

void member_set_live(struct members *t, struct member *m, struct prng *prng)
{
    size_t at;

    if (m->live_index != NOT_LIVE)
        return;
    at = prng_below(prng, t->live_count + 1);
    if (at < t->live_count)
        place_live(t, t->live_count, t->live[at]);
    place_live(t, at, m->slot);
    t->live_count++;
}

void member_set_not_live(struct members *t, struct member *m)
{
    if (m->live_index == NOT_LIVE)
        return;
    CHECK(t->live_count > 0);
    t->live_count--;
    if (m->live_index != t->live_count)
        place_live(t, m->live_index, t->live[t->live_count]);
    m->live_index = NOT_LIVE;
}

void members_shuffle_live(struct members *t, struct prng *prng)
{
    for (size_t i = t->live_count; i > 1; i--) { /* Fisher-Yates */
        size_t j = prng_below(prng, i);
        uint32_t slot = t->live[j];

        place_live(t, j, t->live[i - 1]);
        place_live(t, i - 1, slot);
    }
}

size_t members_sample(const struct members *t, struct prng *prng, const struct member *except,
                      size_t want, struct member **out)
{
    size_t others = t->live_count;
    size_t count = 0;
    size_t i = 0;

    if (except != NULL && except->live_index != NOT_LIVE)
        others--;
    if (others > 4 * want) { /* few of many: draw until they differ */
        while (count < want) {
            struct member *m = member_at(t, t->live[prng_below(prng, t->live_count)]);
            bool taken = m == except;

            for (size_t k = 0; k < count && !taken; k++)
                taken = out[k] == m;
            if (!taken)
                out[count++] = m;
        }
        return count;
    }
    /* Most of few: walk, taking each with the chance that fills the rest exactly. */
    for (size_t left = others; left > 0 && count < want; i++) {
        struct member *m = member_at(t, t->live[i]);

        if (m == except)
            continue;
        if (prng_below(prng, left) < want - count)
            out[count++] = m;
        left--;
    }
    return count;
}
