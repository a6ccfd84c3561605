/* node/cluster/identity_file.c - An identity on disk: see identity.h. */
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/fields.h"
#include "node/cluster/identity.h"
#include "node/cluster/link_msg.h"
#include "node/disk/state_file.h"

#define KEYS_NAME       "keys"
#define MEMBERSHIP_NAME "membership"
#define FILE_LEN_MAX    4096

static void wipe(struct buf *b)
{
    if (b->ptr != NULL)
        sodium_memzero(b->ptr, b->cap);
    buf_deinit(b);
}

/* One object in one file. The object is the caller's to free. */
static int read_object(const char *dir, const char *name, const struct fields *type, void *obj)
{
    struct field_error err;
    struct buf bytes;
    int rc;

    buf_init(&bytes, FILE_LEN_MAX);
    rc = buf_reserve(&bytes, FILE_LEN_MAX); /* no copy is left behind by growing */
    if (rc == 0)
        rc = state_file_read(dir, name, &bytes);
    if (rc == ERR_TOO_LARGE)
        rc = ERR_CORRUPT;
    if (rc == 0 && fields_decode(type, buf_slice(&bytes), obj, &err) < 0)
        rc = ERR_CORRUPT;
    wipe(&bytes);
    return rc;
}

static int write_object(const char *dir, const char *name, const struct fields *type,
                        const void *obj)
{
    struct field_error err;
    struct buf bytes;
    int rc;

    buf_init(&bytes, FILE_LEN_MAX);
    rc = buf_reserve(&bytes, FILE_LEN_MAX);
    if (rc == 0)
        rc = fields_encode(type, obj, &bytes, &err);
    if (rc == 0)
        rc = state_file_write(dir, name, buf_slice(&bytes));
    wipe(&bytes);
    return rc;
}

static int load_keys(const char *dir, struct node_keys *out)
{
    struct node_secrets secrets = { 0 };
    uint8_t seed[NODE_KEYS_SEED_LEN];
    int rc = read_object(dir, KEYS_NAME, &node_secrets_type, &secrets);

    if (rc < 0)
        return rc;
    memcpy(seed, secrets.identity_seed, CLUSTER_KEY_LEN);
    memcpy(seed + CLUSTER_KEY_LEN, secrets.static_secret, CLUSTER_KEY_LEN);
    node_keys_init(out, seed);
    sodium_memzero(seed, sizeof(seed));
    fields_deinit(&node_secrets_type, &secrets);
    return 0;
}

static int load_membership(const char *dir, struct identity *id)
{
    struct membership m = { 0 };
    int rc = read_object(dir, MEMBERSHIP_NAME, &membership_type, &m);

    if (rc == -ENOENT)
        return 0; /* not a member yet */
    if (rc < 0)
        return rc;
    id->is_member = true;
    id->cert = m.cert;
    trust_from_roots(&m.roots, &m.cert.cluster, &id->trust);
    fields_deinit(&membership_type, &m);
    if (memcmp(id->cert.identity_key, id->keys.identity_key, CLUSTER_KEY_LEN) != 0 ||
        memcmp(id->cert.static_key, id->keys.static_key, CLUSTER_KEY_LEN) != 0)
        return ERR_CORRUPT; /* one of the two files is another node's */
    return 0;
}

int identity_load(const char *dir, struct identity *out)
{
    struct identity id = { 0 };
    int rc = load_keys(dir, &id.keys);

    if (rc == 0)
        rc = load_membership(dir, &id);
    if (rc == 0)
        *out = id;
    identity_deinit(&id);
    return rc;
}

static int save_membership(const char *dir, const struct identity *id)
{
    struct membership m = { .cert = id->cert };
    int rc = trust_to_roots(&id->trust, &m.roots);

    if (rc == 0)
        rc = write_object(dir, MEMBERSHIP_NAME, &membership_type, &m);
    fields_deinit(&membership_type, &m);
    return rc;
}

int identity_save(const char *dir, const struct identity *id)
{
    struct node_secrets secrets = { 0 };
    int rc = state_dir_make(dir);

    if (rc < 0)
        return rc;
    memcpy(secrets.identity_seed, id->keys.identity_seed, CLUSTER_KEY_LEN);
    memcpy(secrets.static_secret, id->keys.static_secret, CLUSTER_KEY_LEN);
    rc = write_object(dir, KEYS_NAME, &node_secrets_type, &secrets);
    fields_deinit(&node_secrets_type, &secrets);
    if (rc == 0 && id->is_member)
        rc = save_membership(dir, id);
    else if (rc == 0)
        rc = state_file_remove(dir, MEMBERSHIP_NAME);
    return rc;
}
