/* node/api/image_transfer.c - Images in and out: load, import, pull, save.
 *
 * Archives stream through a socket pair between the connection and the runtime's own threads:
 * upload.c on the way in, struct pump on the way out. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/auth.h"
#include "node/api/image_json.h"

#define NAMES_MAX    128 /* of one save */
#define NAME_LEN_MAX 512
#define PUMP_BYTES   (64 * KIB)

/* --- Load ----------------------------------------------------------------------------------- */

static void on_image(void *owner, const char *image_id, const char *name)
{
    struct request *r = owner;
    json_t *line = name != NULL && name[0] != '\0'
                       ? json_sprintf("Loaded image: %s\n", image_familiar_name(name))
                       : json_sprintf("Loaded image ID: %s\n", image_id);
    json_t *object = json_pack("{s:o}", "stream", line);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

    if (text != NULL && buf_append_str(&r->body, text) == 0)
        (void)!buf_append_str(&r->body, "\r\n"); /* too many images to name are not named */
    free(text);
    json_decref(object);
}

static void on_loaded(void *owner, int err, const char *message)
{
    struct request *r = owner;

    if (!request_is_over(r) && err < 0) {
        reply_error(r, err, message);
    } else if (!request_is_over(r)) {
        if (buf_append_byte(&r->body, 0) < 0)
            reply_error(r, -ENOMEM, NULL);
        else
            reply_text(r, MHD_HTTP_OK, "application/json", (const char *)r->body.ptr);
    }
    request_release(r);
}

void handle_image_load(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    int fd = rt != NULL ? upload_open(r) : -1;

    if (fd < 0)
        return;
    request_hold(r);
    runtime_image_load(rt, NULL, fd, NULL, on_image, on_loaded, r);
}

/* --- Import --------------------------------------------------------------------------------- */

static void on_imported(void *owner, int err, const char *message, const struct image_info *image)
{
    reply_result_json(owner, err, message, MHD_HTTP_OK,
                      err < 0 ? NULL : json_pack("{s:s}", "status", image->id));
}

/* "repo[:tag]" of two parameters; false: too long. */
static bool join_name(const struct request *r, const char *repo, char out[NAME_LEN_MAX])
{
    const char *tag = request_query(r, "tag");
    const char *mark = tag == NULL || tag[0] == '\0'     ? ""
                       : strncmp(tag, "sha256:", 7) == 0 ? "@"
                                                         : ":";
    int n = snprintf(out, NAME_LEN_MAX, "%s%s%s", repo, mark, tag != NULL ? tag : "");

    return n > 0 && n < NAME_LEN_MAX;
}

static void import(struct request *r, struct runtime *rt, const char *source)
{
    const char *repo = request_query(r, "repo");
    char name[NAME_LEN_MAX] = "";
    int fd;

    if (strcmp(source, "-") != 0) {
        reply_status(r, MHD_HTTP_NOT_IMPLEMENTED,
                     "import from %.200s: only archives in the request body are imported; fetch "
                     "it first and give \"-\"",
                     source);
        return;
    }
    if (repo != NULL && repo[0] != '\0' && !join_name(r, repo, name)) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "image name is longer than %d bytes", NAME_LEN_MAX);
        return;
    }
    fd = upload_open(r);
    if (fd < 0)
        return;
    request_hold(r);
    runtime_image_import(rt, NULL, fd, name[0] != '\0' ? name : NULL, NULL, on_imported, r);
}

/* --- Pull ----------------------------------------------------------------------------------- */

static void on_progress(void *owner, const struct pull_progress *p)
{
    static const char *const texts[] = { "Resolving", "Downloading", "Verifying Checksum",
                                         "Extracting", "Pull complete" };
    struct request *r = owner;
    const char *digest = strncmp(p->digest, "sha256:", 7) == 0 ? p->digest + 7 : p->digest;

    /* The client draws what arrives; when it is slow, it misses steps and not the end. */
    if (!r->stream.held)
        (void)stream_json(r, json_pack("{s:s,s:{s:I,s:I},s:s%}", "status", texts[p->phase],
                                       "progressDetail", "current", (json_int_t)p->current, "total",
                                       (json_int_t)p->total, "id", digest,
                                       MIN(strlen(digest), (size_t)12)));
}

static void end_pull(struct request *r, int err, const char *message, const char *digest)
{
    if (err < 0) {
        const char *text = message != NULL && message[0] != '\0' ? message : err_text(err);

        (void)stream_json(
            r, json_pack("{s:{s:s},s:s}", "errorDetail", "message", text, "error", text));
    } else {
        if (digest != NULL)
            (void)stream_json(r, json_pack("{s:o}", "status", json_sprintf("Digest: %s", digest)));
        (void)stream_json(r, json_pack("{s:s}", "status", "Status: Image is up to date"));
    }
    stream_end(r);
    request_release(r);
}

static void on_pulled(void *owner, int err, const char *message, const struct image_info *image)
{
    end_pull(owner, err, message, image != NULL ? image->manifest_digest : NULL);
}

static void on_fetched(void *owner, int err, const char *why)
{
    end_pull(owner, err, why, NULL);
}

