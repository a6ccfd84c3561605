/* node/cluster/link_enroll.c - The manager's side of enrolment: see enroll.h.
 *
 *     begin (hello was checked) -> frame (the request) -> on_enroll ... grant or refuse -> answer
 *
 * The one who asks waits on its connection; the answer may take a Raft commit. Only the request
 * itself is looked at here: it must come first and once, and its signature must be the identity
 * key's over this very handshake, so that nobody enrols a key that is not his. Whether the secret
 * is right is for the cluster's state to say. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_address.h"
#include "node/cluster/link_links.h"

int enrollment_begin(struct links *l, struct conn *c, const struct link_hello *hello)
{
    char host[LINK_ADDRESS_LEN];
    struct enrollment *e;

    if (l->events.on_enroll == NULL)
        return ERR_UNSUPPORTED;
    address_format_host((const struct sockaddr *)&c->address, host);
    if (l->enrollment_count >= ENROLL_PENDING_MAX ||
        !attempts_may_try(&l->attempts, host, uv_hrtime()))
        return ERR_FULL;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return -ENOMEM;
    e->conn = c;
    e->kind = hello->purpose == LINK_PURPOSE_JOIN ? ENROLL_JOIN : ENROLL_RENEW;
    if (e->kind == ENROLL_RENEW)
        e->cert = *hello->cert;
    buf_init(&e->answer, FRAME_BODY_LEN_MAX);
    list_push_back(&l->enrollments, &e->link);
    l->enrollment_count++;
    c->owner = e;
    return 0;
}

void enrollment_gone(struct links *l, struct conn *c)
{
    struct enrollment *e = c->owner;

    if (e == NULL)
        return;
    c->owner = NULL;
    list_remove(&e->link);
    l->enrollment_count--;
    if (e->answer.ptr != NULL)
        sodium_memzero(e->answer.ptr, e->answer.cap);
    buf_deinit(&e->answer);
    free(e);
}

/* --- The request --- */

static int check_request(const struct enrollment *e, const struct enroll_request *r)
{
    if (e->kind == ENROLL_RENEW &&
        memcmp(r->identity_key, e->cert.identity_key, CLUSTER_KEY_LEN) != 0)
        return ERR_UNAUTHENTICATED;
    if (!identity_key_verify(r->identity_key, ENROLL_DOMAIN, conn_handshake_hash(e->conn),
                             r->signature))
        return ERR_UNAUTHENTICATED;
    return 0;
}

static void ask(struct links *l, struct enrollment *e, const struct enroll_request *r)
{
    struct link_enrollment request = {
        .ticket = e->ticket,
        .kind = e->kind,
        .address = e->conn->address_text,
        .cert = e->kind == ENROLL_RENEW ? &e->cert : NULL,
        .description = bytes_slice(&r->description),
    };

    memcpy(request.identity_key, r->identity_key, CLUSTER_KEY_LEN);
    memcpy(request.static_key, e->conn->static_key, CLUSTER_KEY_LEN);
    memcpy(request.secret, r->secret, TOKEN_SECRET_LEN);
    l->events.on_enroll(l->events.ctx, &request);
    sodium_memzero(&request, sizeof(request));
}

int enrollment_frame(struct links *l, struct conn *c, const struct frame *f)
{
    struct enrollment *e = c->owner;
    struct enroll_request request;
    struct field_error err;
    int rc;

    if (f->type != FRAME_ENROLL || e->ticket != 0)
        return ERR_MALFORMED;
    rc = fields_decode(&enroll_request_type, f->body, &request, &err);
    if (rc < 0)
        return rc;
    rc = check_request(e, &request);
    if (rc == 0) {
        e->ticket = ++l->last_ticket;
        memcpy(e->identity_key, request.identity_key, CLUSTER_KEY_LEN);
        conn_set_deadline(c, mono_after(uv_hrtime(), ENROLL_ANSWER_NS));
        ask(l, e, &request);
    }
    fields_deinit(&enroll_request_type, &request);
    return rc;
}

/* --- The answer --- */

static struct enrollment *find_ticket(const struct links *l, uint64_t ticket)
{
    LIST_EACH(it, &l->enrollments)
    {
        struct enrollment *e = CONTAINER_OF(it, struct enrollment, link);

        if (e->ticket == ticket && ticket != 0 && e->answer.len == 0)
            return e;
    }
    return NULL;
}

