/* libcurl calls back with the lines of the header, then with pieces of the body. A redirect begins
 * a new header. A transfer that was asked to go on where the last one broke off looks at the
 * answer's status first: a server may send everything again.
 *
 * Final are answers that another try would get again (401 403 404, a certificate that is not
 * trusted, too many bytes); worth a try are 408 425 429 5xx and whatever broke on the way. */
#include "runtime/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"

#define BACKOFF_MS         500
#define BACKOFF_MS_MAX     8000
#define RETRY_AFTER_MS_MAX 60000
#define REDIRECTS_MAX      5
#define STALL_S            30

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

void transfer_set_up(struct transfer *t, const char *url, bool is_http)
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

int transfer_judge(const struct transfer *t, CURLcode code, long status, struct fault *f)
{
    const struct registry *r = t->r;

    if (t->r->cancel != NULL && atomic_load(t->r->cancel))
        return fault_set(f, ERR_CLOSED, "the runtime is closing");
    if (t->write_err == ERR_TOO_LARGE)
        return fault_set(f, ERR_CORRUPT, "registry %s: sent more bytes than it announced",
                         registry_host(r));
    if (t->write_err < 0)
        return fault_system(f, t->write_err, "image store");
    if (code == CURLE_TOO_MANY_REDIRECTS)
        return fault_set(f, ERR_UNAVAILABLE, "registry %s: redirects in circles", registry_host(r));
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        return fault_set(f, ERR_UNAUTHENTICATED,
                         "registry %s: its certificate is not trusted; install its authority's "
                         "certificate on this host",
                         registry_host(r));
    if (code == CURLE_UNSUPPORTED_PROTOCOL)
        return fault_set(f, ERR_FORBIDDEN, "registry %s: redirects from https to plain http",
                         registry_host(r));
    if (code != CURLE_HTTP_RETURNED_ERROR) {
        fault_set(f, ERR_UNAVAILABLE, "registry %s: %s", registry_host(r),
                  curl_easy_strerror(code));
        return 0;
    }
    switch (status) {
    case 401:
        return fault_set(f, ERR_UNAUTHENTICATED, "registry %s: %s", registry_host(r),
                         r->username == NULL && r->identity_token == NULL
                             ? "wants a login, or has no such repository; give credentials"
                             : "refuses the credentials");
    case 403:
        return fault_set(f, ERR_FORBIDDEN, "registry %s: not permitted", registry_host(r));
    case 404:
        return fault_set(f, ERR_NOT_FOUND, "registry %s: has no such image; check name and tag",
                         registry_host(r));
    case 408:
    case 425:
    case 429:
        fault_set(f, ERR_UNAVAILABLE, "registry %s: %s (HTTP %ld)", registry_host(r),
                  status == 429 ? "too many requests; log in or try later" : "asks to try again",
                  status);
        return 0;
    default:
        fault_set(f, ERR_UNAVAILABLE, "registry %s: answered HTTP %ld", registry_host(r), status);
        return status >= 500 ? 0 : ERR_UNAVAILABLE;
    }
}

/* Sleeps in pieces, so that closing need not wait. */
void transfer_back_off(const struct registry *r, int attempt, long retry_after_s)
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
