/* node/cluster/link_conn.c - see link_conn.h.
 *
 *     dialler   CONNECTING -> AWAITING_HELLO -> AWAITING_ACCEPT -> OPEN -> (LINGERING) -> CLOSED
 *     responder AWAITING_OFFER -> AWAITING_REPLY ----------------> OPEN -> (LINGERING) -> CLOSED
 *
 * Each record that arrives makes one step; conn_next() is the whole flow. A record is a length of
 * two bytes and that many bytes: a handshake message first, later a sealed frame. One deadline
 * covers everything up to OPEN, so a peer that sends a byte now and then gains nothing. Until it
 * has shown itself a peer can make us hold HANDSHAKE_LEN_MAX bytes, then one record.
 * What goes out is link_conn_write.c's. */
#include "node/cluster/link_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_address.h"
#include "node/cluster/link_conn_priv.h"
#include "node/cluster/link_handshake.h"

static void arm_timer(struct conn *c);

/* --- The end --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    if (--c->open_handles > 0)
        return;
    c->shared->conn_count--;
    c->shared->events->on_released(c->shared->ctx, c);
    noise_deinit(&c->noise);
    noise_cipher_deinit(&c->send);
    noise_cipher_deinit(&c->receive);
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    free(c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static bool is_over(const struct conn *c)
{
    return c->state == CONN_LINGERING || c->state == CONN_CLOSED;
}

void conn_fail(struct conn *c, int reason)
{
    bool was_over = is_over(c);

    conn_close(c);
    if (!was_over)
        c->shared->events->on_down(c->shared->ctx, c, reason);
}

void conn_end(struct conn *c, int code)
{
    bool has_keys = c->state == CONN_OPEN || c->state == CONN_AWAITING_ACCEPT;

    if (is_over(c))
        return;
    if (!has_keys) {
        conn_close(c);
        return;
    }
    (void)uv_read_stop((uv_stream_t *)&c->tcp); /* always 0 */
    c->state = CONN_LINGERING;
    c->close_due = true;
    c->close_code = code;
    conn_set_deadline(c, mono_after(uv_hrtime(), LINGER_NS));
    conn_flush(c);
}

/* The same, telling the owner as well as the peer. */
static void fail_aloud(struct conn *c, int reason)
{
    if (is_over(c))
        return;
    conn_end(c, reason);
    c->shared->events->on_down(c->shared->ctx, c, reason);
}

/* --- The handshake --- */

static int send_offer(struct conn *c)
{
    uint8_t *record = c->shared->scratch->out;
    int rc = handshake_put_offer(c, record);

    return rc < 0 ? rc : conn_write(c, slice_of(record, (size_t)rc));
}

static int send_hello(struct conn *c, enum link_purpose purpose)
{
    uint8_t *record = c->shared->scratch->out;
    int rc = handshake_put_hello(c, purpose, record);

    return rc < 0 ? rc : conn_write(c, slice_of(record, (size_t)rc));
}

static int begin_dialling(struct conn *c)
{
    int rc = handshake_start(c);

    if (rc < 0)
        return rc;
    conn_set_deadline(c, mono_after(uv_hrtime(), HANDSHAKE_NS));
    c->state = CONN_AWAITING_HELLO;
    return send_offer(c);
}

/* Message 2: is that whom we wanted? Then we show ourselves. */
static int answer_hello(struct conn *c, struct slice message)
{
    struct link_hello hello;
    int rc = handshake_read_hello(c, message, &hello);

    if (rc < 0)
        return rc;
    rc = c->shared->events->on_hello(c->shared->ctx, c, &hello);
    fields_deinit(&link_hello_type, &hello);
    if (rc == 0)
        rc = send_hello(c, c->purpose);
    if (rc == 0)
        rc = handshake_split(c);
    if (rc == 0)
        c->state = CONN_AWAITING_ACCEPT;
    return rc;
}

