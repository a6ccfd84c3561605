/* runtime/registry.h - Reading from a registry: OCI distribution-spec v1.1 over libcurl.
 *
 * One struct registry serves one repository for one pull. Everything blocks; several threads may
 * use it at once, they share only the bearer token. Broken transfers are retried with back-off
 * and go on where they stopped; what a server says is believed only when its digest agrees. */
#ifndef RUNTIME_REGISTRY_H
#define RUNTIME_REGISTRY_H

#include <stdatomic.h>

#include <uv.h>

#include "runtime/blob.h"
#include "runtime/manifest.h"
#include "runtime/reference.h"
#include "runtime/runtime.h"

#define REGISTRY_TOKEN_MAX 16384

struct registry {
    struct reference reference;
    char base[600]; /* "https://host/v2/repository" */
    bool is_http;
    char *username, *password, *identity_token; /* NULL = none */
    const atomic_bool *cancel;
    uv_mutex_t mutex;                       /* guards what follows */
    char authorization[REGISTRY_TOKEN_MAX]; /* header line, "" = none yet */
    uint64_t authorization_number;          /* counts changes, so that one 401 renews it once */
};

/* `insecure` lists hosts that are spoken to in plain HTTP, NULL-terminated; loopback is always. */
NODISCARD int registry_init(struct registry *r, const struct reference *reference,
                            const struct registry_auth *auth, char *const *insecure,
                            const atomic_bool *cancel, struct fault *f);
void registry_deinit(struct registry *r); /* wipes credentials */

const char *registry_host(const struct registry *r); /* as the reference calls it */

/* Appends the manifest or index of `what`, a tag or digest; *out_digest is that of its bytes,
 * and is `what` if that is a digest.
 *   ERR_NOT_FOUND, ERR_UNAUTHENTICATED, ERR_FORBIDDEN, ERR_UNAVAILABLE, ERR_CORRUPT */
NODISCARD int registry_get_manifest(struct registry *r, const char *what, struct buf *out,
                                    struct digest *out_digest, struct fault *f);

/* Downloads a blob into the store. `size` bounds it; on_bytes hears how many are there. */
struct registry_blob {
    struct digest digest;
    uint64_t size;
    void (*on_bytes)(void *arg, uint64_t count); /* may be NULL */
    void *arg;
};
NODISCARD int registry_get_blob(struct registry *r, struct blob_store *store,
                                const struct registry_blob *blob, struct fault *f);

/* Takes a WWW-Authenticate header apart: exposed for its tests. */
struct auth_challenge {
    bool is_bearer, is_basic;
    char realm[1024], service[256], scope[512];
};
void registry_parse_challenge(struct slice header, struct auth_challenge *out);

#endif /* RUNTIME_REGISTRY_H */
