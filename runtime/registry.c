/* A request is tried until it succeeds, fails for good, or has failed ATTEMPTS times:
 *
 *     2xx                      done
 *     401                      get a token as the challenge says, once per token, and again
 *     408 429 5xx, transport   wait (Retry-After, else 0.5 s doubling, with jitter), and again
 *     other                    for good
 */
#include "runtime/registry.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/limits.h"

#define ATTEMPTS           5
#define BACKOFF_MS         500
#define BACKOFF_MS_MAX     8000
#define RETRY_AFTER_MS_MAX 60000
#define REDIRECTS_MAX      5
#define STALL_S            30
#define TOKEN_ANSWER_MAX   (64 * KIB)

/* One transfer under way. */
struct transfer {
    struct registry *r;
    CURL *curl;
    uint64_t offset; /* asked to begin there */
    bool checked;    /* the status of the answer has been looked at */

    struct buf *text; /* where the body goes, or else .. */
    struct blob_writer *writer;
    const struct registry_blob *blob;
    int write_err;

    struct digest content_digest; /* header Docker-Content-Digest */
    struct auth_challenge challenge;
    long retry_after_s;
};

/* --- Challenges */

/* key="value" or key=value; false at the end. */
static bool next_parameter(struct slice *rest, struct slice *key, struct slice *value)
{
    size_t i = 0, start;

    while (i < rest->len && (rest->ptr[i] == ' ' || rest->ptr[i] == ',' || rest->ptr[i] == '\t'))
        i++;
    start = i;
    while (i < rest->len && rest->ptr[i] != '=' && rest->ptr[i] != ',')
        i++;
    if (i >= rest->len || rest->ptr[i] != '=')
        return false;
    *key = slice_of(rest->ptr + start, i - start);
    start = ++i;
    if (i < rest->len && rest->ptr[i] == '"') {
        start = ++i;
        while (i < rest->len && rest->ptr[i] != '"')
            i++;
        *value = slice_of(rest->ptr + start, i - start);
        i += i < rest->len;
    } else {
        while (i < rest->len && rest->ptr[i] != ',' && rest->ptr[i] != ' ')
            i++;
        *value = slice_of(rest->ptr + start, i - start);
    }
    rest->ptr += i;
    rest->len -= i;
    return true;
}

static void copy_value(char *out, size_t cap, struct slice value)
{
    if (value.len >= cap || memchr(value.ptr, 0, value.len) != NULL)
        return; /* nothing real is that long: as if it were not there */
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
}

static bool key_is(struct slice key, const char *name)
{
    return key.len == strlen(name) && strncasecmp((const char *)key.ptr, name, key.len) == 0;
}

void registry_parse_challenge(struct slice header, struct auth_challenge *out)
{
    struct slice key, value;

    while (header.len > 0 && isspace(header.ptr[0])) {
        header.ptr++;
        header.len--;
    }
    if (header.len >= 5 && strncasecmp((const char *)header.ptr, "basic", 5) == 0)
        out->is_basic = true;
    if (header.len < 7 || strncasecmp((const char *)header.ptr, "bearer ", 7) != 0)
        return;
    out->is_bearer = true;
    header.ptr += 7;
    header.len -= 7;
    while (next_parameter(&header, &key, &value)) {
        if (key_is(key, "realm"))
            copy_value(out->realm, sizeof(out->realm), value);
        else if (key_is(key, "service"))
            copy_value(out->service, sizeof(out->service), value);
        else if (key_is(key, "scope"))
            copy_value(out->scope, sizeof(out->scope), value);
    }
}

/* --- Callbacks of libcurl */

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    struct slice line = slice_of(bytes, len);

    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    if (line.len > 5 && memcmp(line.ptr, "HTTP/", 5) == 0) { /* a new answer, after a redirect */
        t->challenge = (struct auth_challenge){ 0 };
        t->retry_after_s = 0;
    } else if (line.len > 17 && strncasecmp((const char *)line.ptr, "www-authenticate:", 17) == 0) {
        registry_parse_challenge(slice_of(line.ptr + 17, line.len - 17), &t->challenge);
    } else if (line.len > 12 && strncasecmp((const char *)line.ptr, "retry-after:", 12) == 0) {
        t->retry_after_s = strtol((const char *)line.ptr + 12, NULL, 10);
    } else if (line.len > 22 &&
               strncasecmp((const char *)line.ptr, "docker-content-digest:", 22) == 0) {
        struct slice value = slice_of(line.ptr + 22, line.len - 22);

        while (value.len > 0 && value.ptr[0] == ' ') {
            value.ptr++;
            value.len--;
        }
        (void)!digest_parse(value, &t->content_digest); /* another algorithm says nothing to us */
    }
    return len;
}

