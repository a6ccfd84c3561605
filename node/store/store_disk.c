/* One LMDB database: key = kind, id; value = nonce, sealed object. The key of kind 0 holds the
 * applied index. No MDB_WRITEMAP: a stray pointer of ours must not reach the file. */
#include "node/store/store_disk.h"

#include <errno.h>
#include <lmdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/err.h"

#define KEY_LEN        (1 + ID_LEN)
#define NONCE_LEN      crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN        crypto_aead_xchacha20poly1305_ietf_ABYTES
#define MAP_SIZE_FIRST (64 * MIB)
#define MAP_SIZE_MAX   (64 * GIB)
#define APPLIED_LEN    8

struct store_disk {
    MDB_env *env;
    MDB_dbi dbi;
    uint8_t key[STORE_DISK_KEY_LEN];
    size_t map_size;
};

/* One object to write (bytes) or to remove (none). */
struct batch_row {
    uint8_t key[KEY_LEN];
    struct bytes object;
};

struct store_batch {
    struct batch_row *rows;
    size_t count, cap;
    uint64_t applied;
    bool replace; /* everything else goes */
    bool touched;
};

static int err_from_lmdb(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return ERR_FULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
        return ERR_CORRUPT;
    default:
        return rc > 0 ? -rc : ERR_UNAVAILABLE;
    }
}

/* --- Sealing */

static int seal(const struct store_disk *d, const uint8_t key[KEY_LEN], struct slice plain,
                struct buf *out)
{
    uint8_t *at;
    int rc;

    buf_clear(out);
    rc = buf_extend(out, NONCE_LEN + plain.len + TAG_LEN, &at);
    if (rc < 0)
        return rc;
    randombytes_buf(at, NONCE_LEN);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(at + NONCE_LEN, NULL, plain.ptr, plain.len,
                                                     key, KEY_LEN, NULL, at,
                                                     d->key); /* cannot fail */
    return 0;
}

static int unseal(const struct store_disk *d, const uint8_t key[KEY_LEN], MDB_val sealed,
                  struct buf *out)
{
    const uint8_t *bytes = sealed.mv_data;
    uint8_t *at;
    int rc;

    buf_clear(out);
    if (sealed.mv_size < NONCE_LEN + TAG_LEN)
        return ERR_CORRUPT;
    rc = buf_extend(out, sealed.mv_size - NONCE_LEN, &at);
    if (rc < 0)
        return rc;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(at, NULL, NULL, bytes + NONCE_LEN,
                                                   sealed.mv_size - NONCE_LEN, key, KEY_LEN, bytes,
                                                   d->key) != 0)
        return ERR_CORRUPT;
    out->len -= TAG_LEN;
    return 0;
}

static void row_key(unsigned kind, const struct id *id, uint8_t out[KEY_LEN])
{
    out[0] = (uint8_t)kind;
    memcpy(out + 1, id->text, ID_LEN);
}

/* --- Opening */

static int open_database(struct store_disk *d)
{
    MDB_txn *txn = NULL;
    int rc = err_from_lmdb(mdb_txn_begin(d->env, NULL, 0, &txn));

    if (rc < 0)
        return rc;
    rc = err_from_lmdb(mdb_dbi_open(txn, NULL, 0, &d->dbi));
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return err_from_lmdb(mdb_txn_commit(txn));
}

int store_disk_open(const char *path, const uint8_t key[STORE_DISK_KEY_LEN],
                    struct store_disk **out, char *why, size_t why_len)
{
    struct store_disk *d = calloc(1, sizeof(*d));
    MDB_envinfo info;
    int rc;

    if (d == NULL)
        return -ENOMEM;
    memcpy(d->key, key, sizeof(d->key));
    rc = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (rc == 0)
        rc = err_from_lmdb(mdb_env_create(&d->env));
    if (rc == 0)
        rc = err_from_lmdb(mdb_env_set_mapsize(d->env, MAP_SIZE_FIRST));
    if (rc == 0)
        rc = err_from_lmdb(mdb_env_open(d->env, path, MDB_NOTLS, 0600));
    if (rc == 0)
        rc = open_database(d);
    if (rc < 0) {
        (void)snprintf(why, why_len, "%s: %s", path, err_text(rc));
        store_disk_close(d);
        return rc;
    }
    (void)mdb_env_info(d->env, &info); /* fails only for NULL */
    d->map_size = info.me_mapsize;
    *out = d;
    return 0;
}

