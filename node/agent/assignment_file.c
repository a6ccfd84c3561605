/* The assignment on disk: nonce, then one ASSIGN of all rows sealed with XChaCha20-Poly1305.
 * A file that does not open is set aside and counts as none; the managers know it all. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/agent/host_impl.h"
#include "node/disk/state_file.h"

#define FILE_NAME          "assignment"
#define NONCE_LEN          crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN            crypto_aead_xchacha20poly1305_ietf_ABYTES
#define ASSIGNMENT_LEN_MAX (512 * MIB)

static const char domain[] = "shoal assignment 1";

/* Opens it in place, and wipes it. */
static int open_sealed(const struct host *h, struct buf *sealed, struct assign *out)
{
    uint8_t *text = sealed->ptr + NONCE_LEN;
    unsigned long long plain_len;
    int rc;

    if (sealed->len < NONCE_LEN + TAG_LEN)
        return ERR_CORRUPT;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            text, &plain_len, NULL, text, sealed->len - NONCE_LEN, (const uint8_t *)domain,
            sizeof(domain), sealed->ptr, h->cfg.seal_key) != 0)
        return ERR_CORRUPT;
    rc = fields_decode(&assign_type, slice_of(text, (size_t)plain_len), out, NULL);
    sodium_memzero(sealed->ptr, sealed->len);
    return rc == ERR_MALFORMED || rc == ERR_TOO_LARGE ? ERR_CORRUPT : rc;
}

int assignment_load(const struct host *h, struct assign *out)
{
    char path[4096], aside[4200];
    struct buf sealed;
    int rc;

    buf_init(&sealed, ASSIGNMENT_LEN_MAX);
    rc = state_file_read(h->cfg.state_dir, FILE_NAME, &sealed);
    if (rc == 0)
        rc = open_sealed(h, &sealed, out);
    buf_deinit(&sealed);
    if (rc == ERR_CORRUPT) {
        (void)snprintf(path, sizeof(path), "%s/" FILE_NAME, h->cfg.state_dir);
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

int assignment_write(const char *state_dir, const uint8_t *bytes, size_t len)
{
    return state_file_write(state_dir, FILE_NAME, slice_of(bytes, len));
}
