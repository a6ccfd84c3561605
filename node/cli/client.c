/* libcurl does HTTP; here is what is ours: the socket, JSON, and what to say when it fails. */
#include "node/cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/units.h"

#define ANSWER_LEN_MAX (256 * MIB)
#define HOST           "http://shoal"

struct client {
    CURL *curl;
    char socket[128];
};

int client_open(const char *socket, struct client **out)
{
    struct client *c;

    if (strncmp(socket, "unix://", 7) == 0)
        socket += 7;
    if (socket[0] != '/' || strlen(socket) >= sizeof(c->socket)) {
        (void)fprintf(stderr, "shoal: %s: give the path of the node's unix socket\n", socket);
        return ERR_UNSUPPORTED;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
        (c->curl = curl_easy_init()) == NULL) {
        free(c);
        return -ENOMEM;
    }
    (void)snprintf(c->socket, sizeof(c->socket), "%s", socket);
    *out = c;
    return 0;
}

void client_close(struct client *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->curl);
    free(c);
}

const char *client_socket(const struct client *c)
{
    return c->socket;
}

char *client_escape(struct client *c, const char *text)
{
    char *escaped = curl_easy_escape(c->curl, text, 0), *copy = NULL;

    if (escaped != NULL)
        copy = strdup(escaped);
    curl_free(escaped);
    return copy;
}

/* --- One transfer */

static size_t on_answer(char *bytes, size_t size, size_t count, void *ctx)
{
    struct buf *answer = ctx;

    return buf_append(answer, bytes, size * count) < 0 ? 0 : size * count;
}

static void prepare(struct client *c, const char *method, const char *path)
{
    char url[8192];

    (void)snprintf(url, sizeof(url), HOST "%s", path);
    curl_easy_reset(c->curl); /* options of curl_easy_setopt below cannot fail but for memory */
    (void)curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    (void)curl_easy_setopt(c->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
}

static int report(const struct client *c, CURLcode code)
{
    if (code == CURLE_COULDNT_CONNECT)
        (void)fprintf(
            stderr,
            "shoal: no node answers at %s: is `shoal daemon` running, and may you open its "
            "socket?\n",
            c->socket);
    else /* also a daemon that is killed while it is asked */
        (void)fprintf(stderr, "shoal: the node at %s broke off: %s: see what `shoal daemon` logs\n",
                      c->socket, curl_easy_strerror(code));
    return ERR_UNAVAILABLE;
}

static int perform(struct client *c, long *status)
{
    CURLcode code = curl_easy_perform(c->curl);

    if (code != CURLE_OK)
        return report(c, code);
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
    return 0;
}

static void take_why(const struct buf *answer, long status, char *why, size_t why_len)
{
    json_t *json = json_loadb((const char *)answer->ptr, answer->len, 0, NULL);
    const char *message = json_string_value(json_object_get(json, "message"));

    if (message != NULL)
        (void)snprintf(why, why_len, "%s", message);
    else
        (void)snprintf(why, why_len, "the node answered with status %ld", status);
    json_decref(json);
}

static int exchange(struct client *c, const char *body, struct buf *answer, long *status)
{
    struct curl_slist *headers = NULL;
    int rc;

    if (body != NULL) {
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    }
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, answer);
    rc = perform(c, status);
    curl_slist_free_all(headers);
    return rc;
}

int client_try(struct client *c, const char *method, const char *path, const json_t *body,
               json_t **out, char *why, size_t why_len)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct buf answer;
    long status = 0;
    int rc;

    buf_init(&answer, ANSWER_LEN_MAX);
    prepare(c, method, path);
    if (body == NULL && strcmp(method, "POST") == 0)
        text = strdup("");
    why[0] = '\0';
    rc = exchange(c, text, &answer, &status);
    if (rc == 0 && status >= 400)
        take_why(&answer, status, why, why_len);
    if (rc == 0 && status < 400 && out != NULL)
        *out = answer.len == 0
                   ? NULL
                   : json_loadb((const char *)answer.ptr, answer.len, JSON_DECODE_ANY, NULL);
    buf_deinit(&answer);
    free(text);
    return rc < 0 ? rc : (int)status;
}

int client_call(struct client *c, const char *method, const char *path, const json_t *body,
                json_t **out)
{
    char why[2048];
    int status = client_try(c, method, path, body, out, why, sizeof(why));

    if (status >= 400)
        (void)fprintf(stderr, "shoal: %s\n", why);
    return status;
}

/* --- Uploads */

static size_t on_read(char *bytes, size_t size, size_t count, void *ctx)
{
    ssize_t n = read(*(int *)ctx, bytes, size * count);

    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

/* One JSON object a line; returns false for an error among them. */
static bool print_progress(const struct buf *answer)
{
    const char *at = (const char *)answer->ptr, *end = at + answer->len;
    bool good = true;

    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = line_end == NULL ? (size_t)(end - at) : (size_t)(line_end - at);
        json_t *line = json_loadb(at, len, 0, NULL);
        const char *stream = json_string_value(json_object_get(line, "stream"));
        const char *status = json_string_value(json_object_get(line, "status"));
        const char *error = json_string_value(json_object_get(line, "error"));

        if (stream != NULL)
            (void)fputs(stream, stdout);
        if (status != NULL)
            (void)puts(status);
        if (error != NULL) {
            (void)fprintf(stderr, "shoal: %s\n", error);
            good = false;
        }
        json_decref(line);
        at += len + 1;
    }
    return good;
}

int client_upload(struct client *c, const char *path, int fd, const char *type)
{
    struct curl_slist *headers = curl_slist_append(NULL, type);
    struct buf answer;
    long status = 0;
    char why[1024];
    int rc;

    headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    headers = curl_slist_append(headers, "Expect:");
    buf_init(&answer, ANSWER_LEN_MAX);
    prepare(c, "POST", path);
    (void)curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(c->curl, CURLOPT_READDATA, &fd);
    (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &answer);
    rc = perform(c, &status);
    if (rc == 0 && status >= 400) {
        take_why(&answer, status, why, sizeof(why));
        (void)fprintf(stderr, "shoal: %s\n", why);
    } else if (rc == 0 && !print_progress(&answer)) {
        rc = ERR_INVALID;
    }
    buf_deinit(&answer);
    curl_slist_free_all(headers);
    return rc < 0 ? rc : (int)status;
}

/* --- Streams */

struct streaming {
    CURL *curl;
    bool (*on_data)(void *ctx, const uint8_t *bytes, size_t len);
    void *ctx;
    struct buf error;
};

static size_t on_piece(char *bytes, size_t size, size_t count, void *ctx)
{
    struct streaming *s = ctx;
    size_t len = size * count;
    long status = 0;

    (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400)
        return buf_append(&s->error, bytes, len) < 0 ? 0 : len;
    return s->on_data(s->ctx, (const uint8_t *)bytes, len) ? len : 0;
}

int client_stream(struct client *c, const char *path,
                  bool (*on_data)(void *ctx, const uint8_t *bytes, size_t len), void *ctx)
{
    struct streaming s = { .curl = c->curl, .on_data = on_data, .ctx = ctx };
    long status = 0;
    CURLcode code;
    char why[1024];

    buf_init(&s.error, MIB);
    prepare(c, "GET", path);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_piece);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &s);
    code = curl_easy_perform(c->curl);
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400) {
        take_why(&s.error, status, why, sizeof(why));
        (void)fprintf(stderr, "shoal: %s\n", why);
    }
    buf_deinit(&s.error);
    if (code != CURLE_OK && code != CURLE_WRITE_ERROR)
        return report(c, code);
    return (int)status;
}