static int open_up(struct conn *c)
{
    c->state = CONN_OPEN;
    c->ping_due = true; /* measures the round trip at once */
    c->last_received = uv_hrtime();
    conn_set_deadline(c, MONO_NEVER);
    c->shared->events->on_open(c->shared->ctx, c);
    return 0;
}

/* Message 3: may it come in? Whatever is wrong, it is told: it has proven its key. */
static int admit_reply(struct conn *c, struct slice message)
{
    struct link_hello hello;
    int rc = handshake_read_hello(c, message, &hello);

    if (rc < 0)
        return rc;
    c->purpose = hello.purpose;
    rc = handshake_split(c);
    if (rc == 0) {
        c->state = CONN_AWAITING_ACCEPT; /* its answer may be a goodbye: fail_aloud() */
        rc = c->shared->events->on_hello(c->shared->ctx, c, &hello);
    }
    fields_deinit(&link_hello_type, &hello);
    if (rc < 0) {
        fail_aloud(c, rc);
        return 0;
    }
    c->accept_due = true;
    return open_up(c);
}

/* --- Frames --- */

static void note_pong(struct conn *c, uint64_t value)
{
    mono_ns sample = uv_hrtime() - c->last_ping;

    if (!c->is_ping_out || value != c->last_ping)
        return; /* late, or made up: nothing follows from it */
    c->is_ping_out = false;
    c->rtt = c->rtt == 0 ? sample : (c->rtt * 7 + sample) / 8; /* RFC 6298 s. 2 */
}

static int handle_close(struct conn *c, int32_t code)
{
    c->is_told = true;
    conn_fail(c, code < 0 ? code : ERR_CLOSED);
    return 0;
}

/* While waiting for the answer to message 3, only that may come. */
static int handle_frame(struct conn *c, const struct frame *f)
{
    if (f->type == FRAME_CLOSE)
        return handle_close(c, (int32_t)get_u32(f->body.ptr));
    if (c->state == CONN_AWAITING_ACCEPT)
        return f->type == FRAME_ACCEPT ? open_up(c) : ERR_MALFORMED;
    switch ((int)f->type) { /* the rest are the owner's */
    case FRAME_ACCEPT:
        return ERR_MALFORMED;
    case FRAME_PING:
        c->pong_due = true;
        c->pong_value = get_u64(f->body.ptr);
        return 0;
    case FRAME_PONG:
        note_pong(c, get_u64(f->body.ptr));
        return 0;
    case FRAME_REKEY:
        noise_rekey(&c->receive);
        return 0;
    default:
        return c->shared->events->on_frame(c->shared->ctx, c, f);
    }
}

/* Opens in place: `record` is ours. */
static int read_frame(struct conn *c, uint8_t *record, size_t len)
{
    struct frame f;
    int rc = noise_open(&c->receive, slice_of(NULL, 0), slice_of(record, len), record);

    if (rc == 0)
        rc = frame_decode(slice_of(record, len - NOISE_TAG_LEN), &f);
    return rc < 0 ? rc : handle_frame(c, &f);
}

/* The whole flow, one record at a time. Returns < 0 to give up. */
static int conn_next(struct conn *c, uint8_t *record, size_t len)
{
    int rc;

    switch (c->state) {
    case CONN_AWAITING_OFFER:
        rc = handshake_read_offer(c, slice_of(record, len));
        if (rc < 0)
            return rc;
        c->state = CONN_AWAITING_REPLY;
        return send_hello(c, LINK_PURPOSE_MEMBER);
    case CONN_AWAITING_HELLO:
        return answer_hello(c, slice_of(record, len));
    case CONN_AWAITING_REPLY:
        return admit_reply(c, slice_of(record, len));
    case CONN_AWAITING_ACCEPT:
    case CONN_OPEN:
        return read_frame(c, record, len);
    case CONN_CONNECTING:
    case CONN_LINGERING:
    case CONN_CLOSED:
        break;
    }
    UNREACHABLE("nothing is read in these states");
}

/* --- Reading --- */