/* A server that ignores the range sends everything again: so it is taken from the start. */
static int check_answer(struct transfer *t)
{
    long status = 0;

    t->checked = true;
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->offset == 0 || status == 206)
        return 0;
    if (ftruncate(t->writer->fd, 0) < 0 || lseek(t->writer->fd, 0, SEEK_SET) < 0)
        return -errno;
    digest_begin(&t->writer->hash);
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;

    if (t->text != NULL) {
        t->write_err = buf_append(t->text, bytes, len);
        return t->write_err < 0 ? 0 : len;
    }
    if (!t->checked)
        t->write_err = check_answer(t);
    if (t->write_err == 0 && len > t->blob->size - MIN(t->writer->hash.len, t->blob->size))
        t->write_err = ERR_TOO_LARGE;
    if (t->write_err == 0)
        t->write_err = blob_write(t->writer, slice_of(bytes, len));
    if (t->write_err < 0)
        return 0;
    if (t->blob->on_bytes != NULL)
        t->blob->on_bytes(t->blob->arg, t->writer->hash.len);
    return len;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *t = arg;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return t->r->cancel != NULL && atomic_load(t->r->cancel);
}

/* --- One try */

static void set_common(struct transfer *t, const char *url, bool is_http)
{
    CURL *c = t->curl;

    /* None of these can fail but for want of memory, and then the transfer fails. */
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, is_http ? "http,https" : "https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, is_http ? "http,https" : "https");
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 15L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "shoal");
}

static const char *host_of(const struct registry *r)
{
    return r->reference.registry;
}

/* What a failed try means. 0: another one may help. */
static int judge(const struct transfer *t, CURLcode code, long status, struct fault *f)
{
    const struct registry *r = t->r;

    if (t->r->cancel != NULL && atomic_load(t->r->cancel))
        return fault_set(f, ERR_CLOSED, "the runtime is closing");
    if (t->write_err == ERR_TOO_LARGE)
        return fault_set(f, ERR_CORRUPT, "registry %s: sent more bytes than it announced",
                         host_of(r));
    if (t->write_err < 0)
        return fault_system(f, t->write_err, "image store");
    if (code == CURLE_TOO_MANY_REDIRECTS)
        return fault_set(f, ERR_UNAVAILABLE, "registry %s: redirects in circles", host_of(r));
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        return fault_set(f, ERR_UNAUTHENTICATED,
                         "registry %s: its certificate is not trusted; install its authority's "
                         "certificate on this host",
                         host_of(r));
    if (code == CURLE_UNSUPPORTED_PROTOCOL)
        return fault_set(f, ERR_FORBIDDEN, "registry %s: redirects from https to plain http",
                         host_of(r));
    if (code != CURLE_HTTP_RETURNED_ERROR) {
        fault_set(f, ERR_UNAVAILABLE, "registry %s: %s", host_of(r), curl_easy_strerror(code));
        return 0;
    }
    switch (status) {
    case 401:
        return fault_set(f, ERR_UNAUTHENTICATED, "registry %s: %s", host_of(r),
                         r->username == NULL && r->identity_token == NULL
                             ? "wants a login, or has no such repository; give credentials"
                             : "refuses the credentials");
    case 403:
        return fault_set(f, ERR_FORBIDDEN, "registry %s: not permitted", host_of(r));
    case 404:
        return fault_set(f, ERR_NOT_FOUND, "registry %s: has no such image; check name and tag",
                         host_of(r));
    case 408:
    case 425:
    case 429:
        fault_set(f, ERR_UNAVAILABLE, "registry %s: %s (HTTP %ld)", host_of(r),
                  status == 429 ? "too many requests; log in or try later" : "asks to try again",
                  status);
        return 0;
    default:
        fault_set(f, ERR_UNAVAILABLE, "registry %s: answered HTTP %ld", host_of(r), status);
        return status >= 500 ? 0 : ERR_UNAVAILABLE;
    }
}