/* Keeps the answer as a frame until its connection takes it. */
static int set_answer(struct links *l, struct enrollment *e, enum frame_type type,
                      const struct fields *fields, const void *message)
{
    struct field_error err;
    int rc = fields_encode(fields, message, &e->answer, &err);

    if (rc < 0) {
        buf_clear(&e->answer);
        return rc;
    }
    e->answer_type = type;
    l->has_answers = true;
    links_wake(l);
    return 0;
}

static bool fits(const struct links *l, const struct enrollment *e, const struct enroll_grant *g)
{
    return memcmp(g->cert.identity_key, e->identity_key, CLUSTER_KEY_LEN) == 0 &&
           memcmp(g->cert.static_key, e->conn->static_key, CLUSTER_KEY_LEN) == 0 &&
           id_equal(&g->cert.cluster, &l->identity.cert.cluster) &&
           trust_has_root(&g->trust, g->cert.issuer) && g->manager_count <= ENROLL_MANAGERS_MAX;
}

static int fill_answer(const struct enroll_grant *g, struct enroll_answer *a)
{
    int rc = trust_to_roots(&g->trust, &a->roots);

    a->cert = g->cert;
    if (rc == 0)
        rc = bytes_set(&a->gossip_keys, g->gossip_keys);
    for (size_t i = 0; rc == 0 && i < g->manager_count; i++) {
        struct enroll_peer *m = LIST_ADD(&a->managers);

        if (m == NULL)
            return -ENOMEM;
        m->node = g->managers[i].node;
        rc = str_set(&m->address, g->managers[i].address);
    }
    return rc;
}

int link_enrollment_grant(struct links *l, uint64_t ticket, const struct enroll_grant *grant)
{
    struct enrollment *e = find_ticket(l, ticket);
    struct enroll_answer answer = { 0 };
    int rc;

    if (e == NULL)
        return ERR_CLOSED;
    if (!fits(l, e, grant))
        return ERR_INVALID;
    rc = fill_answer(grant, &answer);
    if (rc == 0)
        rc = set_answer(l, e, FRAME_GRANT, &enroll_answer_type, &answer);
    fields_deinit(&enroll_answer_type, &answer);
    if (rc == 0)
        l->counters.enrolled++;
    return rc;
}

void link_enrollment_refuse(struct links *l, uint64_t ticket, int err, const char *why)
{
    struct enrollment *e = find_ticket(l, ticket);
    struct enroll_refusal refusal = { .code = err };
    char host[LINK_ADDRESS_LEN], text[ENROLL_WHY_LEN_MAX + 1];

    if (e == NULL)
        return;
    l->counters.enroll_failed++;
    if (err == ERR_UNAUTHENTICATED) {
        address_format_host((const struct sockaddr *)&e->conn->address, host);
        attempts_failed(&l->attempts, host, uv_hrtime());
        links_refused(l, e->conn->address_text, err, "join token");
    }
    (void)snprintf(text, sizeof(text), "%s", why); /* a long explanation is cut */
    refusal.why = text;
    if (set_answer(l, e, FRAME_REFUSE, &enroll_refusal_type, &refusal) < 0) {
        struct conn *c = e->conn; /* no memory, or text that is not UTF-8: say the code alone */

        refusal.why = NULL;
        if (set_answer(l, e, FRAME_REFUSE, &enroll_refusal_type, &refusal) < 0)
            conn_set_deadline(c, 0);
    }
}

size_t enrollment_next(struct links *l, struct conn *c, uint8_t *out)
{
    struct enrollment *e = c->owner;
    struct frame f;
    size_t len;

    if (e == NULL || e->answer.len == 0)
        return 0;
    f = (struct frame){ .type = e->answer_type, .body = buf_slice(&e->answer) };
    len = frame_encode(&f, out);
    enrollment_gone(l, c);
    conn_set_deadline(c, mono_after(uv_hrtime(), LINGER_NS)); /* it hangs up when it has read */
    return len;
}

void enrollments_pump(struct links *l)
{
    if (!l->has_answers)
        return;
    l->has_answers = false;
    LIST_EACH_SAFE(it, &l->enrollments)
    {
        struct enrollment *e = CONTAINER_OF(it, struct enrollment, link);

        if (e->answer.len > 0)
            conn_flush(e->conn);
    }
}
