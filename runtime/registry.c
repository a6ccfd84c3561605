/* A request is tried until it succeeds, fails for good, or has failed ATTEMPTS times:
 *
 *     2xx                      done
 *     401                      get a token as the challenge says (registry_auth.c), once per token,
 *                              and again
 *     408 429 5xx, transport   wait (Retry-After, else 0.5 s doubling, with jitter), and again
 *     other                    for good
 *
 * How one try goes is in transfer.c. */
#include "runtime/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/registry_auth.h"
#include "runtime/transfer.h"

#define ATTEMPTS 5

/* --- Requests */

struct request {
    const char *url;
    const char *const *headers; /* NULL-terminated */
    struct buf *text;
    struct blob_writer *writer;
    const struct registry_blob *blob;
};

static struct curl_slist *headers_of(struct registry *r, const struct request *q,
                                     uint64_t *out_authorization)
{
    struct curl_slist *list = NULL, *more;

    for (size_t i = 0; q->headers != NULL && q->headers[i] != NULL; i++) {
        more = curl_slist_append(list, q->headers[i]);
        list = more == NULL ? list : more;
    }
    uv_mutex_lock(&r->mutex);
    *out_authorization = r->authorization_number;
    if (r->authorization[0] != '\0') {
        more = curl_slist_append(list, r->authorization);
        list = more == NULL ? list : more;
    }
    uv_mutex_unlock(&r->mutex);
    return list;
}

static CURLcode try_once(struct transfer *t, const struct request *q, uint64_t *out_authorization)
{
    struct curl_slist *headers = headers_of(t->r, q, out_authorization);
    char range[64];
    CURLcode code;

    t->checked = false;
    t->write_err = 0;
    t->offset = q->writer == NULL ? 0 : q->writer->hash.len;
    if (q->text != NULL)
        buf_clear(q->text);
    curl_easy_reset(t->curl);
    transfer_set_up(t, q->url, t->r->is_http);
    (void)curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
    if (t->offset > 0) {
        (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)t->offset);
        (void)curl_easy_setopt(t->curl, CURLOPT_RANGE, range);
    }
    code = curl_easy_perform(t->curl);
    curl_slist_free_all(headers);
    return code;
}

static int perform(struct registry *r, const struct request *q, struct digest *out_content_digest,
                   struct fault *f)
{
    struct transfer t = {
        .r = r, .curl = curl_easy_init(), .text = q->text, .writer = q->writer, .blob = q->blob
    };
    int attempt = 0, logins = 0, rc = 0;

    if (t.curl == NULL)
        return fault_system(f, -ENOMEM, "registry %s", registry_host(r));
    for (;;) {
        uint64_t authorization;
        CURLcode code = try_once(&t, q, &authorization);
        long status = 0;

        (void)curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &status);
        if (code == CURLE_OK)
            break;
        if (status == 401 && logins++ < 2) { /* the second: a token that expired meanwhile */
            rc = registry_authorize(r, &t.challenge, authorization, f);
            if (rc < 0)
                break;
            continue;
        }
        if (status == 416 && t.writer != NULL && t.offset > 0) { /* all there, or never was */
            rc = 0;
            break;
        }
        rc = transfer_judge(&t, code, status, f);
        if (rc < 0)
            break;
        if (++attempt == ATTEMPTS) {
            rc = fault_prefix(f, ERR_UNAVAILABLE, "given up after %d tries", ATTEMPTS);
            break;
        }
        transfer_back_off(r, attempt - 1, t.retry_after_s);
    }
    if (rc == 0 && out_content_digest != NULL)
        *out_content_digest = t.content_digest;
    curl_easy_cleanup(t.curl);
    return rc;
}

int registry_get_manifest(struct registry *r, const char *what, struct buf *out,
                          struct digest *out_digest, struct fault *f)
{
    static const char *const accept[] = {
        "Accept: " MEDIA_OCI_INDEX,
        "Accept: " MEDIA_OCI_MANIFEST,
        "Accept: " MEDIA_DOCKER_LIST,
        "Accept: " MEDIA_DOCKER_MANIFEST,
        NULL,
    };
    struct digest said = { "" }, wanted = { "" }, actual;
    char url[sizeof(r->base) + 300];
    const struct request q = { .url = url, .headers = accept, .text = out };
    int rc;

