/* head, authenticated by a keyed hash:
 *   0 magic  8 cluster[16]  24 node  32 base index  40 base term  48 size  56 hash[32]
 *   88 nonce prefix[16]  104 conf length  112 conf .., then mac[32]
 * then the bytes in pieces of PIECE_BYTES, each sealed with the prefix and its number as nonce and
 * the head's mac as associated data, each followed by its tag. */
#include "raft/wal_snapshot.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/wal_record.h"

#define SNAPSHOT_MAGIC     UINT64_C(0x31504e534c414853) /* "SHALSNP1" */
#define SNAPSHOT_TMP       "installed.tmp"
#define SNAPSHOT_BYTES_MAX (UINT64_C(4) << 30)
#define HEAD_BYTES         112u
#define MAC_BYTES          32u
#define PIECE_BYTES        RAFT_CHUNK_LEN

struct wal_snapshot {
    struct disk_op ops[4];
    uint8_t *bytes;
};

static size_t piece_count(uint64_t size)
{
    return (size_t)((size + PIECE_BYTES - 1) / PIECE_BYTES);
}

static size_t piece_len(uint64_t size, size_t i)
{
    return (size_t)MIN((uint64_t)PIECE_BYTES, size - (uint64_t)i * PIECE_BYTES);
}

static void piece_nonce(const uint8_t *prefix, size_t i, uint8_t out[WAL_NONCE_BYTES])
{
    memcpy(out, prefix, WAL_NONCE_PREFIX_BYTES);
    wal_put64(out + WAL_NONCE_PREFIX_BYTES, i);
}

static void head_mac(const struct wal_keys *k, const uint8_t *head, size_t len,
                     uint8_t out[MAC_BYTES])
{
    (void)crypto_generichash(out, MAC_BYTES, head, len, k->snapshot, sizeof(k->snapshot));
}

static void seal_pieces(const struct wal_keys *k, const uint8_t *mac, const uint8_t *prefix,
                        struct slice bytes, uint8_t *out)
{
    for (size_t i = 0; i < piece_count(bytes.len); i++) {
        size_t len = piece_len(bytes.len, i);
        uint8_t nonce[WAL_NONCE_BYTES];

        piece_nonce(prefix, i, nonce);
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, bytes.ptr + i * PIECE_BYTES,
                                                         len, mac, MAC_BYTES, NULL, nonce,
                                                         k->snapshot); /* cannot fail */
        out += len + WAL_TAG_BYTES;
    }
}

static bool open_pieces(const struct wal_keys *k, const uint8_t *mac, const uint8_t *prefix,
                        const uint8_t *sealed, uint64_t size, uint8_t *out)
{
    for (size_t i = 0; i < piece_count(size); i++) {
        size_t len = piece_len(size, i);
        uint8_t nonce[WAL_NONCE_BYTES];

        piece_nonce(prefix, i, nonce);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(out + i * PIECE_BYTES, NULL, NULL, sealed,
                                                       len + WAL_TAG_BYTES, mac, MAC_BYTES, nonce,
                                                       k->snapshot) != 0)
            return false;
        sealed += len + WAL_TAG_BYTES;
    }
    return true;
}

static void write_head(const struct wal_config *cfg, const struct raft_snapshot *s, uint64_t size,
                       uint8_t *out)
{
    wal_put64(out, SNAPSHOT_MAGIC);
    memcpy(out + 8, cfg->cluster, WAL_CLUSTER_BYTES);
    wal_put64(out + 24, cfg->node);
    wal_put64(out + 32, s->base.last.index);
    wal_put64(out + 40, s->base.last.term);
    wal_put64(out + 48, size);
    memcpy(out + 56, s->hash, RAFT_HASH_LEN);
    memcpy(out + 88, cfg->nonce_prefix, WAL_NONCE_PREFIX_BYTES);
    wal_put64(out + 104, s->base.conf.len);
    if (s->base.conf.len > 0)
        memcpy(out + HEAD_BYTES, s->base.conf.ptr, s->base.conf.len);
}

static void set_name(char out[DISK_NAME_CAP], const char *name)
{
    memcpy(out, name, strlen(name) + 1);
}

int wal_snapshot_new(const struct wal_config *cfg, const struct raft_snapshot *snapshot,
                     struct slice bytes, struct wal_snapshot **out)
{
    size_t head = HEAD_BYTES + snapshot->base.conf.len;
    size_t total = head + MAC_BYTES + bytes.len + piece_count(bytes.len) * WAL_TAG_BYTES;
    struct wal_snapshot *s;
    struct wal_keys keys;

