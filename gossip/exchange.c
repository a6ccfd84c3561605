/* One place per exchange. What arrives is gathered into one frame at a time; what is sent is made
 * one frame at a time when the host says that the last one is gone, so neither side holds more than
 * a frame, whatever the size of the cluster. */
#include "gossip/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gossip/dissemination.h"
#include "gossip/view.h"

#define LENGTH_LEN         4
#define FRAME_SEALED_MAX   (GOSSIP_FRAME_LEN_MAX + GOSSIP_SEAL_LEN)
#define RECORD_MESSAGE_MAX (MESSAGE_HEADER_LEN + RECORD_LEN_MAX + GOSSIP_META_LEN_MAX)
#define ACCUSATIONS_MAX    (GOSSIP_ACCUSERS_MAX * (MESSAGE_HEADER_LEN + ACCUSATION_LEN))
#define MEMBER_ROOM        (RECORD_MESSAGE_MAX + ACCUSATIONS_MAX)
#define LIST_ENTRY_LEN     16
#define LIST_ENTRIES_MAX   2000 /* per message: 32000 bytes */
#define RECORDS_NEWS       64
#define IN_TOTAL_MAX       (256 * MIB) /* every record of the largest table, and slack */

static_assert(MEMBER_ROOM < GOSSIP_FRAME_LEN_MAX - 64, "a member fits a frame");
static_assert(LIST_ENTRIES_MAX * LIST_ENTRY_LEN < GOSSIP_FRAME_LEN_MAX - 64, "a list fits a frame");

/* --- places */

static struct exchange *find(struct gossip *g, uint64_t stream)
{
    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++) {
        struct exchange *x = &g->exchanges.list[i];

        if (x->state != EXCHANGE_FREE && x->stream == stream)
            return x;
    }
    return NULL;
}

static size_t count_open(const struct gossip *g, bool opener)
{
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++) {
        const struct exchange *x = &g->exchanges.list[i];

        count += x->state != EXCHANGE_FREE && x->opener == opener;
    }
    return count;
}

static struct exchange *take_place(struct gossip *g, bool opener)
{
    size_t max = opener ? GOSSIP_STREAMS_OUT_MAX : GOSSIP_STREAMS_IN_MAX;

    if (count_open(g, opener) >= max) {
        g->stats.refused_full++;
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++) {
        struct exchange *x = &g->exchanges.list[i];

        if (x->state != EXCHANGE_FREE)
            continue;
        memset(x, 0, sizeof(*x));
        x->opener = opener;
        x->deadline = mono_after(g->now, EXCHANGE_TIME);
        return x;
    }
    UNREACHABLE("there are as many places as both limits allow");
}

static void release(struct exchange *x)
{
    free(x->unlike);
    free(x->wants);
    free(x->answers);
    free(x->in);
    memset(x, 0, sizeof(*x));
}

static void close_exchange(struct gossip *g, struct exchange *x)
{
    if (x->state == EXCHANGE_CLOSING)
        return;
    x->state = EXCHANGE_CLOSING;
    x->deadline = mono_after(g->now, EXCHANGE_TIME); /* the host's CLOSED should come sooner */
    if (!output_stream(&g->out, &(struct gossip_stream_op){ .kind = GOSSIP_STREAM_CLOSE,
                                                            .stream = x->stream }))
        g->oom = true;
}

static void open_stream(struct gossip *g, struct exchange *x, const struct id *id,
                        const struct gossip_addr *addr)
{
    struct gossip_stream_op op = { .kind = GOSSIP_STREAM_OPEN, .peer = *id, .addr = *addr };

    g->exchanges.last_stream += 2;
    op.stream = x->stream = g->exchanges.last_stream - 1;
    x->state = EXCHANGE_CONNECTING;
    g->stats.exchanges++;
    if (!output_stream(&g->out, &op)) {
        g->oom = true;
        release(x);
    }
}

static bool is_open_to(const struct gossip *g, node_ref ref, bool pull)
{
    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++) {
        const struct exchange *x = &g->exchanges.list[i];

        if (x->state != EXCHANGE_FREE && x->opener && x->peer == ref && x->pull == pull)
            return true;
    }
    return false;
}