/* Sleeps in pieces, so that closing need not wait. */
static void back_off(const struct registry *r, int attempt, long retry_after_s)
{
    uint64_t ms = (uint64_t)BACKOFF_MS << attempt;

    ms = MIN(ms, BACKOFF_MS_MAX);
    ms = ms / 2 + randombytes_uniform((uint32_t)ms / 2 + 1);
    if (retry_after_s > 0)
        ms = MIN((uint64_t)retry_after_s * 1000, RETRY_AFTER_MS_MAX);
    for (uint64_t slept = 0; slept < ms; slept += 50) {
        if (r->cancel != NULL && atomic_load(r->cancel))
            return;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000000 }, NULL);
    }
}

/* --- Tokens */

static void append_query(CURL *curl, struct buf *url, char separator, const char *key,
                         const char *value)
{
    char *escaped = value[0] == '\0' ? NULL : curl_easy_escape(curl, value, 0);

    if (escaped != NULL) /* too long a URL fails by itself */
        (void)!buf_printf(url, "%c%s=%s", separator, key, escaped);
    curl_free(escaped);
}

static int set_authorization(struct registry *r, const char *scheme, const char *token)
{
    int len;

    uv_mutex_lock(&r->mutex);
    len =
        snprintf(r->authorization, sizeof(r->authorization), "Authorization: %s %s", scheme, token);
    r->authorization_number++;
    uv_mutex_unlock(&r->mutex);
    return len < (int)sizeof(r->authorization) ? 0 : ERR_TOO_LARGE;
}

static int use_basic(struct registry *r)
{
    char pair[1024], encoded[2048];
    int len = snprintf(pair, sizeof(pair), "%s:%s", r->username, r->password);
    int rc;

    if (len < 0 || len >= (int)sizeof(pair))
        return ERR_TOO_LARGE;
    (void)sodium_bin2base64(encoded, sizeof(encoded), (const unsigned char *)pair, (size_t)len,
                            sodium_base64_VARIANT_ORIGINAL);
    rc = set_authorization(r, "Basic", encoded);
    sodium_memzero(pair, sizeof(pair));
    sodium_memzero(encoded, sizeof(encoded));
    return rc;
}

static int take_token(struct registry *r, const struct buf *answer)
{
    json_t *json = json_loadb((const char *)answer->ptr, answer->len, 0, NULL);
    const char *token = json_string_value(json_object_get(json, "token"));
    int rc;

    if (token == NULL)
        token = json_string_value(json_object_get(json, "access_token"));
    rc = token == NULL || strpbrk(token, "\r\n") != NULL ? ERR_MALFORMED
                                                         : set_authorization(r, "Bearer", token);
    json_decref(json);
    return rc;
}

/* GET with credentials as basic authentication, or POST of a refresh token: Docker's token spec
 * and its OAuth2 form. */
