/* node/api/request.c - A request from its headers to its handler, and what handlers ask of it. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "node/api/api_impl.h"
#include "node/api/session.h"

static void refuse(struct request *r, unsigned status, const char *message)
{
    r->refusal = status;
    (void)snprintf(r->message, sizeof(r->message), "%s", message);
}

static enum MHD_Result check_text(void *cls, enum MHD_ValueKind kind, const char *key,
                                  size_t key_len, const char *value, size_t value_len)
{
    bool *ok = cls;

    (void)kind;
    *ok = *ok && utf8_is_valid(slice_of(key, key_len)) && utf8_is_valid(slice_of(value, value_len));
    return *ok ? MHD_YES : MHD_NO;
}

/* Everything that may come back in an answer is UTF-8, so that answers are. */
static bool is_text(struct request *r)
{
    bool ok = utf8_is_valid(slice_of_str(r->path));

    (void)MHD_get_connection_values_n(r->conn, MHD_GET_ARGUMENT_KIND, check_text, &ok);
    return ok;
}

static void find_route(struct request *r, const char *method)
{
    const char *path = r->path;
    int rc = route_version(&path, &r->minor);
    bool other_method = false;
    const char *unserved;
    size_t len;

    if (rc == ERR_UNSUPPORTED) {
        (void)snprintf(
            r->message, sizeof(r->message),
            "client version %.32s is not served: this daemon speaks API versions " API_VERSION_MIN
            " to " API_VERSION,
            r->path + 1);
        r->refusal = MHD_HTTP_BAD_REQUEST;
        return;
    }
    if (rc < 0 || path[0] != '/') {
        refuse(r, MHD_HTTP_BAD_REQUEST, "malformed path");
        return;
    }
    len = strlen(++path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    memmove(r->path, path, len);
    r->path[len] = '\0';
    r->route = route_find(method, r->path, r->args, &other_method);
    if (r->route != NULL)
        return;
    unserved = route_unserved(method, r->path);
    if (unserved != NULL)
        refuse(r, MHD_HTTP_NOT_IMPLEMENTED, unserved);
    else if (other_method)
        refuse(r, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed");
    else
        refuse(r, MHD_HTTP_NOT_FOUND, "page not found");
}

struct request *request_new(struct api *api, struct MHD_Connection *conn, const char *method,
                            const char *url)
{
    struct request *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->path = strdup(url);
    if (r->path == NULL) {
        free(r);
        return NULL;
    }
    r->api = api;
    r->refs = 1;
    r->conn = conn;
    r->upload.fd = -1;
    buf_init(&r->body, API_BODY_MAX);
    buf_init(&r->stream.out, STREAM_BUFFER_MAX);
    list_push_back(&api->requests, &r->link);
    api->pending++;
    if (!is_text(r))
        refuse(r, MHD_HTTP_BAD_REQUEST, "path and query must be UTF-8");
    else
        find_route(r, method);
    return r;
}

void request_hold(struct request *r)
{
    r->refs++;
}

bool request_is_over(const struct request *r)
{
    return r->conn == NULL || r->response != NULL;
}

void *request_state(struct request *r, size_t size)
{
    CHECK(r->state == NULL);
    r->state = calloc(1, size);
    if (r->state == NULL)
        reply_error(r, -ENOMEM, NULL);
    return r->state;
}

void request_release(struct request *r)
{
    struct api *api = r->api;

    CHECK(r->refs > 0);
    if (--r->refs > 0)
        return;
    list_remove(&r->link);
    if (r->session != NULL)
        session_lost(r->session);
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    fields_deinit(&transaction_type, &r->txn);
    buf_deinit(&r->body);
    buf_deinit(&r->stream.out);
    json_decref(r->commit_body);
    free(r->state);
    free(r->path);
    free(r);
    api_forget(api);
}

/* --- The way to the handler ----------------------------------------------------------------- */

/* What clients match on to tell people that they must join a cluster first. */
static bool refuse_without_manager(struct request *r)
{
    static const char not_member[] =
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
        "connect this node to swarm and try again.";
    static const char worker[] =
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster "
        "state. Please run this command on a manager node or promote the current node to a "
        "manager.";
    static const char locked[] =
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker "
        "swarm unlock\" to unlock it.";
    struct api_status st;
    const char *text = NULL;

    request_status(r, &st);
    if (st.membership == API_LOCKED)
        text = locked;
    else if (st.membership == API_ERROR && st.error[0] != '\0')
        text = st.error;
    else if (st.membership != API_ACTIVE)
        text = not_member;
    else if (request_store(r) == NULL)
        text = worker;
    if (text != NULL)
        reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", text);
    return text != NULL;
}

static void on_read(void *owner, int err, const struct field_error *why)
{
    struct request *r = owner;

    if (request_is_over(r))
        ; /* the daemon is stopping */
    else if (err < 0)
        reply_error(r, err, why != NULL ? why->text : NULL);
    else if (request_store(r) == NULL)
        (void)refuse_without_manager(r); /* demoted meanwhile */
    else
        r->route->handle(r);
    request_release(r);
}

void request_ready(struct request *r)
{
    const struct api_backend *b = &r->api->cfg.backend;
    bool has_store = request_store(r) != NULL;

    if ((r->route->flags & ROUTE_MANAGER) != 0 && refuse_without_manager(r))
        return;
    if ((r->route->flags & (ROUTE_MANAGER | ROUTE_CLUSTER)) != 0 && has_store) {
        request_hold(r);
        b->read(b->ctx, on_read, r);
        return;
    }
    r->route->handle(r);
}

bool request_refresh(struct request *r)
{
    const struct api_backend *b = &r->api->cfg.backend;

    if (r->is_fresh || request_store(r) == NULL)
        return false;
    r->is_fresh = true;
    request_hold(r);
    b->read(b->ctx, on_read, r);
    return true;
}

/* --- What was asked ------------------------------------------------------------------------- */

void request_status(const struct request *r, struct api_status *out)
{
    *out = (struct api_status){ 0 };
    r->api->cfg.backend.status(r->api->cfg.backend.ctx, out);
}

const char *request_query(const struct request *r, const char *name)
{
    return r->conn == NULL ? NULL
                           : MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_header(const struct request *r, const char *name)
{
    return r->conn == NULL ? NULL : MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, name);
}

bool request_flag(const struct request *r, const char *name)
{
    static const char *const falses[] = { "", "0", "no", "false", "none" };
    const char *text = request_query(r, name);

    for (size_t i = 0; text != NULL && i < ARRAY_LEN(falses); i++) {
        if (strcasecmp(text, falses[i]) == 0)
            return false;
    }
    return text != NULL;
}

bool request_version(struct request *r, uint64_t *out)
{
    const char *text = request_query(r, "version");
    char *end = NULL;

    errno = 0;
    if (text != NULL && text[0] >= '0' && text[0] <= '9')
        *out = strtoull(text, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0) {
        reply_status(r, MHD_HTTP_BAD_REQUEST,
                     "invalid version '%.64s': give the object's Version.Index as ?version=",
                     text != NULL ? text : "");
        return false;
    }
    return true;
}

bool moment_parse(const char *text, wall_ns *out)
{
    char *end;
    int64_t ago;
    double seconds;

    if (time_parse(slice_of_str(text), out) == 0)
        return true;
    seconds = strtod(text, &end);
    if (end != text && *end == '\0' && seconds >= 0 && seconds < 9e9) {
        *out = (wall_ns)(seconds * 1e9);
        return true;
    }
    if (duration_parse(slice_of_str(text), &ago) < 0)
        return false;
    *out = api_wall_now() - ago;
    return true;
}

bool request_moment(const struct request *r, const char *name, wall_ns *out)
{
    const char *text = request_query(r, name);

    *out = 0;
    return text == NULL || text[0] == '\0' || moment_parse(text, out);
}

bool request_window(struct request *r, uint16_t *rows, uint16_t *columns)
{
    const char *h = request_query(r, "h"), *w = request_query(r, "w");
    long high = h != NULL ? strtol(h, NULL, 10) : 0, wide = w != NULL ? strtol(w, NULL, 10) : 0;

    if (high <= 0 || high > UINT16_MAX || wide <= 0 || wide > UINT16_MAX) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "give h and w between 1 and %d", UINT16_MAX);
        return false;
    }
    *rows = (uint16_t)high;
    *columns = (uint16_t)wide;
    return true;
}