void exchange_open(struct gossip *g, const struct member *m, const struct id *id,
                   const struct gossip_addr *addr)
{
    struct exchange *x;
    struct id peer = m == NULL ? *id : member_id(m);

    if (m != NULL && is_open_to(g, m->ref, false))
        return;
    x = take_place(g, true);
    if (x == NULL)
        return;
    x->peer = m == NULL ? 0 : m->ref;
    open_stream(g, x, &peer, addr);
}

void exchange_open_pull(struct gossip *g, const struct member *m, const node_ref *wants,
                        size_t count)
{
    struct record r = record_of(m->record);
    struct id id = member_id(m);
    struct exchange *x;

    CHECK(count <= GOSSIP_STREAM_WANTS_MAX);
    if (is_open_to(g, m->ref, true))
        return;
    x = take_place(g, true);
    if (x == NULL)
        return;
    x->wants = malloc(count * sizeof(*x->wants));
    if (x->wants == NULL) {
        g->oom = true;
        release(x);
        return;
    }
    memcpy(x->wants, wants, count * sizeof(*wants));
    x->want_count = count;
    x->pull = true;
    x->peer = m->ref;
    open_stream(g, x, &id, &r.addr);
}

int exchange_on_inbound(struct gossip *g, uint64_t stream)
{
    struct exchange *x;

    if (stream % 2 != 0 || stream == 0 || find(g, stream) != NULL)
        return ERR_INVALID;
    x = take_place(g, false);
    if (x == NULL) {
        if (!output_stream(&g->out, &(struct gossip_stream_op){ .kind = GOSSIP_STREAM_CLOSE,
                                                                .stream = stream }))
            g->oom = true;
        return 0;
    }
    x->stream = stream;
    x->state = EXCHANGE_AWAITING;
    x->idle = true;
    return 0;
}

void exchange_on_closed(struct gossip *g, uint64_t stream)
{
    struct exchange *x = find(g, stream);

    if (x != NULL)
        release(x);
}

/* --- sending */

/* Room for one frame: its length, the sealing, the body. */
struct frame {
    uint8_t *buf; /* NULL = out of memory */
    struct writer body;
};

static bool frame_begin(struct gossip *g, struct frame *f)
{
    f->buf = malloc(LENGTH_LEN + FRAME_SEALED_MAX);
    if (f->buf == NULL) {
        g->oom = true;
        return false;
    }
    f->body = writer_of(seal_body(f->buf + LENGTH_LEN), GOSSIP_FRAME_LEN_MAX - GOSSIP_SEAL_TAG_LEN);
    write_u64(&f->body, g->self->ref);
    write_u64(&f->body, g->digest);
    return true;
}

static void frame_send(struct gossip *g, struct exchange *x, struct frame *f)
{
    size_t len = seal_in_place(&g->sealer, g->incarnation.epoch, f->buf + LENGTH_LEN, f->body.len);
    struct writer w = writer_of(f->buf, LENGTH_LEN);
    struct gossip_stream_op op = { .kind = GOSSIP_STREAM_SEND,
                                   .stream = x->stream,
                                   .bytes = slice_of(f->buf, LENGTH_LEN + len) };

    CHECK(!f->body.full);
    write_u32(&w, (uint32_t)len);
    x->idle = false;
    if (!output_stream(&g->out, &op)) {
        g->oom = true;
        close_exchange(g, x);
    }
    free(f->buf);
}

static void write_member(struct writer *w, const struct member *m)
{
    (void)write_member_record(w, m, SIZE_MAX); /* the caller left room for all of it */
    for (unsigned i = 0; m->suspicion != NULL && i < m->suspicion->count; i++)
        (void)write_accusation(w, &m->suspicion->by[i]);
}

static void write_refs(struct writer *w, const node_ref *refs, size_t count)
{
    write_u8(w, MESSAGE_WANT);
    write_u16(w, (uint16_t)(count * sizeof(node_ref)));
    for (size_t i = 0; i < count; i++)
        write_u64(w, refs[i]);
}