static size_t record_len_max(const struct conn *c)
{
    bool is_open = c->state == CONN_OPEN || c->state == CONN_AWAITING_ACCEPT;

    return is_open ? RECORD_LEN_MAX : HANDSHAKE_LEN_MAX;
}

/* Handles every whole record in the bytes; *used is how far they go. */
static int read_records(struct conn *c, uint8_t *bytes, size_t len, size_t *used)
{
    *used = 0;
    while (!is_over(c) && len - *used >= RECORD_HEAD_LEN) {
        size_t record_len = get_u16(bytes + *used);
        int rc;

        if (record_len == 0 || record_len > record_len_max(c))
            return ERR_MALFORMED;
        if (len - *used - RECORD_HEAD_LEN < record_len)
            break;
        rc = conn_next(c, bytes + *used + RECORD_HEAD_LEN, record_len);
        if (rc < 0)
            return rc;
        *used += RECORD_HEAD_LEN + record_len;
    }
    return 0;
}

/* What stays is less than one record, so `in` never grows beyond that and one read. */
static int take_bytes(struct conn *c, uint8_t *bytes, size_t len)
{
    size_t used;
    int rc;

    if (c->in.len == 0) {
        rc = read_records(c, bytes, len, &used);
        return rc < 0 || is_over(c) || used == len ? rc
                                                   : buf_append(&c->in, bytes + used, len - used);
    }
    rc = buf_append(&c->in, bytes, len);
    if (rc == 0)
        rc = read_records(c, c->in.ptr, c->in.len, &used);
    if (rc < 0 || is_over(c))
        return rc;
    buf_consume(&c->in, used);
    if (c->in.len == 0)
        buf_deinit(&c->in);
    return 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct conn *c = handle->data;

    (void)suggested;
    *out = uv_buf_init((char *)c->shared->scratch->in, sizeof(c->shared->scratch->in));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = stream->data;
    int rc;

    if (n == 0 || is_over(c))
        return;
    if (n < 0) {
        conn_fail(c, n == UV_EOF ? ERR_CLOSED : (int)n);
        return;
    }
    c->last_received = uv_hrtime();
    c->bytes_in += (uint64_t)n;
    rc = take_bytes(c, (uint8_t *)b->base, (size_t)n);
    if (rc < 0)
        fail_aloud(c, rc);
    else
        conn_flush(c); /* answers to all that came, in one write */
}

/* --- Time --- */

static mono_ns next_wake(const struct conn *c)
{
    mono_ns silence, wake = c->deadline;

    if (c->state == CONN_OPEN) {
        silence = uv_hrtime() - c->last_received;
        wake =
            MIN(wake, c->last_received + (silence < PING_AFTER_NS ? PING_AFTER_NS : DEAD_AFTER_NS));
        wake = MIN(wake, uv_hrtime() + PING_AFTER_NS);
    }
    return wake;
}

static int tick(struct conn *c, mono_ns now)
{
    mono_ns silence = now > c->last_received ? now - c->last_received : 0;

    if (now >= c->deadline)
        return ERR_TIMEOUT;
    if (c->state != CONN_OPEN)
        return 0;
    if (now > c->wake + HELD_UP_NS) { /* we did not run: what the peer sent may wait unread */
        c->last_received = MAX(c->last_received, now - PING_AFTER_NS);
        silence = PING_AFTER_NS;
    }
    if (silence >= DEAD_AFTER_NS)
        return ERR_TIMEOUT;
    if ((silence >= PING_AFTER_NS || now - c->last_ping >= RTT_EVERY_NS) &&
        now - c->last_ping >= PING_AFTER_NS)
        c->ping_due = true;
    return c->shared->events->on_tick(c->shared->ctx, c, now);
}

static void on_timer(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    int rc = tick(c, uv_hrtime());

    if (rc < 0 && c->state == CONN_LINGERING)
        conn_close(c);
    else if (rc == ERR_TIMEOUT)
        conn_fail(c, rc); /* there is nobody to tell */
    else if (rc < 0)
        fail_aloud(c, rc);
    if (is_over(c))
        return;
    conn_flush(c);
    if (!is_over(c))
        arm_timer(c);
}

