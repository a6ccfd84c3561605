/* Making a cluster: an authority, keys and tokens, this node as its first manager, and all of
 * that as the first entry of a new log.
 *
 *     member_init -> the parts are opened, with a manager -> it leads -> propose_cluster
 *                 -> committed: active
 *
 * Whatever fails on the way, member_abandon() closes and forgets what there is. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/cluster/ca.h"
#include "node/cluster/token.h"
#include "node/member_impl.h"

#define SUBNET_SIZE_DEFAULT 24

static int fresh_bytes(struct bytes *out, size_t len)
{
    uint8_t random[64];
    int rc;

    randombytes_buf(random, len);
    rc = bytes_set(out, slice_of(random, len));
    sodium_memzero(random, sizeof(random));
    return rc;
}

static struct id fresh_id(void)
{
    uint8_t bits[ID_RANDOM_LEN];

    randombytes_buf(bits, sizeof(bits));
    return id_from_random(bits);
}

/* The authority, and this node's certificate from it. */
static int make_authority(struct member *m, struct cluster *c)
{
    struct ca_root *root = LIST_ADD(&c->roots);
    struct ca ca;
    int rc = root == NULL ? -ENOMEM : fresh_bytes(&root->secret_key, CLUSTER_KEY_LEN);

    if (rc < 0)
        return rc;
    ca_init(&ca, root->secret_key.ptr);
    memcpy(root->public_key, ca.root, CLUSTER_KEY_LEN);
    m->identity.cert = (struct cert){ .cluster = c->id, .node = fresh_id(), .role = ROLE_MANAGER };
    memcpy(m->identity.cert.identity_key, m->identity.keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(m->identity.cert.static_key, m->identity.keys.static_key, CLUSTER_KEY_LEN);
    rc = cert_sign(c, &m->identity.cert);
    m->identity.trust =
        (struct trust){ .cluster = c->id, .root_count = 1, .roots = { ca_root(&ca) } };
    m->identity.is_member = true;
    ca_deinit(&ca);
    return rc;
}

static int make_cluster(struct member *m, const struct member_init *init, struct cluster *c)
{
    struct gossip_secret *gossip;
    int rc;

    c->id = fresh_id();
    rc = fields_copy(&cluster_spec_type, init->spec, &c->spec);
    if (rc == 0 && (c->spec.name == NULL || c->spec.name[0] == '\0'))
        rc = str_set(&c->spec.name, "default");
    if (rc == 0)
        rc = make_authority(m, c);
    if (rc == 0)
        rc = fresh_bytes(&c->join.worker, TOKEN_SECRET_LEN);
    if (rc == 0)
        rc = fresh_bytes(&c->join.manager, TOKEN_SECRET_LEN);
    gossip = rc == 0 ? LIST_ADD(&c->gossip_keys) : NULL;
    if (rc == 0)
        rc = gossip == NULL ? -ENOMEM : fresh_bytes(&gossip->key, GOSSIP_KEY_LEN);
    if (rc < 0)
        return rc;
    gossip->epoch = 1;
    c->epoch = 1;
    c->gossip_key_rotated_at = member_wall_now();
    c->data_port = m->cfg.options->data_port;
    c->subnet_size = init->subnet_size == 0 ? SUBNET_SIZE_DEFAULT : init->subnet_size;
    for (size_t i = 0; i < init->address_pool_count && rc == 0; i++)
        rc = str_list_append(&c->address_pools, init->address_pools[i]);
    return rc;
}

static int make_first_node(struct member *m, enum availability availability, struct node *n)
{
    n->id = m->identity.cert.node;
    n->spec.role = n->role = ROLE_MANAGER;
    n->spec.availability = availability;
    n->status.state = NODE_READY;
    memcpy(n->identity_key, m->identity.keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(n->static_key, m->identity.keys.static_key, CLUSTER_KEY_LEN);
    n->manager = calloc(1, sizeof(*n->manager));
    if (n->manager == NULL)
        return -ENOMEM;
    n->manager->raft_id = m->file.raft_id;
    n->manager->reachability = REACHABILITY_REACHABLE;
    if (m->description.link_addrs.count > 0 &&
        str_set(&n->manager->addr, m->description.link_addrs.items[0]) < 0)
        return -ENOMEM;
    return fields_copy(&node_description_type, &m->description, &n->description);
}

void init_forget(struct member *m)
{
    if (m->new_cluster != NULL)
        object_free(OBJECT_CLUSTER, (struct object *)(void *)m->new_cluster);
    if (m->new_node != NULL)
        object_free(OBJECT_NODE, (struct object *)(void *)m->new_node);
    m->new_cluster = NULL;
    m->new_node = NULL;
}

static void on_cluster_made(void *owner, int err, const struct field_error *why)
{
    struct member *m = owner;

    if (err == 0)
        err = member_save(m);
    if (err < 0) {
        (void)snprintf(m->error, sizeof(m->error), "the cluster could not be made: %.300s",
                       why->text[0] != '\0' ? why->text : err_text(err));
        member_abandon(m, err);
        return;
    }
    m->state = MEMBER_ACTIVE;
    log_info("member", "cluster %s, node %s", m->identity.cert.cluster.text,
             m->identity.cert.node.text);
    member_serve(m);
    member_finish(m, 0, "");
}

/* This manager leads its own new cluster: its first entry says what the cluster is. */
void init_on_leading(struct member *m)
{
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct admit admit;
    int rc;

    if (m->new_cluster == NULL)
        return;
    manager_admit(m->manager, &admit, &t, &why);
    rc = admit_cluster_init(&admit, m->new_cluster, m->new_node);
    init_forget(m);
    if (rc < 0) {
        fields_deinit(&transaction_type, &t);
        on_cluster_made(m, rc, &why);
        return;
    }
    manager_propose(m->manager, &t, on_cluster_made, m);
}

void member_init(struct member *m, const struct member_init *init, member_done done, void *owner)
{
    int rc;

    if (member_begin(m, done, owner) < 0)
        return;
    randombytes_buf(&m->file.raft_id, sizeof(m->file.raft_id));
    m->file.raft_id |= 1; /* never 0 */
    rc = member_choose_address(m, init->advertise);
    if (rc == 0)
        rc = member_read_data_key(m);
    m->new_cluster = calloc(1, sizeof(*m->new_cluster));
    m->new_node = calloc(1, sizeof(*m->new_node));
    if (rc == 0 && (m->new_cluster == NULL || m->new_node == NULL))
        rc = -ENOMEM;
    if (rc == 0)
        rc = make_cluster(m, init, m->new_cluster);
    if (rc == 0)
        rc = member_activate(m);
    if (rc == 0)
        rc = make_first_node(m, init->availability, m->new_node);
    if (rc == 0)
        rc = member_start_manager(m, true);
    if (rc < 0)
        member_abandon(m, rc);
}
