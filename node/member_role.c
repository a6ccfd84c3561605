/* Who may take part, as what: admission, enrolment, and this node's own role. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/cluster/ca.h"
#include "node/member_impl.h"

/* --- Admission: what the certificate says, unless the store knows better */

int role_admit(void *ctx, const struct cert *cert, enum node_role *role)
{
    const struct member *m = ctx;
    const struct store *s;
    const struct node *n;

    if (m->manager == NULL)
        return 0;
    s = manager_store(m->manager);
    if (store_removal(s, &cert->node) != NULL)
        return ERR_REMOVED;
    n = store_node(s, &cert->node);
    if (n != NULL && n->spec.role == ROLE_WORKER)
        *role = ROLE_WORKER;
    return 0;
}

/* --- Enrolment, on a manager: a new node, or a new certificate for a known one */

/* Lives until its proposal is decided. */
struct enrolment {
    struct member *member;
    uint64_t ticket;
    struct enroll_grant grant;
};

/* Whoever has joined will need managers to talk to: this one, and those that it knows. */
static void list_managers(const struct member *m, struct enroll_grant *grant)
{
    struct store_iter it;

    STORE_EACH(&it, manager_store(m->manager), OBJECT_NODE, struct node, n)
    {
        struct enroll_manager *out = &grant->managers[grant->manager_count];

        if (n->spec.role != ROLE_MANAGER || n->description.link_addrs.count == 0 ||
            grant->manager_count == ENROLL_MANAGERS_MAX)
            continue;
        out->node = n->id;
        (void)snprintf(out->address, sizeof(out->address), "%s",
                       n->description.link_addrs.items[0]);
        grant->manager_count++;
    }
}

static void grant_or_refuse(struct enrolment *e, int err, const char *why)
{
    int rc;

    if (err < 0) {
        link_enrollment_refuse(e->member->links, e->ticket, err, why);
    } else {
        rc = link_enrollment_grant(e->member->links, e->ticket, &e->grant);
        if (rc < 0)
            log_warn("enroll", "a certificate cannot be handed over: %s", err_text(rc));
    }
    free(e);
}

/* The root may have changed meanwhile: what is applied here now includes that. */
static int sign_again(struct enrolment *e)
{
    const struct cluster *c =
        e->member->manager == NULL ? NULL : store_the_cluster(manager_store(e->member->manager));

    if (c == NULL || c->roots.count == 0 ||
        memcmp(c->roots.items[0].public_key, e->grant.cert.issuer, CLUSTER_KEY_LEN) == 0)
        return 0;
    e->grant.trust = ca_trust(&e->member->identity.trust, c->roots.items, c->roots.count);
    return cert_sign(c, &e->grant.cert);
}

static void on_joined(void *owner, int err, const struct field_error *why)
{
    struct enrolment *e = owner;

    if (err == 0)
        err = sign_again(e);
    grant_or_refuse(e, err, why->text[0] != '\0' ? why->text : err_text(err));
}

static int role_of_secret(const struct cluster *cluster, const uint8_t secret[TOKEN_SECRET_LEN],
                          enum node_role *out)
{
    const struct bytes *worker = &cluster->join.worker, *manager = &cluster->join.manager;

    if (manager->len == TOKEN_SECRET_LEN && token_secret_equal(secret, manager->ptr)) {
        *out = ROLE_MANAGER;
        return 0;
    }
    if (worker->len == TOKEN_SECRET_LEN && token_secret_equal(secret, worker->ptr)) {
        *out = ROLE_WORKER;
        return 0;
    }
    return ERR_UNAUTHENTICATED;
}

static int make_node(const struct link_enrollment *request, enum node_role role, struct node *out)
{
    uint8_t bits[ID_RANDOM_LEN];
    struct field_error err;
    int rc = fields_decode(&node_description_type, request->description, &out->description, &err);

    if (rc < 0)
        return rc;
    randombytes_buf(bits, sizeof(bits));
    out->id = id_from_random(bits);
    out->spec.role = role;
    out->role = role;
    out->status.state = NODE_UNKNOWN;
    memcpy(out->identity_key, request->identity_key, CLUSTER_KEY_LEN);
    memcpy(out->static_key, request->static_key, CLUSTER_KEY_LEN);
    return 0;
}

static int prepare_join(struct member *m, const struct link_enrollment *request,
                        struct enrolment *e, struct transaction *t, struct field_error *why)
{
    const struct cluster *cluster = store_the_cluster(manager_store(m->manager));
    struct node node = { 0 };
    enum node_role role;
    struct admit admit;
    int rc;

    rc = role_of_secret(cluster, request->secret, &role);
    if (rc < 0) {
        (void)snprintf(why->text, sizeof(why->text),
                       "the join token is not valid any more: ask a manager for the present one "
                       "with `shoal token`");
        return rc;
    }
    rc = make_node(request, role, &node);
    if (rc == 0) {
        e->grant.cert.node = node.id;
        e->grant.cert.role = role;
        rc = cert_sign(cluster, &e->grant.cert);
        memcpy(node.description.issuer, e->grant.cert.issuer, CLUSTER_KEY_LEN);
    }
    manager_admit(m->manager, &admit, t, why);
    if (rc == 0)
        rc = admit_node_join(&admit, &node);
    fields_deinit(&node_type, &node);
    return rc;
}

