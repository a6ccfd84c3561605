/* A plain HTTP client on the world's loop. */
#include "tests/unit/node_api/support_api.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX (16 * MIB)

struct client {
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    uv_buf_t out;
    struct buf in;
    bool done;
};

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    *buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = s->data;

    if (n > 0)
        assert_int_equal(buf_append(&c->in, buf->base, (size_t)n), 0);
    free(buf->base);
    c->done = c->done || n < 0;
}

static void on_written(uv_write_t *w, int status)
{
    (void)w;
    (void)status; /* the server may have refused and closed before it read all */
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct client *c = connect->data;

    assert_int_equal(status, 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read), 0);
    assert_int_equal(uv_write(&c->write, (uv_stream_t *)&c->pipe, &c->out, 1, on_written), 0);
}

static void on_client_closed(uv_handle_t *h)
{
    *(bool *)h->data = true;
}

struct answer ask_raw(struct world *w, const char *bytes, size_t len)
{
    struct client c = { 0 };
    struct answer a = { 0 };
    const char *head_end;
    bool closed = false;
    size_t head_len;

    buf_init(&c.in, ANSWER_MAX);
    c.out = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
    c.pipe.data = &c;
    c.connect.data = &c;
    assert_int_equal(uv_pipe_init(&w->loop, &c.pipe, 0), 0);
    c.pipe.data = &c;
    uv_pipe_connect(&c.connect, &c.pipe, w->socket, on_connected);
    while (!c.done)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    c.pipe.data = &closed;
    uv_close((uv_handle_t *)&c.pipe, on_client_closed);
    while (!closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);

    assert_int_equal(buf_append_byte(&c.in, 0), 0);
    head_end = c.in.len == 1 ? NULL : strstr((const char *)c.in.ptr, "\r\n\r\n");
    if (head_end != NULL) {
        head_len = (size_t)(head_end - (const char *)c.in.ptr);
        assert_true(head_len < sizeof(a.head));
        memcpy(a.head, c.in.ptr, head_len);
        assert_int_equal(sscanf(a.head, "HTTP/1.%*d %d", &a.status), 1);
        a.body_len = c.in.len - 1 - head_len - 4;
        a.body = malloc(a.body_len + 1);
        assert_non_null(a.body);
        memcpy(a.body, head_end + 4, a.body_len + 1);
    }
    buf_deinit(&c.in);
    return a;
}

struct answer ask(struct world *w, const char *method, const char *path, const char *body)
{
    struct buf b;
    struct answer a;

    buf_init(&b, ANSWER_MAX);
    assert_int_equal(buf_printf(&b, "%s %s HTTP/1.0\r\nHost: api\r\n", method, path), 0);
    if (body != NULL)
        assert_int_equal(buf_printf(&b, "Content-Length: %zu\r\n", strlen(body)), 0);
    assert_int_equal(buf_append_str(&b, "\r\n"), 0);
    if (body != NULL)
        assert_int_equal(buf_append_str(&b, body), 0);
    a = ask_raw(w, (const char *)b.ptr, b.len);
    buf_deinit(&b);
    return a;
}

void answer_free(struct answer *a)
{
    free(a->body);
    memset(a, 0, sizeof(*a));
}

json_t *ask_json(struct world *w, const char *method, const char *path, const char *body,
                 int status)
{
    struct answer a = ask(w, method, path, body);
    json_t *json;

    if (a.status != status)
        print_error("%s %s: %d %s\n", method, path, a.status, a.body != NULL ? a.body : "");
    assert_int_equal(a.status, status);
    json = a.body_len > 0 ? json_loads(a.body, JSON_DECODE_ANY, NULL) : NULL;
    answer_free(&a);
    return json;
}

void assert_refused(struct world *w, const char *method, const char *path, const char *body,
                    int status, const char *message_part)
{
    json_t *json = ask_json(w, method, path, body, status);
    const char *message = json_string_value(json_object_get(json, "message"));

    assert_non_null(message);
    if (strstr(message, message_part) == NULL)
        print_error("%s %s: %s\n", method, path, message);
    assert_non_null(strstr(message, message_part));
    json_decref(json);
}