static void write_end(struct exchange *x, struct writer *w)
{
    (void)write_message(w, MESSAGE_END, (struct slice){ 0 }, (struct slice){ 0 });
    x->said_end = true;
}

/* What is here of a member whose metadata is missing does not count as equal. */
static uint64_t listed_version(const struct member *m)
{
    return m->meta_missing ? 0 : member_version(m);
}

static void write_list(struct gossip *g, struct exchange *x, struct writer *w)
{
    uint8_t *length;
    size_t count = 0;

    write_u8(w, MESSAGE_LIST);
    length = w->ptr + w->len;
    write_u16(w, 0);
    for (; x->cursor < g->members.slot_count && count < LIST_ENTRIES_MAX &&
           writer_room(w) >= LIST_ENTRY_LEN + MESSAGE_HEADER_LEN;
         x->cursor++) {
        const struct member *m = member_at(&g->members, x->cursor);

        if (m == NULL || m->record == NULL)
            continue;
        write_u64(w, m->ref);
        write_u64(w, listed_version(m));
        count++;
    }
    length[0] = (uint8_t)(count * LIST_ENTRY_LEN >> 8);
    length[1] = (uint8_t)(count * LIST_ENTRY_LEN);
}

static void send_listing(struct gossip *g, struct exchange *x)
{
    struct message_hello hello = { .pull = x->pull, .count = (uint32_t)g->record_count };
    struct frame f;

    if (!frame_begin(g, &f))
        return;
    if (x->cursor == 0) {
        write_hello(&f.body, &hello);
        write_member(&f.body, g->self);
    }
    if (x->pull) {
        write_refs(&f.body, x->wants, x->want_count);
        write_end(x, &f.body);
    } else {
        write_list(g, x, &f.body);
        if (x->cursor >= g->members.slot_count)
            write_end(x, &f.body);
    }
    if (x->said_end) {
        x->state = EXCHANGE_AWAITING;
        x->cursor = 0;
    }
    frame_send(g, x, &f);
}

static bool is_unlike(const struct exchange *x, size_t slot)
{
    return x->unlike != NULL && slot < x->unlike_slots &&
           (x->unlike[slot / 8] >> slot % 8 & 1) != 0;
}

/* Records, as many as fit; true when all have been said. */
static bool write_answers(struct gossip *g, struct exchange *x, struct writer *w)
{
    if (x->answer_count > 0 || x->opener || x->pull) {
        for (; x->cursor < x->answer_count; x->cursor++) {
            const struct member *m = member_find(&g->members, x->answers[x->cursor]);

            if (m == NULL || m->record == NULL)
                continue;
            if (writer_room(w) < MEMBER_ROOM)
                return false;
            write_member(w, m);
        }
        return true;
    }
    for (; x->cursor < g->members.slot_count; x->cursor++) {
        const struct member *m = member_at(&g->members, x->cursor);

        if (m == NULL || m->record == NULL || !is_unlike(x, x->cursor))
            continue;
        if (writer_room(w) < MEMBER_ROOM)
            return false;
        write_member(w, m);
    }
    return true;
}

static void send_answer(struct gossip *g, struct exchange *x)
{
    struct frame f;

    if (!frame_begin(g, &f))
        return;
    if (!x->opener && !x->pull && !x->said_wants) {
        x->said_wants = true;
        write_refs(&f.body, x->wants, x->want_count);
    }
    if (writer_room(&f.body) >= MEMBER_ROOM && write_answers(g, x, &f.body) &&
        writer_room(&f.body) >= MESSAGE_HEADER_LEN)
        write_end(x, &f.body);
    if (x->said_end && !x->opener && !x->pull && x->want_count > 0)
        x->state = EXCHANGE_AWAITING; /* what we asked for, perhaps before we are writable again */
    frame_send(g, x, &f);
}