bool request_filters(struct request *r, struct filters *out, const char *const *known)
{
    int rc = filters_parse(request_query(r, "filters"), known, out, &r->err);

    if (rc < 0)
        reply_error(r, rc, r->err.text);
    return rc == 0;
}

bool request_parse(struct request *r, const struct fields *type, void *out)
{
    int rc = fields_from_json_text(type, buf_slice(&r->body), FIELDS_JSON_PLAIN, out, &r->err);

    if (rc < 0) {
        memset(out, 0, fields_size(type));
        reply_error(r, rc, r->err.text);
    }
    return rc == 0;
}

struct runtime *request_runtime(struct request *r)
{
    if (r->api->cfg.runtime == NULL)
        reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "this daemon runs no containers");
    return r->api->cfg.runtime;
}

const struct store *request_store(const struct request *r)
{
    return r->api->cfg.backend.store(r->api->cfg.backend.ctx);
}

const struct object *request_object(struct request *r, unsigned kind)
{
    const struct object *found = NULL;
    int rc = admit_resolve(request_store(r), kind, r->args[0], &found, &r->err);

    if (rc < 0)
        reply_error(r, rc, r->err.text);
    return rc < 0 ? NULL : found;
}

/* --- Changes -------------------------------------------------------------------------------- */

void request_admit(struct request *r, struct admit *a)
{
    fields_deinit(&transaction_type, &r->txn);
    r->err.text[0] = '\0';
    r->api->cfg.backend.admit(r->api->cfg.backend.ctx, a, &r->txn, &r->err);
}

/* A change that lost a race against another is decided anew: the handler answers then,
 * also when the version that the client gave is now out of date. */
static void on_proposed(void *owner, int err, const struct field_error *why)
{
    struct request *r = owner;

    if (request_is_over(r)) {
        request_release(r); /* the daemon is stopping */
        return;
    }
    if (err == ERR_STALE && ++r->attempts < REQUEST_RETRIES_MAX) {
        json_decref(r->commit_body);
        r->commit_body = NULL;
        request_ready(r);
    } else if (err < 0) {
        reply_error(r, err, why != NULL ? why->text : NULL);
    } else if (r->commit_body != NULL) {
        reply_json(r, r->commit_status, json_incref(r->commit_body));
    } else {
        reply_empty(r, r->commit_status);
    }
    request_release(r);
}

void request_commit(struct request *r, int rc, unsigned status, json_t *body)
{
    const struct api_backend *b = &r->api->cfg.backend;

    if (rc < 0) {
        json_decref(body);
        reply_error(r, rc, r->err.text);
        return;
    }
    r->commit_status = status;
    r->commit_body = body;
    request_hold(r);
    b->propose(b->ctx, &r->txn, on_proposed, r);
}
