/* Entries lie in one array in insertion order; a table of slots, probed linearly, maps hashes
 * to entry numbers. Removing leaves a hole (value NULL) in the array and keeps the slot, so
 * that probing goes on past it. When the array is full it is rebuilt without the holes, larger
 * if fewer than a quarter were holes. */
#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define MAP_CAP_MIN 8

struct map_entry {
    uint64_t hash;
    void *value; /* NULL: removed */
    union {
        uint8_t inlined[MAP_KEY_INLINE];
        uint8_t *owned; /* when key_len > MAP_KEY_INLINE */
    } key;
    uint16_t key_len;
};

static_assert(MAP_KEY_LEN_MAX <= UINT16_MAX, "key_len holds any length");

/* A number as a key: eight bytes, the same on every machine. */
struct number_key {
    uint8_t bytes[8];
};

static struct number_key number_key(uint64_t n)
{
    struct number_key k;

    for (size_t i = 0; i < sizeof(k.bytes); i++)
        k.bytes[i] = (uint8_t)(n >> (8 * i));
    return k;
}

static const uint8_t *key_ptr(const struct map_entry *e)
{
    return e->key_len <= MAP_KEY_INLINE ? e->key.inlined : e->key.owned;
}

static void free_key(struct map_entry *e)
{
    if (e->key_len > MAP_KEY_INLINE)
        free(e->key.owned);
    e->key_len = 0;
}

void map_init(struct map *m, const struct hash_seed *seed, size_t limit)
{
    CHECK(limit < (size_t)1 << 31);
    *m = (struct map){ .seed = *seed, .limit = limit };
}

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->entry_count; i++)
        free_key(&m->entries[i]);
    if (m->slots != NULL)
        memset(m->slots, 0, m->slot_count * sizeof(*m->slots));
    m->entry_count = m->count = 0;
}

void map_deinit(struct map *m)
{
    map_clear(m);
    free(m->entries);
    free(m->slots);
    *m = (struct map){ .seed = m->seed, .limit = m->limit };
}

/* The live entry of a key, or NULL. */
static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash)
{
    if (m->slot_count == 0)
        return NULL;
    for (size_t at = hash & (m->slot_count - 1);; at = (at + 1) & (m->slot_count - 1)) {
        struct map_entry *e;

        if (m->slots[at] == 0)
            return NULL;
        e = &m->entries[m->slots[at] - 1];
        if (e->hash == hash && e->value != NULL &&
            slice_equal(slice_of(key_ptr(e), e->key_len), key))
            return e;
    }
}

static void fill_slot(struct map *m, uint64_t hash, size_t entry_number)
{
    size_t at = hash & (m->slot_count - 1);

    while (m->slots[at] != 0)
        at = (at + 1) & (m->slot_count - 1);
    m->slots[at] = (uint32_t)(entry_number + 1);
}

/* Closes the holes and refills the slots. */
static void rebuild(struct map *m)
{
    size_t to = 0;

    memset(m->slots, 0, m->slot_count * sizeof(*m->slots));
    for (size_t from = 0; from < m->entry_count; from++) {
        if (m->entries[from].value == NULL)
            continue;
        m->entries[to] = m->entries[from];
        fill_slot(m, m->entries[to].hash, to);
        to++;
    }
    m->entry_count = to;
}

/* Makes room for one more entry; unchanged on failure. */
static int grow(struct map *m)
{
    size_t cap = m->entry_cap;
    struct map_entry *entries;
    uint32_t *slots;

    if (m->entry_count < cap)
        return 0;
    if (m->count < cap - cap / 4) {
        rebuild(m);
        return 0;
    }
    cap = MAX(cap * 2, (size_t)MAP_CAP_MIN);
    slots = calloc(cap * 2, sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    entries = realloc(m->entries, cap * sizeof(*entries));
    if (entries == NULL) {
        free(slots);
        return -ENOMEM;
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = cap * 2;
    m->entries = entries;
    m->entry_cap = cap;
    rebuild(m);
    return 0;
}

static int add(struct map *m, struct slice key, uint64_t hash, void *value)
{
    struct map_entry e = { .hash = hash, .value = value, .key_len = (uint16_t)key.len };
    uint8_t *bytes = e.key.inlined;
    int rc;

    if (m->count >= m->limit)
        return ERR_FULL;
    rc = grow(m);
    if (rc < 0)
        return rc;
    if (key.len > MAP_KEY_INLINE) {
        bytes = e.key.owned = malloc(key.len);
        if (bytes == NULL)
            return -ENOMEM;
    }
    if (key.len > 0)
        memcpy(bytes, key.ptr, key.len);
    m->entries[m->entry_count] = e;
    fill_slot(m, hash, m->entry_count);
    m->entry_count++;
    m->count++;
    return 0;
}

int map_set(struct map *m, struct slice key, void *value)
{
    struct map_entry *e;
    uint64_t hash;

    CHECK(value != NULL);
    if (key.len > MAP_KEY_LEN_MAX)
        return ERR_TOO_LARGE;
    hash = hash_bytes(&m->seed, key);
    e = find(m, key, hash);
    if (e == NULL)
        return add(m, key, hash, value);
    e->value = value;
    return 0;
}

void *map_get(const struct map *m, struct slice key)
{
    const struct map_entry *e = find(m, key, hash_bytes(&m->seed, key));

    return e == NULL ? NULL : e->value;
}

void *map_remove(struct map *m, struct slice key)
{
    struct map_entry *e = find(m, key, hash_bytes(&m->seed, key));
    void *value;

    if (e == NULL)
        return NULL;
    value = e->value;
    e->value = NULL;
    free_key(e);
    m->count--;
    return value;
}

int map_set_u64(struct map *m, uint64_t key, void *value)
{
    struct number_key k = number_key(key);

    return map_set(m, slice_of(k.bytes, sizeof(k.bytes)), value);
}

void *map_get_u64(const struct map *m, uint64_t key)
{
    struct number_key k = number_key(key);

    return map_get(m, slice_of(k.bytes, sizeof(k.bytes)));
}

void *map_remove_u64(struct map *m, uint64_t key)
{
    struct number_key k = number_key(key);

    return map_remove(m, slice_of(k.bytes, sizeof(k.bytes)));
}

bool map_next(const struct map *m, struct map_iter *it)
{
    while (it->position < m->entry_count) {
        const struct map_entry *e = &m->entries[it->position++];

        if (e->value == NULL)
            continue;
        it->key = slice_of(key_ptr(e), e->key_len);
        it->value = e->value;
        return true;
    }
    return false;
}

uint64_t map_iter_u64(const struct map_iter *it)
{
    uint64_t n = 0;

    CHECK(it->key.len == sizeof(n));
    for (size_t i = sizeof(n); i > 0; i--)
        n = n << 8 | it->key.ptr[i - 1];
    return n;
}