/* Sends the next frame when it is our turn and the last one is gone. */
static void advance(struct gossip *g, struct exchange *x)
{
    if (!x->idle)
        return;
    switch (x->state) {
    case EXCHANGE_LISTING:
        send_listing(g, x);
        break;
    case EXCHANGE_ANSWERING:
        if (!x->said_end)
            send_answer(g, x);
        else if (x->opener)
            close_exchange(g, x);
        break;
    case EXCHANGE_FREE:
    case EXCHANGE_CONNECTING:
    case EXCHANGE_AWAITING:
    case EXCHANGE_CLOSING:
        break;
    }
}

void exchange_on_writable(struct gossip *g, uint64_t stream)
{
    struct exchange *x = find(g, stream);

    if (x == NULL)
        return;
    x->idle = true;
    if (x->state == EXCHANGE_CONNECTING)
        x->state = EXCHANGE_LISTING;
    advance(g, x);
}

/* --- receiving */

static bool append_refs(node_ref **list, size_t *count, const node_ref *refs, size_t more)
{
    node_ref *grown;

    more = MIN(more, GOSSIP_STREAM_WANTS_MAX - *count);
    if (more == 0)
        return true;
    grown = realloc(*list, (*count + more) * sizeof(*grown));
    if (grown == NULL)
        return false;
    memcpy(grown + *count, refs, more * sizeof(*refs));
    *list = grown;
    *count += more;
    return true;
}

/* All that we hold is unlike, until the opener lists it with the same version. */
static bool start_comparing(struct gossip *g, struct exchange *x)
{
    if (x->unlike != NULL)
        return true;
    x->unlike_slots = g->members.slot_count;
    x->unlike = malloc(x->unlike_slots / 8 + 1);
    if (x->unlike == NULL)
        return false;
    memset(x->unlike, 0xff, x->unlike_slots / 8 + 1);
    return true;
}

static bool on_list(struct gossip *g, struct exchange *x, struct slice body)
{
    struct reader r = reader_of(body);

    if (x->opener || x->pull || x->state != EXCHANGE_AWAITING || x->said_end ||
        body.len % LIST_ENTRY_LEN != 0 || !start_comparing(g, x))
        return false;
    while (r.left > 0) {
        node_ref ref = read_u64(&r);
        uint64_t version = read_u64(&r);
        const struct member *m = member_find(&g->members, ref);

        if (m != NULL && m->record != NULL && listed_version(m) == version && version != 0) {
            if (m->slot < x->unlike_slots)
                x->unlike[m->slot / 8] &= (uint8_t) ~(1u << m->slot % 8);
        } else if (!append_refs(&x->wants, &x->want_count, &ref, 1)) {
            return false;
        }
    }
    return true;
}

static bool on_want(struct exchange *x, struct slice body)
{
    struct reader r = reader_of(body);

    if (body.len % sizeof(node_ref) != 0)
        return false;
    while (r.left > 0) {
        node_ref ref = read_u64(&r);

        if (!append_refs(&x->answers, &x->answer_count, &ref, 1))
            return false;
    }
    return true;
}

static bool on_end(struct gossip *g, struct exchange *x)
{
    if (x->state != EXCHANGE_AWAITING)
        return false;
    if (x->opener ? x->pull || x->answer_count == 0 : x->said_end) {
        close_exchange(g, x); /* nothing more to say on either side */
        return true;
    }
    x->state = EXCHANGE_ANSWERING;
    x->said_end = false;
    x->cursor = 0;
    return true;
}

/* The first few are news to gossip about, the other side's own record among them. More than that is
 * a table: those who lack it will find that out from the digest and fetch it in one go too. */
static void take_record(struct gossip *g, struct exchange *x, struct slice body)
{
    g->quiet = ++x->records > RECORDS_NEWS;
    (void)view_take_record(g, body, member_find(&g->members, x->peer));
    g->quiet = false;
}

static bool on_message(struct gossip *g, struct exchange *x, uint8_t type, struct slice body)
{
    struct message_hello hello;

    switch (type) {
    case MESSAGE_HELLO:
        if (x->opener || !read_hello(body, &hello) || hello.pull > 1)
            return false;
        x->pull = hello.pull == 1;
        return true;
    case MESSAGE_RECORD:
        take_record(g, x, body);
        return true;
    case MESSAGE_ACCUSATION:
        (void)view_take_accusation(g, body);
        return true;
    case MESSAGE_LIST:
        return on_list(g, x, body);
    case MESSAGE_WANT:
        return on_want(x, body);
    case MESSAGE_END:
        return on_end(g, x);
    default:
        return true; /* of a later version */
    }
}