static void join(struct member *m, const struct link_enrollment *request, struct enrolment *e)
{
    struct transaction t = { 0 };
    struct field_error why = { "" };
    int rc = prepare_join(m, request, e, &t, &why);

    if (rc < 0) {
        fields_deinit(&transaction_type, &t);
        grant_or_refuse(e, rc, why.text[0] != '\0' ? why.text : err_text(rc));
        return;
    }
    manager_propose(m->manager, &t, on_joined, e);
}

static void renew(struct member *m, const struct link_enrollment *request, struct enrolment *e)
{
    const struct store *s = manager_store(m->manager);
    const struct node *n = store_node(s, &request->cert->node);
    int rc;

    if (n == NULL || store_removal(s, &request->cert->node) != NULL) {
        grant_or_refuse(e, ERR_REMOVED, "this node was removed from the cluster");
        return;
    }
    if (memcmp(n->identity_key, request->identity_key, CLUSTER_KEY_LEN) != 0) {
        grant_or_refuse(e, ERR_UNAUTHENTICATED, "this node's key is not the one it joined with");
        return;
    }
    e->grant.cert.node = n->id;
    e->grant.cert.role = n->spec.role;
    rc = cert_sign(store_the_cluster(s), &e->grant.cert);
    grant_or_refuse(e, rc, err_text(rc));
}

void role_on_enroll(void *ctx, const struct link_enrollment *request)
{
    struct member *m = ctx;
    const struct cluster *cluster;
    struct enrolment *e;

    if (m->manager == NULL || store_the_cluster(manager_store(m->manager)) == NULL) {
        link_enrollment_refuse(m->links, request->ticket, ERR_UNAVAILABLE,
                               "this node is no manager; join by the address of one");
        return;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        link_enrollment_refuse(m->links, request->ticket, -ENOMEM, "out of memory");
        return;
    }
    e->member = m;
    e->ticket = request->ticket;
    cluster = store_the_cluster(manager_store(m->manager));
    e->grant.trust = ca_trust(&m->identity.trust, cluster->roots.items, cluster->roots.count);
    e->grant.cert.cluster = m->identity.cert.cluster;
    memcpy(e->grant.cert.identity_key, request->identity_key, CLUSTER_KEY_LEN);
    memcpy(e->grant.cert.static_key, request->static_key, CLUSTER_KEY_LEN);
    list_managers(m, &e->grant);
    if (request->kind == ENROLL_JOIN)
        join(m, request, e);
    else
        renew(m, request, e);
}

/* --- This node's own role */

/* Becomes a manager once it has the certificate of one. */
void role_follow(struct member *m)
{
    if (m->has_record && m->record.role == ROLE_MANAGER && m->record.raft_id != 0 &&
        m->manager == NULL && m->identity.cert.role == ROLE_MANAGER && m->state == MEMBER_ACTIVE &&
        !m->is_closing) {
        if (m->file.raft_id != m->record.raft_id) { /* of an earlier time as a manager */
            member_remove_dir(m, "raft");
            member_remove_dir(m, "store");
        }
        m->file.raft_id = m->record.raft_id;
        if (member_save(m) < 0 || member_start_manager(m, false) < 0)
            log_error("member", "this node cannot become a manager: %s", m->error);
    }
    cert_check_renewal(m);
}

/* Raft has let go of this manager: it is a worker from now on. */
void role_on_removed(void *ctx)
{
    struct member *m = ctx;

    if (m->state == MEMBER_LEAVING)
        leave_on_removed(m);
    if (m->state != MEMBER_ACTIVE || m->is_closing || m->manager == NULL || m->closing_manager)
        return;
    log_info("member", "this node is no manager any more");
    m->file.raft_id = 0;
    if (member_save(m) < 0)
        log_warn("member", "the new role cannot be written");
    member_stop_manager(m);
}

/* The links check their peers again by the new roots, and show them to those who join or renew. */
static int take_trust(struct member *m, const struct cluster_record *record)
{
    struct trust trust = ca_trust(&m->identity.trust, record->roots.items, record->roots.count);
    int rc;

    if (trust.root_count == 0 ||
        (trust.root_count == m->identity.trust.root_count &&
         memcmp(trust.roots, m->identity.trust.roots, sizeof(trust.roots)) == 0))
        return 0;
    m->identity.trust = trust;
    rc = member_save(m);
    return rc < 0 ? rc : links_set_identity(m->links, &m->identity);
}

void role_on_cluster(void *ctx, const struct cluster_record *record)
{
    struct member *m = ctx;
    struct cluster_record copy;

    if (fields_copy(&cluster_record_type, record, &copy) < 0)
        return; /* it comes again with the next change */
    fields_deinit(&cluster_record_type, &m->record);
    m->record = copy;
    m->has_record = true;
    if (take_trust(m, record) < 0)
        log_warn("member", "the cluster's roots cannot be taken over");
    member_open_gossip(m, record);
    role_follow(m);
}
