/* What a member keeps. What is on disk under <state_dir>:
 *     node/     identity: keys, certificate, roots (identity.h)
 *     member/   file "member" (struct member_file), file "data-key"
 *     raft/ store/   of a manager     agent/   the assignment     overlay/   its epoch
 * The identity's membership is what makes a node a member; it is written last at init and
 * join, and removed first when leaving. */
#include "node/member_impl.h"

#include <errno.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/disk/state_file.h"

#define MEMBER_FILE_LEN_MAX 65536

FIELDS_DEFINE(member_file, MEMBER_FILE_FIELDS);

const char *member_dir(const struct member *m, const char *name, char out[OPTIONS_PATH_MAX + 64])
{
    (void)snprintf(out, OPTIONS_PATH_MAX + 64, "%s/%s", m->cfg.options->state_dir, name);
    return out;
}

int member_save_file(const struct member *m)
{
    char dir[OPTIONS_PATH_MAX + 64];
    struct buf bytes;
    int rc;

    buf_init(&bytes, MEMBER_FILE_LEN_MAX);
    rc = state_dir_make(member_dir(m, "member", dir));
    if (rc == 0)
        rc = fields_encode(&member_file_type, &m->file, &bytes, NULL);
    if (rc == 0)
        rc = state_file_write(dir, "member", buf_slice(&bytes));
    buf_deinit(&bytes);
    return rc;
}

int member_save(struct member *m)
{
    char dir[OPTIONS_PATH_MAX + 64];
    int rc = member_save_file(m);

    return rc < 0 ? rc : identity_save(member_dir(m, "node", dir), &m->identity);
}

int member_read_file(struct member *m)
{
    char dir[OPTIONS_PATH_MAX + 64];
    struct buf bytes;
    int rc;

    buf_init(&bytes, MEMBER_FILE_LEN_MAX);
    rc = state_file_read(member_dir(m, "member", dir), "member", &bytes);
    if (rc == 0 && fields_decode(&member_file_type, buf_slice(&bytes), &m->file, NULL) < 0)
        rc = ERR_CORRUPT;
    buf_deinit(&bytes);
    return rc;
}

/* The key that seals what this node has on disk. Made on first use. */
int member_read_data_key(struct member *m)
{
    char dir[OPTIONS_PATH_MAX + 64];
    struct buf bytes;
    int rc;

    buf_init(&bytes, DATA_KEY_LEN);
    rc = state_dir_make(member_dir(m, "member", dir));
    if (rc == 0)
        rc = state_file_read(dir, "data-key", &bytes);
    if (rc == 0 && bytes.len != DATA_KEY_LEN)
        rc = ERR_CORRUPT;
    if (rc == 0)
        memcpy(m->data_key, bytes.ptr, DATA_KEY_LEN);
    if (rc == -ENOENT) {
        randombytes_buf(m->data_key, DATA_KEY_LEN);
        rc = state_file_write(dir, "data-key", slice_of(m->data_key, DATA_KEY_LEN));
    }
    if (bytes.ptr != NULL)
        sodium_memzero(bytes.ptr, bytes.len);
    buf_deinit(&bytes);
    return rc;
}

int member_read_identity(struct member *m)
{
    uint8_t seed[NODE_KEYS_SEED_LEN];
    char dir[OPTIONS_PATH_MAX + 64];
    int rc = identity_load(member_dir(m, "node", dir), &m->identity);

    if (rc != -ENOENT)
        return rc;
    randombytes_buf(seed, sizeof(seed));
    node_keys_init(&m->identity.keys, seed);
    sodium_memzero(seed, sizeof(seed));
    return identity_save(dir, &m->identity);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void member_remove_dir(const struct member *m, const char *name)
{
    char dir[OPTIONS_PATH_MAX + 64];

    (void)nftw(member_dir(m, name, dir), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* What belonged to a cluster that this node is not in any more. Its keys go, too: the cluster may
 * still hold the node that they were of, and two nodes with one key would be mistaken for each
 * other. */
void member_wipe(struct member *m)
{
    static const char *const dirs[] = { "member", "raft", "store", "agent", "overlay", "node" };
    char dir[OPTIONS_PATH_MAX + 64];

    m->identity.is_member = false;
    if (identity_save(member_dir(m, "node", dir), &m->identity) < 0) /* before anything else goes */
        log_error("member", "%s: the membership cannot be removed", dir);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        member_remove_dir(m, dirs[i]);
    identity_deinit(&m->identity);
    if (member_read_identity(m) < 0)
        log_error("member", "%s: new keys cannot be written", dir);
    fields_deinit(&member_file_type, &m->file);
    fields_deinit(&cluster_record_type, &m->record);
    m->has_record = false;
    sodium_memzero(m->data_key, sizeof(m->data_key));
}