static void arm_timer(struct conn *c)
{
    mono_ns wake = next_wake(c), now = uv_hrtime();
    uint64_t ms = wake <= now ? 0 : (wake - now + NS_PER_MS - 1) / NS_PER_MS;

    c->wake = wake;
    if (wake == MONO_NEVER) {
        (void)uv_timer_stop(&c->timer); /* always 0 */
        return;
    }
    uv_update_time(c->shared->loop); /* the loop's clock may be behind the one we reckon with */
    (void)uv_timer_start(&c->timer, on_timer, ms, 0); /* fails only without a callback */
}

void conn_set_deadline(struct conn *c, mono_ns deadline)
{
    c->deadline = deadline;
    arm_timer(c);
}

struct slice conn_handshake_hash(const struct conn *c)
{
    return slice_of(c->handshake_hash, sizeof(c->handshake_hash));
}

/* --- The beginning --- */

static int conn_new(struct conn_shared *shared, struct conn **out)
{
    struct conn *c = calloc(1, sizeof(*c));
    int rc;

    if (c == NULL)
        return -ENOMEM;
    c->shared = shared;
    c->deadline = MONO_NEVER;
    list_init(&c->link);
    buf_init(&c->in, sizeof(shared->scratch->in) + RECORD_HEAD_LEN + RECORD_LEN_MAX);
    buf_init(&c->out, sizeof(shared->scratch->out));
    rc = uv_tcp_init(shared->loop, &c->tcp);
    if (rc < 0) {
        free(c);
        return rc;
    }
    (void)uv_timer_init(shared->loop, &c->timer); /* always 0 */
    shared->conn_count++;
    c->tcp.data = c;
    c->timer.data = c;
    c->open_handles = 2;
    *out = c;
    return 0;
}

static int start_reading(struct conn *c)
{
    int lowat = NOTSENT_LEN, fd = -1, rc;

    rc = uv_tcp_nodelay(&c->tcp, 1);
    if (rc == 0)
        rc = uv_fileno((const uv_handle_t *)&c->tcp, &fd);
    if (rc == 0 && setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)) < 0)
        rc = -errno;
    return rc < 0 ? rc : uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = CONTAINER_OF(req, struct conn, connect);

    if (is_over(c))
        return; /* a cancelled request reporting in */
    if (status == 0)
        status = start_reading(c);
    if (status == 0)
        status = begin_dialling(c);
    if (status < 0)
        conn_fail(c, status);
}

int conn_dial(struct conn_shared *shared, const struct sockaddr *address, enum link_purpose purpose,
              struct conn **out)
{
    struct conn *c;
    int rc = conn_new(shared, &c);

    if (rc < 0)
        return rc;
    c->is_dialler = true;
    c->purpose = purpose;
    c->state = CONN_CONNECTING;
    memcpy(&c->address, address,
           address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in));
    address_format(address, c->address_text);
    rc = uv_tcp_connect(&c->connect, &c->tcp, address, on_connected);
    conn_set_deadline(c, mono_after(uv_hrtime(), CONNECT_NS));
    if (rc < 0) {
        conn_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

int conn_accept(struct conn_shared *shared, uv_stream_t *listener, struct conn **out)
{
    struct conn *c;
    int len = sizeof(c->address);
    int rc = conn_new(shared, &c);

    if (rc < 0)
        return rc;
    c->state = CONN_AWAITING_OFFER;
    rc = uv_accept(listener, (uv_stream_t *)&c->tcp);
    if (rc == 0)
        rc = uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&c->address, &len);
    if (rc == 0)
        rc = start_reading(c);
    if (rc < 0) {
        conn_close(c);
        return rc;
    }
    address_format((struct sockaddr *)&c->address, c->address_text);
    conn_set_deadline(c, mono_after(uv_hrtime(), HANDSHAKE_NS));
    *out = c;
    return 0;
}
