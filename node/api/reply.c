/* node/api/reply.c - Answers: whole ones and streams. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "node/api/api_impl.h"

static const char no_leader[] =
    "The swarm does not have a leader. It's possible that too few managers are online. Make sure "
    "more than half of the managers are online.";

/* Takes `response`; NULL: out of memory, the connection is closed. */
static void answer(struct request *r, unsigned status, struct MHD_Response *response)
{
    CHECK(r->response == NULL);
    if (response == NULL) {
        static char empty[] = "";

        response = MHD_create_response_from_buffer(0, empty, MHD_RESPMEM_PERSISTENT);
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    r->response = response;
    r->status = status;
    if (response == NULL)
        return; /* the sweep or the client's patience ends it */
    reply_header(r, "Api-Version", API_VERSION);
    reply_header(r, "Docker-Experimental", "false");
    reply_header(r, "Ostype", "linux");
    reply_header(r, "Server", "Shoal");
    request_resume(r);
}

void reply_header(struct request *r, const char *name, const char *value)
{
    if (r->response != NULL)
        (void)MHD_add_response_header(r->response, name, value); /* NO: no memory; not vital */
}

void reply_json(struct request *r, unsigned status, json_t *body)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    struct MHD_Response *response = NULL;

    json_decref(body);
    if (text != NULL) {
        size_t len = strlen(text);

        text[len] = '\n'; /* in place of the NUL: Docker's answers end so */
        response = MHD_create_response_from_buffer(len + 1, text, MHD_RESPMEM_MUST_FREE);
        if (response == NULL)
            free(text);
    }
    answer(r, status, response);
    reply_header(r, "Content-Type", "application/json");
}

void reply_empty(struct request *r, unsigned status)
{
    static char empty[] = "";

    answer(r, status, MHD_create_response_from_buffer(0, empty, MHD_RESPMEM_PERSISTENT));
}

void reply_text(struct request *r, unsigned status, const char *content_type, const char *text)
{
    char *copy = strdup(text);
    struct MHD_Response *response = NULL;

    if (copy != NULL)
        response = MHD_create_response_from_buffer(strlen(copy), copy, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(copy);
    answer(r, status, response);
    reply_header(r, "Content-Type", content_type);
}

void reply_upgrade(struct request *r, MHD_UpgradeHandler handler, const char *content_type)
{
    answer(r, MHD_HTTP_SWITCHING_PROTOCOLS, MHD_create_response_for_upgrade(handler, r));
    reply_header(r, "Upgrade", "tcp");
    reply_header(r, "Content-Type", content_type);
}

void reply_status(struct request *r, unsigned status, const char *format, ...)
{
    char message[MESSAGE_MAX];
    json_t *text;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    text = json_string(message);
    for (size_t len = strlen(message); text == NULL && len > 0; len--) {
        message[len - 1] = '\0'; /* it was cut inside a character */
        text = json_string(message);
    }
    reply_json(r, status, json_pack("{s:o}", "message", text));
}

unsigned reply_status_of(int err)
{
    static const struct {
        int err;
        unsigned status;
    } rows[] = {
        { ERR_INVALID, MHD_HTTP_BAD_REQUEST },
        { ERR_MALFORMED, MHD_HTTP_BAD_REQUEST },
        { ERR_EXPIRED, MHD_HTTP_BAD_REQUEST },
        { ERR_EXHAUSTED, MHD_HTTP_BAD_REQUEST },
        { ERR_UNAUTHENTICATED, MHD_HTTP_UNAUTHORIZED },
        { ERR_FORBIDDEN, MHD_HTTP_FORBIDDEN },
        { ERR_NOT_FOUND, MHD_HTTP_NOT_FOUND },
        { ERR_CONFLICT, MHD_HTTP_CONFLICT },
        { ERR_EXISTS, MHD_HTTP_CONFLICT },
        { ERR_IN_USE, MHD_HTTP_CONFLICT },
        { ERR_TOO_LARGE, MHD_HTTP_CONTENT_TOO_LARGE },
        { ERR_UNSUPPORTED, MHD_HTTP_NOT_IMPLEMENTED },
        { ERR_UNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_NOT_LEADER, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_TIMEOUT, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_UNKNOWN_OUTCOME, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_FULL, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_CLOSED, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_LOCKED, MHD_HTTP_SERVICE_UNAVAILABLE },
        { ERR_REMOVED, MHD_HTTP_SERVICE_UNAVAILABLE },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].err == err)
            return rows[i].status;
    }
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