static int ask_token(struct registry *r, const struct auth_challenge *challenge, struct fault *f)
{
    struct transfer t = { .r = r };
    struct buf answer, url, form;
    CURLcode code;
    long status = 0;
    int rc;

    if (strncmp(challenge->realm, "https://", 8) != 0 &&
        !(r->is_http && strncmp(challenge->realm, "http://", 7) == 0))
        return fault_set(f, ERR_FORBIDDEN,
                         "registry %s: wants credentials sent to %.200s, which is not https",
                         host_of(r), challenge->realm);
    t.curl = curl_easy_init();
    if (t.curl == NULL)
        return fault_system(f, -ENOMEM, "registry %s", host_of(r));
    buf_init(&answer, TOKEN_ANSWER_MAX);
    buf_init(&url, 8192);
    buf_init(&form, 65536);
    t.text = &answer;
    rc = buf_append_str(&url, challenge->realm);
    if (r->identity_token != NULL) {
        if (rc == 0)
            rc = buf_append_str(&form, "grant_type=refresh_token&client_id=shoal");
        append_query(t.curl, &form, '&', "service", challenge->service);
        append_query(t.curl, &form, '&', "scope", challenge->scope);
        append_query(t.curl, &form, '&', "refresh_token", r->identity_token);
    } else {
        append_query(t.curl, &url, strchr(challenge->realm, '?') == NULL ? '?' : '&', "service",
                     challenge->service);
        append_query(t.curl, &url, '&', "scope", challenge->scope);
    }
    if (rc == 0)
        rc = buf_append_byte(&url, '\0');
    if (rc == 0)
        rc = buf_append_byte(&form, '\0');
    if (rc == 0) {
        set_common(&t, (const char *)url.ptr, r->is_http);
        if (r->identity_token != NULL) {
            (void)curl_easy_setopt(t.curl, CURLOPT_POSTFIELDS, (const char *)form.ptr);
        } else if (r->username != NULL) {
            (void)curl_easy_setopt(t.curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
            (void)curl_easy_setopt(t.curl, CURLOPT_USERNAME, r->username);
            (void)curl_easy_setopt(t.curl, CURLOPT_PASSWORD, r->password);
        }
        code = curl_easy_perform(t.curl);
        (void)curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK) {
            rc = judge(&t, code, status, f);
            rc = rc == 0 ? ERR_UNAVAILABLE : rc;
            (void)fault_prefix(f, rc, "token server");
        } else if (take_token(r, &answer) < 0) {
            rc = fault_set(f, ERR_MALFORMED, "registry %s: its token server sent no token",
                           host_of(r));
        }
    } else {
        fault_system(f, rc, "registry %s", host_of(r));
    }
    curl_easy_cleanup(t.curl);
    buf_deinit(&answer);
    buf_deinit(&url);
    if (form.ptr != NULL)
        sodium_memzero(form.ptr, form.len);
    buf_deinit(&form);
    return rc;
}

/* `used` is the authorization that was refused: if another thread has a newer one, try that. */
static int authorize(struct registry *r, const struct auth_challenge *challenge, uint64_t used,
                     struct fault *f)
{
    bool renewed;
    int rc;

    uv_mutex_lock(&r->mutex);
    renewed = r->authorization_number != used;
    uv_mutex_unlock(&r->mutex);
    if (renewed)
        return 0;
    if (challenge->is_bearer && challenge->realm[0] != '\0')
        return ask_token(r, challenge, f);
    if (challenge->is_basic && r->username != NULL && used == 0) {
        rc = use_basic(r);
        return rc < 0 ? fault_system(f, rc, "registry %s: credentials", host_of(r)) : 0;
    }
    return fault_set(f, ERR_UNAUTHENTICATED, "registry %s: %s", host_of(r),
                     r->username == NULL ? "wants a login; give credentials"
                                         : "refuses the credentials");
}

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
    set_common(t, q->url, t->r->is_http);
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
        return fault_system(f, -ENOMEM, "registry %s", host_of(r));
    for (;;) {
        uint64_t authorization;
        CURLcode code = try_once(&t, q, &authorization);
        long status = 0;

        (void)curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &status);
        if (code == CURLE_OK)
            break;
        if (status == 401 && logins++ < 2) { /* the second: a token that expired meanwhile */
            rc = authorize(r, &t.challenge, authorization, f);
            if (rc < 0)
                break;
            continue;
        }
        if (status == 416 && t.writer != NULL && t.offset > 0) { /* all there, or never was */
            rc = 0;
            break;
        }
        rc = judge(&t, code, status, f);
        if (rc < 0)
            break;
        if (++attempt == ATTEMPTS) {
            rc = fault_prefix(f, ERR_UNAVAILABLE, "given up after %d tries", ATTEMPTS);
            break;
        }
        back_off(r, attempt - 1, t.retry_after_s);
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
                         host_of(r), actual.text, wanted.text);
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
                         host_of(r), blob->digest.text);
    return rc < 0 ? fault_system(f, rc, "blob %s", blob->digest.text) : 0;
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
                 : set_authorization(r, "Bearer", auth->registry_token);
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
