/* The assignment on disk: nonce, then one ASSIGN of all rows sealed with XChaCha20-Poly1305.
 * Written aside, synced, renamed: a crash leaves the old one or the new one. A file that
 * does not open is set aside and counts as none; the managers know it all. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "node/agent/host_impl.h"

#define NONCE_LEN          crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN            crypto_aead_xchacha20poly1305_ietf_ABYTES
#define ASSIGNMENT_LEN_MAX (512 * MIB)

static const char domain[] = "shoal assignment 1";

static int read_file(const char *path, uint8_t **out, size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = NULL;
    struct stat st;
    size_t len = 0;
    int rc = 0;

    if (fd < 0)
        return err_errno();
    if (fstat(fd, &st) < 0)
        rc = err_errno();
    else if (st.st_size < 0 || (uint64_t)st.st_size > ASSIGNMENT_LEN_MAX)
        rc = ERR_TOO_LARGE;
    else if ((bytes = malloc((size_t)st.st_size + 1)) == NULL)
        rc = -ENOMEM;
    while (rc == 0 && len < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + len, (size_t)st.st_size - len);

        if (n <= 0)
            rc = n == 0 ? ERR_CORRUPT : err_errno();
        else
            len += (size_t)n;
    }
    (void)close(fd); /* read only */
    if (rc < 0) {
        free(bytes);
        return rc;
    }
    *out = bytes;
    *out_len = len;
    return 0;
}

static int open_sealed(const struct host *h, uint8_t *bytes, size_t len, struct assign *out)
{
    unsigned long long plain_len;
    int rc;

    if (len < NONCE_LEN + TAG_LEN)
        return ERR_CORRUPT;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            bytes + NONCE_LEN, &plain_len, NULL, bytes + NONCE_LEN, len - NONCE_LEN,
            (const uint8_t *)domain, sizeof(domain), bytes, h->cfg.seal_key) != 0)
        return ERR_CORRUPT;
    rc = fields_decode(&assign_type, slice_of(bytes + NONCE_LEN, (size_t)plain_len), out, NULL);
    sodium_memzero(bytes, len);
    return rc == ERR_MALFORMED || rc == ERR_TOO_LARGE ? ERR_CORRUPT : rc;
}

int assignment_load(const struct host *h, struct assign *out)
{
    char path[4096], aside[4200];
    uint8_t *bytes;
    size_t len;
    int rc;

    (void)snprintf(path, sizeof(path), "%s/assignment", h->cfg.state_dir);
    rc = read_file(path, &bytes, &len);
    if (rc < 0)
        return rc;
    rc = open_sealed(h, bytes, len, out);
    free(bytes);
    if (rc == ERR_CORRUPT) {
        (void)snprintf(aside, sizeof(aside), "%s.corrupt", path);
        (void)rename(path, aside); /* for a post-mortem; the next write replaces it anyhow */
    }
    return rc;
}

/* Rows are borrowed by the frame that is encoded, not copied. */
static int gather(const struct host *h, struct assign *all)
{
    size_t count = agent_row_count(h->agent), i = 0;
    const struct assigned *row;

    all->version = agent_version(h->agent);
    all->rows.items = calloc(count + 1, sizeof(*all->rows.items));
    if (all->rows.items == NULL)
        return -ENOMEM;
    for (row = agent_next_row(h->agent, NULL); row != NULL && i < count;
         row = agent_next_row(h->agent, row->key))
        all->rows.items[i++] = *row;
    all->rows.count = i;
    return 0;
}

int assignment_seal(const struct host *h, uint8_t **out, size_t *out_len)
{
    struct assign all = { 0 };
    uint8_t *sealed = NULL;
    struct buf plain;
    int rc;

    buf_init(&plain, ASSIGNMENT_LEN_MAX);
    rc = gather(h, &all);
    if (rc == 0)
        rc = fields_encode(&assign_type, &all, &plain, NULL);
    if (rc == 0 && (sealed = malloc(NONCE_LEN + plain.len + TAG_LEN)) == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        unsigned long long sealed_len;

        randombytes_buf(sealed, NONCE_LEN);
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
            sealed + NONCE_LEN, &sealed_len, plain.ptr, plain.len, (const uint8_t *)domain,
            sizeof(domain), NULL, sealed, h->cfg.seal_key); /* cannot fail */
        *out = sealed;
        *out_len = NONCE_LEN + (size_t)sealed_len;
    }
    free(all.rows.items); /* the rows are the agent's */
    if (plain.ptr != NULL)
        sodium_memzero(plain.ptr, plain.len);
    buf_deinit(&plain);
    return rc;
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0)
        (void)close(fd); /* nothing was written through it */
    return rc;
}

int assignment_write(const char *state_dir, const uint8_t *bytes, size_t len)
{
    char path[4096], aside[4096];
    int fd, rc;

    (void)snprintf(path, sizeof(path), "%s/assignment", state_dir);
    (void)snprintf(aside, sizeof(aside), "%s/assignment.new", state_dir);
    fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    rc = write_all(fd, bytes, len);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(aside, path) < 0)
        rc = -errno;
    return rc < 0 ? rc : sync_directory(state_dir);
}