    if (bytes.len > SNAPSHOT_BYTES_MAX || snapshot->base.conf.len > RAFT_CONF_LEN_MAX)
        return ERR_TOO_LARGE;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->bytes = malloc(total);
    if (s->bytes == NULL) {
        free(s);
        return -ENOMEM;
    }
    wal_keys_derive(cfg, &keys);
    write_head(cfg, snapshot, bytes.len, s->bytes);
    head_mac(&keys, s->bytes, head, s->bytes + head);
    seal_pieces(&keys, s->bytes + head, cfg->nonce_prefix, bytes, s->bytes + head + MAC_BYTES);
    wal_keys_wipe(&keys);
    s->ops[0] = (struct disk_op){ .kind = DISK_WRITE, .data = slice_of(s->bytes, total) };
    s->ops[1] = (struct disk_op){ .kind = DISK_SYNC };
    s->ops[2] = (struct disk_op){ .kind = DISK_RENAME };
    s->ops[3] = (struct disk_op){ .kind = DISK_SYNC_DIR };
    for (size_t i = 0; i < 3; i++)
        set_name(s->ops[i].file, SNAPSHOT_TMP);
    set_name(s->ops[2].to, WAL_SNAPSHOT_FILE);
    *out = s;
    return 0;
}

struct disk_job wal_snapshot_job(const struct wal_snapshot *s)
{
    return (struct disk_job){ .ops = s->ops, .op_count = ARRAY_LEN(s->ops) };
}

void wal_snapshot_free(struct wal_snapshot *s)
{
    if (s == NULL)
        return;
    free(s->bytes);
    free(s);
}

/* --- Reading. */

struct file_len {
    bool exists;
    uint64_t len;
};

static int on_file(void *arg, const char *name, uint64_t len)
{
    struct file_len *found = arg;

    if (strcmp(name, WAL_SNAPSHOT_FILE) == 0)
        *found = (struct file_len){ .exists = true, .len = len };
    return 0;
}

/* A longer file that was here under the temporary name leaves bytes behind; only the first count.
 */
static int open_file(const struct wal_keys *k, const uint8_t *file, uint64_t file_len,
                     struct wal_snapshot_found *out)
{
    uint64_t size = wal_get64(file + 48), conf = wal_get64(file + 104);
    uint64_t head = HEAD_BYTES + conf;
    uint8_t mac[MAC_BYTES];
    uint8_t *plain;

    if (wal_get64(file) != SNAPSHOT_MAGIC || conf > RAFT_CONF_LEN_MAX ||
        size > SNAPSHOT_BYTES_MAX ||
        head + MAC_BYTES + size + piece_count(size) * WAL_TAG_BYTES > file_len)
        return ERR_CORRUPT;
    head_mac(k, file, (size_t)head, mac);
    if (sodium_memcmp(mac, file + head, MAC_BYTES) != 0)
        return ERR_CORRUPT;
    plain = malloc((size_t)(size + conf) + 1);
    if (plain == NULL)
        return -ENOMEM;
    if (!open_pieces(k, mac, file + 88, file + head + MAC_BYTES, size, plain)) {
        free(plain);
        return ERR_CORRUPT;
    }
    memcpy(plain + size, file + HEAD_BYTES, (size_t)conf);
    out->memory = plain;
    out->bytes = slice_of(plain, (size_t)size);
    out->snapshot.base.last.index = wal_get64(file + 32);
    out->snapshot.base.last.term = wal_get64(file + 40);
    out->snapshot.base.conf = slice_of(plain + size, (size_t)conf);
    out->snapshot.size = size;
    memcpy(out->snapshot.hash, file + 56, RAFT_HASH_LEN);
    return 0;
}

int wal_snapshot_read(const struct wal_config *cfg, const struct disk_reader *reader,
                      struct wal_snapshot_found *out)
{
    struct file_len found = { 0 };
    struct wal_keys keys;
    uint8_t *file;
    int64_t got;
    int rc = reader->list(reader->ctx, on_file, &found);

    if (rc < 0)
        return rc;
    if (!found.exists)
        return ERR_NOT_FOUND;
    if (found.len < HEAD_BYTES + MAC_BYTES || found.len > 2 * SNAPSHOT_BYTES_MAX)
        return ERR_CORRUPT;
    file = malloc((size_t)found.len);
    if (file == NULL)
        return -ENOMEM;
    wal_keys_derive(cfg, &keys);
    got = reader->read(reader->ctx, WAL_SNAPSHOT_FILE, 0, file, (size_t)found.len);
    if (got < 0)
        rc = (int)got;
    else
        rc = got == (int64_t)found.len ? open_file(&keys, file, found.len, out) : ERR_CORRUPT;
    wal_keys_wipe(&keys);
    free(file);
    return rc;
}