void store_disk_close(struct store_disk *d)
{
    if (d == NULL)
        return;
    if (d->env != NULL)
        mdb_env_close(d->env);
    sodium_memzero(d->key, sizeof(d->key));
    free(d);
}

/* --- Loading */

static int load_row(const struct store_disk *d, struct store *s, MDB_val key, MDB_val value,
                    struct buf *scratch, uint64_t *applied, char *why, size_t why_len)
{
    const uint8_t *bytes = key.mv_data;
    int rc;

    if (key.mv_size != KEY_LEN)
        return ERR_CORRUPT;
    rc = unseal(d, bytes, value, scratch);
    if (rc == 0 && bytes[0] == 0) {
        if (scratch->len != APPLIED_LEN)
            return ERR_CORRUPT;
        memcpy(applied, scratch->ptr, APPLIED_LEN);
        return 0;
    }
    if (rc == 0)
        rc = store_load_object(s, bytes[0], buf_slice(scratch));
    if (rc < 0)
        (void)snprintf(why, why_len, "the stored %s %.25s cannot be read: %s",
                       object_kind_text(bytes[0]), (const char *)bytes + 1, err_text(rc));
    return rc == -ENOMEM || rc == 0 ? rc : ERR_CORRUPT;
}

int store_disk_load(struct store_disk *d, struct store *s, char *why, size_t why_len)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint64_t applied = 0;
    struct buf scratch;
    int rc;

    buf_init(&scratch, GIB);
    rc = err_from_lmdb(mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn));
    if (rc == 0)
        rc = err_from_lmdb(mdb_cursor_open(txn, d->dbi, &cursor));
    while (rc == 0) {
        rc = err_from_lmdb(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
        if (rc == 0)
            rc = load_row(d, s, key, value, &scratch, &applied, why, why_len);
    }
    if (rc == ERR_NOT_FOUND) { /* the end */
        store_set_applied(s, applied);
        rc = 0;
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    if (txn != NULL)
        mdb_txn_abort(txn); /* read only */
    if (scratch.ptr != NULL)
        sodium_memzero(scratch.ptr, scratch.cap);
    buf_deinit(&scratch);
    return rc;
}

/* --- Batches */

int store_batch_new(struct store_batch **out)
{
    struct store_batch *b = calloc(1, sizeof(*b));

    if (b == NULL)
        return -ENOMEM;
    *out = b;
    return 0;
}

static void clear_rows(struct store_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].object.ptr != NULL)
            sodium_memzero(b->rows[i].object.ptr, b->rows[i].object.len);
        bytes_clear(&b->rows[i].object);
    }
    b->count = 0;
}

void store_batch_free(struct store_batch *b)
{
    if (b == NULL)
        return;
    clear_rows(b);
    free(b->rows);
    free(b);
}

static int add_row(struct store_batch *b, unsigned kind, const struct object *object, bool removed)
{
    struct batch_row *row;
    struct buf bytes;
    int rc = 0;

    if (b->count == b->cap) {
        size_t cap = b->cap == 0 ? 64 : 2 * b->cap;
        struct batch_row *rows = realloc(b->rows, cap * sizeof(*rows));

        if (rows == NULL)
            return -ENOMEM;
        b->rows = rows;
        b->cap = cap;
    }
    row = &b->rows[b->count];
    *row = (struct batch_row){ 0 };
    row_key(kind, &object->id, row->key);
    buf_init(&bytes, GIB);
    if (!removed)
        rc = fields_encode(object_kind_type(kind), object, &bytes, NULL);
    if (rc == 0) {
        row->object.ptr = buf_take(&bytes, &row->object.len);
        b->count++;
    }
    buf_deinit(&bytes);
    return rc;
}

