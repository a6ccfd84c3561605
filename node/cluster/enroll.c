/* node/cluster/enroll.c - The asking side of enrolment: see enroll.h.
 *
 *     RESOLVING -> CONNECTING (link_conn.c: TCP, handshake) -> ASKING -> done
 *         ^              |                                       |
 *         +-- next address: unreachable ----------------- refused: done
 *
 * Another address is tried while nobody has answered the request. A refusal is an answer. The
 * token's secret leaves this process only after the responder has shown a manager's certificate
 * under the root that the token names. */
#include "node/cluster/enroll.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>
#include <uv.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_address.h"
#include "node/cluster/link_conn.h"
#include "node/cluster/link_hello.h"

#define ADDRESSES_MAX 16
#define ADDRESS_LEN   280 /* host names are longer than addresses */

enum enroll_state { ENROLL_RESOLVING, ENROLL_CONNECTING, ENROLL_ASKING, ENROLL_DONE };

struct enroll {
    uv_loop_t *loop;
    enum enroll_state state;
    enum enroll_kind kind;
    char addresses[ADDRESSES_MAX][ADDRESS_LEN];
    size_t address_count, next_address;
    struct identity identity;
    struct join_token token;
    struct buf description;

    uv_getaddrinfo_t resolve;
    bool is_resolving;
    uv_timer_t timer; /* result and memory go from here, never from inside enroll_start() */
    struct conn_shared shared;
    struct conn *conn;
    uint64_t rekey_count;
    bool is_request_due;
    struct trust trust; /* what the responder's certificate was checked against */

    int status;
    char why[ENROLL_WHY_LEN_MAX + ADDRESS_LEN];
    char local_address[LINK_ADDRESS_LEN];
    struct enroll_answer answer; /* counts when status is 0 */
    void (*done)(void *ctx, const struct enroll_result *result);
    void *ctx;
};

static void try_next(struct enroll *e);

/* --- The end --- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct enroll *e = handle->data;

    fields_deinit(&enroll_answer_type, &e->answer);
    buf_deinit(&e->description);
    identity_deinit(&e->identity);
    sodium_memzero(&e->token, sizeof(e->token));
    free(e->shared.scratch);
    free(e);
}

static void fill_grant(const struct enroll_answer *a, struct enroll_grant *g)
{
    memset(g, 0, sizeof(*g));
    g->cert = a->cert;
    trust_from_roots(&a->roots, &a->cert.cluster, &g->trust);
    g->gossip_keys = bytes_slice(&a->gossip_keys);
    g->manager_count = MIN(a->managers.count, ENROLL_MANAGERS_MAX);
    for (size_t i = 0; i < g->manager_count; i++) {
        g->managers[i].node = a->managers.items[i].node;
        (void)snprintf(g->managers[i].address, LINK_ADDRESS_LEN, "%s",
                       a->managers.items[i].address); /* the table bounds it */
    }
}

static void deliver(struct enroll *e)
{
    struct enroll_grant grant;
    const struct enroll_result result = {
        .status = e->status,
        .why = e->status == 0 ? "" : e->why,
        .grant = e->status == 0 ? &grant : NULL,
        .local_address = e->local_address,
        .manager_address = e->addresses[MIN(e->next_address, e->address_count - 1)],
    };

    if (e->status == 0)
        fill_grant(&e->answer, &grant);
    e->done(e->ctx, &result);
}

/* From the timer alone, once nothing else can call back. */
static void on_finished(uv_timer_t *timer)
{
    struct enroll *e = timer->data;

    if (e->is_resolving || e->shared.conn_count > 0)
        return; /* its end comes back here */
    deliver(e);
    uv_close((uv_handle_t *)&e->timer, on_timer_closed);
}

static void finish_soon(struct enroll *e)
{
    (void)uv_timer_start(&e->timer, on_finished, 0, 0); /* fails only without a callback */
}

static void finish(struct enroll *e, int status)
{
    if (e->state == ENROLL_DONE)
        return;
    e->state = ENROLL_DONE;
    e->status = status;
    if (e->is_resolving)
        (void)uv_cancel((uv_req_t *)&e->resolve); /* too late is as good */
    if (e->conn != NULL)
        conn_end(e->conn, ERR_CLOSED);
    e->conn = NULL;
    finish_soon(e);
}

PRINTF_LIKE(2, 3)
static void explain(struct enroll *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(e->why, sizeof(e->why), format, args); /* cut if need be */
    va_end(args);
}

/* This address led to nothing; the next may. */
static void address_failed(struct enroll *e, int reason)
{
    if (e->state == ENROLL_DONE)
        return;
    explain(e, "%s: %s", e->addresses[e->next_address], err_text(reason));
    e->status = reason;
    if (e->next_address + 1 == e->address_count) {
        finish(e, reason);
        return;
    }
    e->next_address++;
    try_next(e);
}