/* One whole frame. False closes the stream: whoever sends such things gains nothing by more. */
static bool on_frame(struct gossip *g, struct exchange *x, struct slice sealed)
{
    uint8_t *body = malloc(sealed.len);
    struct sealed_by by;
    struct reader r;
    struct slice message;
    uint8_t type;
    int len;
    bool good = true;

    if (body == NULL) {
        g->oom = true;
        return false;
    }
    len = seal_open(&g->sealer, sealed, body, &by);
    if (len < 0) {
        g->stats.refused_seal++;
        free(body);
        return false;
    }
    r = reader_of(slice_of(body, (size_t)len));
    x->peer = read_u64(&r);
    (void)read_u64(&r); /* the digest: the lists say more */
    while (good && x->state != EXCHANGE_CLOSING && read_message(&r, &type, &message))
        good = on_message(g, x, type, message);
    good = good && !r.bad;
    if (!good)
        g->stats.refused_malformed++;
    free(body);
    return good;
}

/* The length that a frame announces; 0 = none that a frame may have. */
static size_t announced(struct gossip *g, const struct exchange *x)
{
    struct reader r = reader_of(slice_of(x->in, LENGTH_LEN));
    uint32_t len = read_u32(&r);

    if (len <= FRAME_SEALED_MAX && len >= GOSSIP_SEAL_LEN)
        return len;
    g->stats.refused_malformed++;
    return 0;
}

/* Takes bytes up to the end of the length, or of the frame, that is arriving. Returns how many, or
 * 0: refused. */
static size_t gather(struct gossip *g, struct exchange *x, struct slice bytes)
{
    size_t need = LENGTH_LEN, take;

    if (x->in == NULL) {
        x->in = malloc(LENGTH_LEN + FRAME_SEALED_MAX);
        if (x->in == NULL) {
            g->oom = true;
            return 0;
        }
    }
    if (x->in_len >= LENGTH_LEN)
        need += announced(g, x);
    take = MIN(need - x->in_len, bytes.len);
    memcpy(x->in + x->in_len, bytes.ptr, take);
    x->in_len += take;
    if (x->in_len < need)
        return take;
    if (need == LENGTH_LEN)
        return announced(g, x) == 0 ? 0 : take; /* refuse before a byte of it is awaited */
    x->in_len = 0;
    return on_frame(g, x, slice_of(x->in + LENGTH_LEN, need - LENGTH_LEN)) ? take : 0;
}

void exchange_on_data(struct gossip *g, uint64_t stream, struct slice bytes)
{
    struct exchange *x = find(g, stream);

    if (x == NULL || x->state == EXCHANGE_CLOSING)
        return;
    x->in_total += bytes.len;
    while (bytes.len > 0 && x->state != EXCHANGE_CLOSING) {
        size_t taken = x->in_total > IN_TOTAL_MAX ? 0 : gather(g, x, bytes);

        if (taken == 0) {
            close_exchange(g, x);
            return;
        }
        bytes.ptr += taken;
        bytes.len -= taken;
    }
    advance(g, x);
}

void exchange_run(struct gossip *g)
{
    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++) {
        struct exchange *x = &g->exchanges.list[i];

        if (x->state == EXCHANGE_FREE || x->deadline > g->now)
            continue;
        if (x->state == EXCHANGE_CLOSING)
            release(x);
        else
            close_exchange(g, x);
    }
}

mono_ns exchange_deadline(const struct gossip *g)
{
    mono_ns deadline = MONO_NEVER;

    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++) {
        if (g->exchanges.list[i].state != EXCHANGE_FREE)
            deadline = MIN(deadline, g->exchanges.list[i].deadline);
    }
    return deadline;
}

void exchanges_deinit(struct gossip *g)
{
    for (size_t i = 0; i < ARRAY_LEN(g->exchanges.list); i++)
        release(&g->exchanges.list[i]);
}