int store_batch_add(struct store_batch *b, const struct store_changes *changes, uint64_t applied)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct store_change *c = &changes->items[i];
        int rc = add_row(b, c->kind, c->after != NULL ? c->after : c->before, c->after == NULL);

        if (rc < 0)
            return rc;
    }
    b->applied = applied;
    b->touched = true;
    return 0;
}

int store_batch_replace(struct store_batch *b, const struct store *s)
{
    clear_rows(b);
    for (unsigned kind = 1; kind <= OBJECT_KIND_MAX; kind++) {
        struct store_iter it;

        for (const struct object *o = store_first(s, kind, &it); o != NULL; o = store_next(&it)) {
            int rc = add_row(b, kind, o, false);

            if (rc < 0)
                return rc;
        }
    }
    b->applied = store_applied(s);
    b->replace = b->touched = true;
    return 0;
}

bool store_batch_is_empty(const struct store_batch *b)
{
    return !b->touched;
}

uint64_t store_batch_applied(const struct store_batch *b)
{
    return b->applied;
}

/* --- Committing */

static int put_row(const struct store_disk *d, MDB_txn *txn, const struct batch_row *row,
                   struct buf *scratch)
{
    union {
        const uint8_t *shared;
        void *member; /* LMDB only reads it */
    } key = { .shared = row->key };
    MDB_val k = { .mv_size = KEY_LEN, .mv_data = key.member }, v;
    int rc;

    if (row->object.ptr == NULL) {
        rc = err_from_lmdb(mdb_del(txn, d->dbi, &k, NULL));
        return rc == ERR_NOT_FOUND ? 0 : rc; /* made and removed within this batch */
    }
    rc = seal(d, row->key, bytes_slice(&row->object), scratch);
    if (rc < 0)
        return rc;
    v = (MDB_val){ .mv_size = scratch->len, .mv_data = scratch->ptr };
    return err_from_lmdb(mdb_put(txn, d->dbi, &k, &v, 0));
}

static int put_applied(const struct store_disk *d, MDB_txn *txn, uint64_t applied,
                       struct buf *scratch)
{
    uint8_t key[KEY_LEN] = { 0 }, bytes[APPLIED_LEN];
    MDB_val k = { .mv_size = KEY_LEN, .mv_data = key }, v;
    int rc;

    memcpy(bytes, &applied, sizeof(bytes));
    rc = seal(d, key, slice_of(bytes, sizeof(bytes)), scratch);
    if (rc < 0)
        return rc;
    v = (MDB_val){ .mv_size = scratch->len, .mv_data = scratch->ptr };
    return err_from_lmdb(mdb_put(txn, d->dbi, &k, &v, 0));
}

static int try_commit(struct store_disk *d, const struct store_batch *b)
{
    MDB_txn *txn = NULL;
    struct buf scratch;
    int rc;

    buf_init(&scratch, GIB);
    rc = err_from_lmdb(mdb_txn_begin(d->env, NULL, 0, &txn));
    if (rc < 0)
        goto out;
    if (b->replace)
        rc = err_from_lmdb(mdb_drop(txn, d->dbi, 0));
    for (size_t i = 0; i < b->count && rc == 0; i++)
        rc = put_row(d, txn, &b->rows[i], &scratch);
    if (rc == 0)
        rc = put_applied(d, txn, b->applied, &scratch);
    if (rc < 0)
        goto out;
    rc = err_from_lmdb(mdb_txn_commit(txn));
    txn = NULL; /* commit frees it, even when it fails */
out:
    if (txn != NULL)
        mdb_txn_abort(txn);
    buf_deinit(&scratch);
    return rc;
}

int store_disk_commit(struct store_disk *d, const struct store_batch *b)
{
    int rc = try_commit(d, b);

    while (rc == ERR_FULL && d->map_size < MAP_SIZE_MAX) {
        d->map_size *= 2;
        rc = err_from_lmdb(mdb_env_set_mapsize(d->env, d->map_size));
        if (rc == 0)
            rc = try_commit(d, b);
    }
    return rc;
}
