/* A place in another node's cluster: a certificate for a token, then the parts are opened. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/cluster/token.h"
#include "node/description.h"
#include "node/member_impl.h"

static int keep_grant(struct member *m, const struct enroll_grant *grant)
{
    int rc = 0;

    m->identity.cert = grant->cert;
    m->identity.trust = grant->trust;
    m->identity.is_member = true;
    str_list_clear(&m->file.managers);
    str_list_clear(&m->file.manager_addrs);
    for (size_t i = 0; i < grant->manager_count && rc == 0; i++) {
        rc = str_list_append(&m->file.managers, grant->managers[i].node.text);
        if (rc == 0)
            rc = str_list_append(&m->file.manager_addrs, grant->managers[i].address);
    }
    return rc;
}

static void on_granted(void *ctx, const struct enroll_result *result)
{
    struct member *m = ctx;
    int rc;

    if (member_enroll_is_over(m))
        return;
    if (result->status < 0) {
        (void)snprintf(m->error, sizeof(m->error), "%s", result->why);
        member_abandon(m, result->status);
        return;
    }
    rc = keep_grant(m, result->grant);
    if (rc == 0)
        rc = member_save(m);
    if (rc == 0)
        rc = member_activate(m);
    if (rc < 0) {
        member_abandon(m, rc);
        return;
    }
    m->state = MEMBER_ACTIVE;
    log_info("member", "joined cluster %s as node %s", m->identity.cert.cluster.text,
             m->identity.cert.node.text);
    member_serve(m);
    if (m->identity.cert.role != ROLE_MANAGER)
        member_finish(m, 0, "");
}

void join_on_manager(struct member *m)
{
    const struct id *self = &m->identity.cert.node;

    if (m->done != NULL && m->state == MEMBER_ACTIVE && m->manager != NULL &&
        manager_leader(m->manager) != NULL &&
        store_get(manager_store(m->manager), OBJECT_NODE, self) != NULL)
        member_finish(m, 0, "");
}

void join_is_late(struct member *m)
{
    if (m->state == MEMBER_ACTIVE)
        member_finish(m, ERR_TIMEOUT,
                      "This node has joined, but is no manager yet: the managers have to agree on "
                      "it, and it goes on in the background. `shoal info` shows how far it is.");
}

static int start_join(struct member *m, const struct member_join *join)
{
    struct node_description description;
    struct join_token token;
    struct buf bytes;
    int rc = token_parse(slice_of_str(join->token), &token);

    if (rc < 0) {
        (void)snprintf(m->error, sizeof(m->error),
                       "invalid join token: it begins with SHTKN-1- and is "
                       "printed by `shoal token` on a manager");
        return ERR_INVALID;
    }
    buf_init(&bytes, ENROLL_DESCRIPTION_LEN_MAX);
    rc = description_of_machine(m->cfg.options, m->file.advertise, &description);
    if (rc == 0) {
        rc = fields_encode(&node_description_type, &description, &bytes, NULL);
        fields_deinit(&node_description_type, &description);
    }
    if (rc == 0)
        rc = enroll_start(m->cfg.loop,
                          &(struct enroll_config){ .kind = ENROLL_JOIN,
                                                   .addresses = join->remotes,
                                                   .address_count = join->remote_count,
                                                   .identity = &m->identity,
                                                   .token = &token,
                                                   .description = buf_slice(&bytes) },
                          on_granted, m, &m->enroll);
    buf_deinit(&bytes);
    sodium_memzero(&token, sizeof(token));
    return rc;
}

void member_join(struct member *m, const struct member_join *join, member_done done, void *owner)
{
    int rc;

    if (member_begin(m, done, owner) < 0)
        return;
    m->file.raft_id = 0;
    rc = member_choose_address(m, join->advertise);
    if (rc == 0)
        rc = member_read_data_key(m);
    if (rc == 0)
        rc = start_join(m, join);
    if (rc < 0)
        member_abandon(m, rc);
}
