/* Certificates: those that this node signs as a manager, and its own.
 *
 * When its own is due is renewal.h's to say. A manager signs its own, for it has the root's key as
 * the others do, and one that is alone has nobody to ask; everybody else asks a manager. Until a
 * new one is on disk and shown to the peers, the old one counts. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/cluster/ca.h"
#include "node/member_impl.h"

#define ASKED_MAX 16 /* managers, in one renewal */

int cert_sign(const struct cluster *cluster, struct cert *cert)
{
    const struct ca_root *root = cluster->roots.count == 0 ? NULL : &cluster->roots.items[0];
    wall_ns validity = cluster->spec.ca.node_cert_expiry;
    struct ca ca;
    int rc;

    if (root == NULL || root->secret_key.len < CLUSTER_KEY_LEN)
        return ERR_UNAVAILABLE;
    ca_init(&ca, root->secret_key.ptr);
    rc = ca_issue_valid(&ca, cert, member_wall_now(), validity == 0 ? CERT_VALIDITY_NS : validity);
    ca_deinit(&ca);
    return rc;
}

/* --- What this node should have */

/* A demoted manager that raft has not let go of yet keeps the certificate of one. */
static struct renewal_wish wish_of(const struct member *m)
{
    const struct cert *cert = &m->identity.cert;
    struct renewal_wish wish = { .is_known = true, .role = cert->role };

    memcpy(wish.root, cert->issuer, CLUSTER_KEY_LEN);
    if (m->has_record && !(m->record.role == ROLE_WORKER && m->manager != NULL))
        wish.role = m->record.role;
    if (m->has_record && m->record.roots.count > 0)
        memcpy(wish.root, m->record.roots.items[0].public_key, CLUSTER_KEY_LEN);
    return wish;
}

static mono_ns wait_of(struct member *m)
{
    struct renewal_wish wish = wish_of(m);

    return renewal_wait(&m->renewal, &m->identity.cert, &wish, member_wall_now(), uv_hrtime());
}

static void failed(struct member *m)
{
    uint64_t jitter;

    randombytes_buf(&jitter, sizeof(jitter));
    renewal_failed(&m->renewal, uv_hrtime(), jitter);
}

/* --- A new certificate */

static void take(struct member *m, const struct cert *cert, const struct trust *trust)
{
    struct renewal_wish wish = wish_of(m);

    if (!renewal_accepts(&m->identity.cert, cert, &wish)) {
        failed(m);
        log_warn("member", "a certificate of an older root is not taken; asking again");
        cert_check_renewal(m);
        return;
    }
    m->identity.cert = *cert;
    m->identity.trust = *trust;
    if (member_save(m) < 0 || links_set_identity(m->links, &m->identity) < 0) {
        m->cfg.on_failed(m->cfg.ctx, "the new certificate cannot be kept");
        return;
    }
    member_show_cert(m);
    memcpy(m->description.issuer, cert->issuer, CLUSTER_KEY_LEN);
    traffic_describe(m);
    log_info("member", "new certificate as %s",
             enum_text(&node_role_names, (int)m->identity.cert.role));
    renewal_done(&m->renewal);
    if (wait_of(m) == 0)
        failed(m); /* whoever signed it does not know yet what is wanted */
    role_follow(m);
}

static void on_renewed(void *ctx, const struct enroll_result *result)
{
    struct member *m = ctx;

    if (member_enroll_is_over(m))
        return;
    if (result->status == 0) {
        take(m, &result->grant->cert, &result->grant->trust);
        return;
    }
    failed(m);
    log_warn("member", "the certificate was not renewed: %s; trying again", result->why);
    cert_check_renewal(m);
}

/* Any of them may be asked; beginning with one by chance shares the work out. */
static size_t choose_managers(const struct member *m, const char *out[ASKED_MAX])
{
    size_t known = m->file.manager_addrs.count, count = MIN(known, (size_t)ASKED_MAX);
    size_t first = known == 0 ? 0 : randombytes_uniform((uint32_t)known);

    for (size_t i = 0; i < count; i++)
        out[i] = m->file.manager_addrs.items[(first + i) % known];
    return count;
}

static int ask(struct member *m)
{
    const char *addresses[ASKED_MAX];
    struct enroll_config cfg = { .kind = ENROLL_RENEW,
                                 .addresses = addresses,
                                 .address_count = choose_managers(m, addresses),
                                 .identity = &m->identity };

    return cfg.address_count == 0 ? ERR_UNAVAILABLE
                                  : enroll_start(m->cfg.loop, &cfg, on_renewed, m, &m->enroll);
}

/* False: this node is no manager, or does not know enough to act as one. */
static bool sign_own(struct member *m)
{
    const struct store *s = m->manager == NULL ? NULL : manager_store(m->manager);
    const struct cluster *cluster = s == NULL ? NULL : store_the_cluster(s);
    const struct node *n = s == NULL ? NULL : store_node(s, &m->identity.cert.node);
    struct cert cert = m->identity.cert;
    struct trust trust;

    if (cluster == NULL || n == NULL || n->spec.role != ROLE_MANAGER || m->closing_manager)
        return false;
    cert.role = ROLE_MANAGER;
    if (cert_sign(cluster, &cert) < 0)
        return false;
    trust = ca_trust(&m->identity.trust, cluster->roots.items, cluster->roots.count);
    take(m, &cert, &trust);
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    cert_check_renewal(timer->data);
}

void cert_check_renewal(struct member *m)
{
    mono_ns wait;
    int rc;

    if (m->state != MEMBER_ACTIVE || m->is_closing || m->enroll != NULL)
        return; /* what ends that comes here again */
    wait = wait_of(m);
    if (wait == 0 && sign_own(m))
        return;
    if (wait == 0) {
        rc = ask(m);
        if (rc == 0)
            return;
        failed(m);
        log_warn("member", "no manager can be asked for a new certificate now: %s", err_text(rc));
        wait = wait_of(m);
    }
    (void)uv_timer_start(&m->renew_timer, on_timer, wait / NS_PER_MS + 1, 0); /* an open handle */
}