/* --- The conversation --- */

static wall_ns wall_now(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return (wall_ns)t.tv_sec * (wall_ns)NS_PER_S + t.tv_nsec;
}

static int on_hello(void *ctx, struct conn *c, const struct link_hello *hello)
{
    struct enroll *e = ctx;

    if (e->kind == ENROLL_JOIN)
        return hello_check_as_joiner(hello, c->static_key, &e->token, wall_now(), &e->trust);
    e->trust = e->identity.trust;
    if (hello->purpose != LINK_PURPOSE_MEMBER)
        return ERR_MALFORMED;
    return hello_check(hello, c->static_key, &e->trust, wall_now());
}

static void on_open(void *ctx, struct conn *c)
{
    struct enroll *e = ctx;
    struct sockaddr_storage local;
    int len = sizeof(local);

    if (uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&local, &len) == 0)
        address_format_host((const struct sockaddr *)&local, e->local_address);
    e->state = ENROLL_ASKING;
    e->is_request_due = true;
    conn_set_deadline(c, mono_after(uv_hrtime(), ENROLL_ANSWER_NS));
}

static size_t next_frame(void *ctx, struct conn *c, uint8_t *out)
{
    struct enroll *e = ctx;
    struct enroll_request r = { 0 };
    struct field_error err;
    struct buf body;
    size_t len = 0;

    if (!e->is_request_due)
        return 0;
    e->is_request_due = false;
    if (e->kind == ENROLL_JOIN)
        memcpy(r.secret, e->token.secret, TOKEN_SECRET_LEN);
    memcpy(r.identity_key, e->identity.keys.identity_key, CLUSTER_KEY_LEN);
    node_keys_sign(&e->identity.keys, ENROLL_DOMAIN, conn_handshake_hash(c), r.signature);
    r.description.ptr = e->description.ptr; /* lent for the encoding */
    r.description.len = e->description.len;
    buf_init(&body, FRAME_BODY_LEN_MAX);
    if (buf_reserve(&body, FRAME_BODY_LEN_MAX) == 0 &&
        fields_encode(&enroll_request_type, &r, &body, &err) == 0)
        len = frame_encode(&(struct frame){ .type = FRAME_ENROLL, .body = buf_slice(&body) }, out);
    else
        conn_set_deadline(c, 0); /* out of memory */
    if (body.ptr != NULL)
        sodium_memzero(body.ptr, body.cap);
    buf_deinit(&body);
    sodium_memzero(&r, sizeof(r));
    return len;
}

/* The certificate must be for our keys and from a root that we have reason to believe. */
static int check_grant(const struct enroll *e, const struct enroll_answer *a)
{
    struct trust shown, believed = e->trust;

    if (memcmp(a->cert.identity_key, e->identity.keys.identity_key, CLUSTER_KEY_LEN) != 0 ||
        memcmp(a->cert.static_key, e->identity.keys.static_key, CLUSTER_KEY_LEN) != 0)
        return ERR_MALFORMED;
    trust_from_roots(&a->roots, &a->cert.cluster, &shown);
    if (!trust_has_root(&shown, a->cert.issuer))
        return ERR_MALFORMED;
    trust_follow(&believed, &shown);
    return cert_check(&a->cert, &believed, wall_now(), 0);
}

static int receive_grant(struct enroll *e, struct slice body)
{
    struct field_error err;
    int rc = fields_decode(&enroll_answer_type, body, &e->answer, &err);

    if (rc < 0)
        return rc;
    rc = check_grant(e, &e->answer);
    if (rc < 0) {
        fields_deinit(&enroll_answer_type, &e->answer);
        return rc;
    }
    finish(e, 0);
    return 0;
}

static int receive_refusal(struct enroll *e, struct slice body)
{
    struct enroll_refusal r;
    struct field_error err;
    int rc = fields_decode(&enroll_refusal_type, body, &r, &err);

    if (rc < 0)
        return rc;
    explain(e, "%s: %s", e->addresses[e->next_address], r.why == NULL ? err_text(r.code) : r.why);
    finish(e, r.code < 0 ? r.code : ERR_MALFORMED);
    fields_deinit(&enroll_refusal_type, &r);
    return 0;
}

static int on_frame(void *ctx, struct conn *c, const struct frame *f)
{
    struct enroll *e = ctx;

    (void)c;
    if (f->type == FRAME_GRANT)
        return receive_grant(e, f->body);
    return f->type == FRAME_REFUSE ? receive_refusal(e, f->body) : ERR_MALFORMED;
}

static int on_tick(void *ctx, struct conn *c, mono_ns now)
{
    (void)ctx;
    (void)c;
    (void)now;
    return 0; /* its deadline is enough */
}

/* A joiner that was refused in the handshake has its answer; one that lost the connection while
 * waiting does not know whether it was let in, but asking again elsewhere does no harm: same keys.
 */
