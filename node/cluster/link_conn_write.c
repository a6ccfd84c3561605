/* node/cluster/link_conn_write.c - What a connection sends: see link_conn.h.
 *
 * As many frames as fit into WRITE_LEN are sealed into the shared buffer and offered to
 * the kernel; only what it does not take is copied and waited for. TCP_NOTSENT_LOWAT keeps
 * the kernel from swallowing more than it can send soon, so that what is urgent tomorrow does
 * not queue behind what is bulk today. */
#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_conn_priv.h"

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = CONTAINER_OF(req, struct conn, write);

    c->is_writing = false;
    buf_deinit(&c->out);
    if (c->state == CONN_CLOSED)
        return; /* a cancelled write reporting in */
    if (status < 0)
        conn_fail(c, status);
    else
        conn_flush(c);
}

int conn_write(struct conn *c, struct slice bytes)
{
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)bytes.ptr, (unsigned)bytes.len);
    int taken, rc;

    if (c->is_writing)
        return ERR_FULL; /* a handshake fits into any empty socket; this peer plays tricks */
    taken = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
    if (taken == UV_EAGAIN)
        taken = 0;
    if (taken < 0)
        return taken;
    c->bytes_out += bytes.len;
    if ((size_t)taken == bytes.len)
        return 0;
    rc = buf_append(&c->out, bytes.ptr + taken, bytes.len - (size_t)taken);
    if (rc < 0)
        return rc;
    b = uv_buf_init((char *)c->out.ptr, (unsigned)c->out.len);
    rc = uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written);
    c->is_writing = rc == 0;
    return rc;
}

/* Seals the frame that lies at `record` + RECORD_HEAD_LEN; returns the record's length, or an
 * error. */
static int seal_record(struct conn *c, uint8_t *record, size_t frame_len)
{
    uint8_t *frame = record + RECORD_HEAD_LEN;
    int rc = noise_seal(&c->send, slice_of(NULL, 0), slice_of(frame, frame_len), frame);

    if (rc < 0)
        return rc;
    put_u16(record, (uint16_t)(frame_len + NOISE_TAG_LEN));
    c->sent_since_rekey += frame_len;
    return (int)(frame_len + RECORD_OVERHEAD);
}

static size_t put_link_frame(enum frame_type type, struct slice body, uint8_t *out)
{
    return frame_encode(&(struct frame){ .type = type, .body = body }, out);
}

static bool is_rekey_due(const struct conn *c)
{
    return c->sent_since_rekey >= c->shared->rekey_len ||
           (c->sent_since_rekey > 0 && uv_hrtime() - c->rekeyed >= REKEY_NS);
}

/* The next frame to send, ours before the owner's. Sets *is_last when none may follow. */
static size_t next_frame(struct conn *c, uint8_t *out, bool *is_last)
{
    uint8_t number[8];

    if (c->accept_due) {
        c->accept_due = false;
        return put_link_frame(FRAME_ACCEPT, slice_of(NULL, 0), out);
    }
    if (c->close_due) {
        c->close_due = false;
        *is_last = true;
        put_u32(number, (uint32_t)c->close_code);
        return put_link_frame(FRAME_CLOSE, slice_of(number, 4), out);
    }
    if (c->pong_due) {
        c->pong_due = false;
        put_u64(number, c->pong_value);
        return put_link_frame(FRAME_PONG, slice_of(number, 8), out);
    }
    if (c->ping_due) {
        c->ping_due = false;
        c->is_ping_out = true;
        c->last_ping = uv_hrtime();
        put_u64(number, c->last_ping);
        return put_link_frame(FRAME_PING, slice_of(number, 8), out);
    }
    return c->state == CONN_OPEN ? c->shared->events->next_frame(c->shared->ctx, c, out) : 0;
}

/* Seals frames behind each other into the shared buffer. Returns their length, or an error. */
static int fill_records(struct conn *c, uint8_t *out)
{
    bool is_last = false;
    size_t len = 0;

    while (len < WRITE_LEN && !is_last) {
        bool is_rekey = is_rekey_due(c) && c->state == CONN_OPEN;
        uint8_t *frame = out + len + RECORD_HEAD_LEN;
        size_t frame_len = is_rekey ? put_link_frame(FRAME_REKEY, slice_of(NULL, 0), frame)
                                    : next_frame(c, frame, &is_last);
        int rc;

        if (frame_len == 0)
            break;
        rc = seal_record(c, out + len, frame_len);
        if (rc < 0)
            return rc;
        len += (size_t)rc;
        if (is_rekey) {
            noise_rekey(&c->send);
            c->sent_since_rekey = 0;
            c->rekeyed = uv_hrtime();
            *c->shared->rekey_count += 1;
        }
    }
    return (int)len;
}

void conn_flush(struct conn *c)
{
    bool has_keys = c->state == CONN_OPEN || c->state == CONN_LINGERING;

    while (has_keys && !c->is_writing) {
        int rc = fill_records(c, c->shared->scratch->out);

        if (rc == 0)
            break;
        if (rc > 0)
            rc = conn_write(c, slice_of(c->shared->scratch->out, (size_t)rc));
        if (rc < 0) {
            conn_fail(c, rc);
            return;
        }
    }
    if (c->state == CONN_LINGERING && !c->is_writing)
        conn_close(c);
}