void reply_error(struct request *r, int err, const char *why)
{
    bool told = why != NULL && why[0] != '\0';

    /* Docker's text and status, on which clients decide to read again and retry. */
    if (err == ERR_STALE)
        reply_status(r, MHD_HTTP_INTERNAL_SERVER_ERROR,
                     "rpc error: code = Unknown desc = update out of sequence");
    else if (!told && (err == ERR_NOT_LEADER || err == ERR_UNAVAILABLE || err == ERR_TIMEOUT))
        reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", no_leader);
    else
        reply_status(r, reply_status_of(err), "%s", told ? why : err_text(err));
}

void reply_result_json(struct request *r, int err, const char *why, unsigned status, json_t *body)
{
    if (request_is_over(r) || err < 0) {
        json_decref(body);
        if (!request_is_over(r))
            reply_error(r, err, why);
    } else {
        reply_json(r, status, body);
    }
    request_release(r);
}

void reply_result_empty(struct request *r, int err, const char *why, unsigned status)
{
    if (!request_is_over(r) && err < 0)
        reply_error(r, err, why);
    else if (!request_is_over(r))
        reply_empty(r, status);
    request_release(r);
}

void reply_object(struct request *r, const struct fields *type, const void *object)
{
    json_t *json = NULL;
    int rc = fields_to_json(type, object, FIELDS_JSON_PLAIN, &json);

    if (rc < 0)
        reply_error(r, rc, NULL);
    else
        reply_json(r, MHD_HTTP_OK, json);
}

/* --- Streams -------------------------------------------------------------------------------- */

/* libmicrohttpd asks for more to send. */
static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
    struct request *r = cls;
    struct stream *s = &r->stream;
    size_t len = MIN(max, s->out.len);

    (void)pos;
    if (len == 0 && s->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (len == 0) {
        request_suspend(r);
        return 0;
    }
    memcpy(out, s->out.ptr, len);
    buf_consume(&s->out, len);
    if (s->held && s->out.len < STREAM_LOW_WATER) {
        s->held = false;
        if (s->on_resume != NULL)
            s->on_resume(r);
    }
    return (ssize_t)len;
}

bool stream_open(struct request *r, const char *content_type)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * KIB, read_stream, r, NULL);

    r->stream.open = response != NULL;
    answer(r, MHD_HTTP_OK, response);
    reply_header(r, "Content-Type", content_type);
    return r->stream.open;
}

bool stream_write(struct request *r, struct slice head, struct slice bytes)
{
    struct stream *s = &r->stream;

    if (!s->open || s->ended)
        return false;
    if (buf_reserve(&s->out, head.len + bytes.len) < 0 || buf_append_slice(&s->out, head) < 0 ||
        buf_append_slice(&s->out, bytes) < 0) {
        stream_end(r);
        return false;
    }
    if (!s->held && s->out.len > STREAM_HIGH_WATER) {
        s->held = true;
        if (s->on_hold != NULL)
            s->on_hold(r);
    }
    request_resume(r);
    return true;
}

bool stream_json(struct request *r, json_t *line)
{
    char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
    bool ok = text != NULL && stream_write(r, slice_of_str(text), slice_of_str("\r\n"));

    free(text);
    json_decref(line);
    return ok;
}

void stream_end(struct request *r)
{
    if (!r->stream.open || r->stream.ended)
        return;
    r->stream.ended = true;
    request_resume(r);
}