static void on_down(void *ctx, struct conn *c, int reason)
{
    struct enroll *e = ctx;

    (void)c;
    e->conn = NULL;
    address_failed(e, reason);
}

static void on_released(void *ctx, struct conn *c)
{
    struct enroll *e = ctx;

    (void)c;
    if (e->state == ENROLL_DONE && e->shared.conn_count == 0)
        finish_soon(e);
}

static const struct conn_events conn_events = {
    .on_hello = on_hello,
    .on_open = on_open,
    .on_frame = on_frame,
    .next_frame = next_frame,
    .on_tick = on_tick,
    .on_down = on_down,
    .on_released = on_released,
};

/* --- Getting there --- */

static void connect_to(struct enroll *e, const struct sockaddr *address)
{
    enum link_purpose purpose = e->kind == ENROLL_JOIN ? LINK_PURPOSE_JOIN : LINK_PURPOSE_RENEW;
    int rc = conn_dial(&e->shared, address, purpose, &e->conn);

    e->state = ENROLL_CONNECTING;
    if (rc < 0)
        address_failed(e, rc);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct enroll *e = CONTAINER_OF(req, struct enroll, resolve);

    e->is_resolving = false;
    if (e->state == ENROLL_DONE)
        finish_soon(e);
    else if (status < 0)
        address_failed(e, status);
    else
        connect_to(e, found->ai_addr);
    uv_freeaddrinfo(found);
}

static int start_resolving(struct enroll *e, const char *address)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    char host[256], service[8];
    uint16_t port;
    int rc = address_split(address, host, &port);

    if (rc < 0)
        return rc;
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    rc = uv_getaddrinfo(e->loop, &e->resolve, on_resolved, host, service, &hints);
    e->is_resolving = rc == 0;
    return rc;
}

static void try_next(struct enroll *e)
{
    int rc;

    e->state = ENROLL_RESOLVING;
    rc = start_resolving(e, e->addresses[e->next_address]);
    if (rc < 0)
        address_failed(e, rc);
}

static void on_start(uv_timer_t *timer)
{
    try_next(timer->data);
}

/* --- The owner's calls --- */

static int check_config(const struct enroll_config *cfg)
{
    char host[256];
    uint16_t port;

    if (cfg->address_count == 0 || cfg->address_count > ADDRESSES_MAX ||
        cfg->description.len > ENROLL_DESCRIPTION_LEN_MAX)
        return ERR_INVALID;
    if ((cfg->kind == ENROLL_JOIN) != (cfg->token != NULL) ||
        (cfg->kind == ENROLL_RENEW && !cfg->identity->is_member))
        return ERR_INVALID;
    for (size_t i = 0; i < cfg->address_count; i++) {
        if (strlen(cfg->addresses[i]) >= ADDRESS_LEN ||
            address_split(cfg->addresses[i], host, &port) < 0)
            return ERR_INVALID;
    }
    return 0;
}

static void copy_config(struct enroll *e, const struct enroll_config *cfg)
{
    e->kind = cfg->kind;
    e->address_count = cfg->address_count;
    for (size_t i = 0; i < cfg->address_count; i++)
        (void)snprintf(e->addresses[i], ADDRESS_LEN, "%s", cfg->addresses[i]); /* checked */
    e->identity.keys = cfg->identity->keys;
    if (cfg->kind == ENROLL_RENEW)
        e->identity = *cfg->identity;
    else
        e->token = *cfg->token;
}

int enroll_start(struct uv_loop_s *loop, const struct enroll_config *cfg,
                 void (*done)(void *ctx, const struct enroll_result *result), void *ctx,
                 struct enroll **out)
{
    struct enroll *e;
    int rc = check_config(cfg);

    if (rc < 0)
        return rc;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return -ENOMEM;
    copy_config(e, cfg);
    e->loop = loop;
    e->done = done;
    e->ctx = ctx;
    buf_init(&e->description, ENROLL_DESCRIPTION_LEN_MAX);
    rc = buf_append_slice(&e->description, cfg->description);
    e->shared = (struct conn_shared){
        .loop = loop,
        .events = &conn_events,
        .ctx = e,
        .identity = &e->identity,
        .scratch = malloc(sizeof(*e->shared.scratch)),
        .rekey_len = REKEY_LEN,
        .rekey_count = &e->rekey_count,
    };
    if (rc == 0 && e->shared.scratch == NULL)
        rc = -ENOMEM;
    (void)uv_timer_init(loop, &e->timer); /* always 0 */
    e->timer.data = e;
    if (rc < 0) {
        uv_close((uv_handle_t *)&e->timer, on_timer_closed);
        return rc;
    }
    (void)uv_timer_start(&e->timer, on_start, 0, 0); /* fails only without a callback */
    *out = e;
    return 0;
}

void enroll_cancel(struct enroll *e)
{
    explain(e, "given up");
    finish(e, ERR_CLOSED);
}