    (void)snprintf(url, sizeof(url), "%s/manifests/%.200s", r->base, what);
    rc = perform(r, &q, &said, f);
    if (rc < 0)
        return rc;
    actual = digest_of(buf_slice(out));
    if (digest_parse(slice_of_str(what), &wanted) < 0)
        wanted = said;
    if (wanted.text[0] != '\0' && !digest_equal(&wanted, &actual))
        return fault_set(f, ERR_CORRUPT, "registry %s: sent a manifest of digest %s for %s",
                         registry_host(r), actual.text, wanted.text);
    *out_digest = actual;
    return 0;
}

int registry_get_blob(struct registry *r, struct blob_store *store,
                      const struct registry_blob *blob, struct fault *f)
{
    struct blob_writer w = { 0 };
    char url[sizeof(r->base) + 100];
    const struct request q = { .url = url, .writer = &w, .blob = blob };
    int rc = blob_write_begin(store, &w);

    if (rc < 0)
        return fault_system(f, rc, "blob %s", blob->digest.text);
    (void)snprintf(url, sizeof(url), "%s/blobs/%s", r->base, blob->digest.text);
    rc = perform(r, &q, NULL, f);
    if (rc < 0) {
        blob_write_abort(store, &w);
        return fault_prefix(f, rc, "blob %s", blob->digest.text);
    }
    rc = blob_write_commit(store, &w, &blob->digest, NULL);
    if (rc == ERR_CORRUPT)
        return fault_set(f, rc, "registry %s: what it sent for blob %s has another digest",
                         registry_host(r), blob->digest.text);
    return rc < 0 ? fault_system(f, rc, "blob %s", blob->digest.text) : 0;
}

const char *registry_host(const struct registry *r)
{
    return r->reference.registry;
}

/* --- Opening */

static bool is_loopback(const char *registry)
{
    return strncmp(registry, "localhost:", 10) == 0 || strcmp(registry, "localhost") == 0 ||
           strncmp(registry, "127.", 4) == 0 || strncmp(registry, "[::1]", 5) == 0;
}

static int set_optional(char **out, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return 0;
    *out = strdup(text);
    return *out == NULL ? -ENOMEM : 0;
}

static void forget(char **secret)
{
    if (*secret != NULL)
        sodium_memzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

int registry_init(struct registry *r, const struct reference *reference,
                  const struct registry_auth *auth, char *const *insecure,
                  const atomic_bool *cancel, struct fault *f)
{
    const char *host = strcmp(reference->registry, "docker.io") == 0 ? "registry-1.docker.io"
                                                                     : reference->registry;
    int rc;

    memset(r, 0, sizeof(*r));
    r->reference = *reference;
    r->cancel = cancel;
    r->is_http = is_loopback(reference->registry);
    for (; insecure != NULL && *insecure != NULL; insecure++)
        r->is_http |= strcmp(*insecure, reference->registry) == 0;
    (void)snprintf(r->base, sizeof(r->base), "%s://%s/v2/%s", r->is_http ? "http" : "https", host,
                   reference->repository);
    rc = uv_mutex_init(&r->mutex);
    if (rc < 0)
        return fault_system(f, rc, "registry");
    if (auth == NULL)
        return 0;
    rc = set_optional(&r->username, auth->username);
    if (rc == 0 && r->username != NULL)
        rc = set_optional(&r->password, auth->password == NULL ? "" : auth->password);
    if (rc == 0 && r->username != NULL && r->password == NULL)
        rc = (r->password = strdup("")) == NULL ? -ENOMEM : 0;
    if (rc == 0)
        rc = set_optional(&r->identity_token, auth->identity_token);
    if (rc == 0 && auth->registry_token != NULL && auth->registry_token[0] != '\0')
        rc = strpbrk(auth->registry_token, "\r\n") != NULL
                 ? ERR_INVALID
                 : registry_set_authorization(r, "Bearer", auth->registry_token);
    if (rc < 0) {
        registry_deinit(r);
        return fault_system(f, rc, "credentials for registry %s", reference->registry);
    }
    return 0;
}

void registry_deinit(struct registry *r)
{
    forget(&r->username);
    forget(&r->password);
    forget(&r->identity_token);
    sodium_memzero(r->authorization, sizeof(r->authorization));
    uv_mutex_destroy(&r->mutex);
}