static void pull(struct request *r, struct runtime *rt, const char *image)
{
    const struct api_backend *b = &r->api->cfg.backend;
    struct registry_auth auth;
    char name[NAME_LEN_MAX];
    struct api_status st;
    json_t *held;

    if (!join_name(r, image, name)) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "image name is longer than %d bytes", NAME_LEN_MAX);
        return;
    }
    if (!stream_open(r, "application/json"))
        return;
    (void)stream_json(r, json_pack("{s:o}", "status", json_sprintf("Pulling %s", name)));
    held = auth_parse(request_header(r, "X-Registry-Auth"), &auth);
    request_status(r, &st);
    request_hold(r);
    if (b->fetch_image != NULL && st.membership == API_ACTIVE && auth.username == NULL &&
        auth.identity_token == NULL && auth.registry_token == NULL)
        b->fetch_image(b->ctx, name, on_fetched, r);
    else
        runtime_image_pull(rt, name, &auth, on_progress, on_pulled, r);
    json_decref(held);
}

void handle_image_create(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    const char *source = request_query(r, "fromSrc"), *image = request_query(r, "fromImage");

    if (rt == NULL)
        return;
    if (source != NULL && source[0] != '\0')
        import(r, rt, source);
    else if (image != NULL && image[0] != '\0')
        pull(r, rt, image);
    else
        reply_status(r, MHD_HTTP_BAD_REQUEST, "give fromImage=NAME to pull or fromSrc=- to import");
}

/* --- Save ----------------------------------------------------------------------------------- */

/* Bytes that the runtime writes to one end go to the client from the other. The answer begins with
 * the first of them, so that an unknown image is still a clear error. */
struct pump {
    uv_poll_t poll; /* first: freed as it */
    struct request *r;
    int fd;
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pump_closed(uv_handle_t *handle)
{
    struct pump *p = handle->data;

    (void)close(p->fd); /* was only read */
    request_release(p->r);
    free(p);
}

static void close_pump(struct pump *p)
{
    p->r->stream.source = NULL;
    (void)uv_poll_stop(&p->poll); /* cannot fail */
    uv_close((uv_handle_t *)&p->poll, on_pump_closed);
}

static void hold_pump(struct request *r)
{
    struct pump *p = r->stream.source;

    if (p != NULL)
        (void)uv_poll_stop(&p->poll); /* cannot fail */
}

static void resume_pump(struct request *r)
{
    struct pump *p = r->stream.source;

    if (p != NULL && uv_poll_start(&p->poll, UV_READABLE, on_readable) < 0)
        stream_end(r);
}

static void abandon_pump(struct request *r)
{
    if (r->stream.source != NULL)
        close_pump(r->stream.source);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct pump *p = poll->data;
    struct request *r = p->r;
    uint8_t bytes[PUMP_BYTES];
    ssize_t n;

    (void)status; /* shows at the read */
    (void)events;
    n = read(p->fd, bytes, sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && !r->stream.open && !request_is_over(r))
        (void)stream_open(r, "application/x-tar"); /* shows at the write */
    if (n > 0 && stream_write(r, slice_of(bytes, (size_t)n), slice_of("", 0)))
        return;
    close_pump(p);
    stream_end(r);
}

/* All that was written is in the pair by now, or read. Once bytes have gone to the client a failure
 * can only show as an archive that is cut short. */
static void on_saved(void *owner, int err, const char *message)
{
    struct request *r = owner;

    if (!request_is_over(r) && err < 0)
        reply_error(r, err, message);
    request_release(r);
}

static void save(struct request *r, const char *const *names)
{
    struct runtime *rt = request_runtime(r);
    struct pump *p;
    int fds[2];

    if (rt == NULL)
        return;
    p = calloc(1, sizeof(*p));
    if (p == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        free(p);
        reply_error(r, -ENOMEM, NULL);
        return;
    }
    p->r = r;
    p->fd = fds[0];
    if (uv_poll_init(r->api->cfg.loop, &p->poll, p->fd) < 0) {
        (void)close(fds[0]); /* nothing was written */
        (void)close(fds[1]);
        free(p);
        reply_error(r, -ENOMEM, NULL);
        return;
    }
    p->poll.data = p;
    request_hold(r); /* of the pump */
    r->stream.source = p;
    r->stream.on_hold = hold_pump;
    r->stream.on_resume = resume_pump;
    r->stream.on_gone = abandon_pump;
    resume_pump(r);
    request_hold(r);
    runtime_image_save(rt, names, fds[1], on_saved, r);
}

void handle_image_save(struct request *r)
{
    save(r, (const char *const[]){ r->args[0], NULL });
}

struct names {
    const char *items[NAMES_MAX + 1];
    size_t count;
};

static enum MHD_Result add_name(void *cls, enum MHD_ValueKind kind, const char *key,
                                const char *value)
{
    struct names *n = cls;

    (void)kind;
    if (strcmp(key, "names") == 0 && value != NULL && n->count < NAMES_MAX)
        n->items[n->count++] = value;
    return MHD_YES;
}

void handle_image_save_many(struct request *r)
{
    struct names n = { 0 };

    (void)MHD_get_connection_values(r->conn, MHD_GET_ARGUMENT_KIND, add_name, &n);
    if (n.count == 0)
        reply_status(r, MHD_HTTP_BAD_REQUEST, "give at least one image as ?names=");
    else
        save(r, n.items);
}
