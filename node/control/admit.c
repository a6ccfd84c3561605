/* What all requests share, and the small objects: cluster, nodes, networks. */
#include "node/control/admit.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/control/admit_impl.h"
#include "node/control/gossip_keys.h"
#include "node/control/nodes.h"
#include "overlaynet/ip.h"

int refuse(struct admit *a, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(a->err->text, sizeof(a->err->text), format, args);
    va_end(args);
    return code;
}

struct id admit_fresh_id(struct admit *a)
{
    uint8_t bits[ID_RANDOM_LEN];

    prng_bytes(a->ids, bits, sizeof(bits));
    return id_from_random(bits);
}

int check_version(struct admit *a, const struct object *o, uint64_t version)
{
    if (o->version.index == version)
        return 0;
    return refuse(a, ERR_STALE, "update out of sequence");
}

int check_name(struct admit *a, const char *what, const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);
    bool good = len > 0 && len <= OBJECT_NAME_LEN_MAX && isalnum((unsigned char)name[0]) &&
                isalnum((unsigned char)name[len - 1]);

    for (size_t i = 0; good && i < len; i++)
        good = isalnum((unsigned char)name[i]) || strchr("-_.", name[i]) != NULL;
    if (good)
        return 0;
    return refuse(a, ERR_INVALID,
                  "invalid %s name '%.80s': use 1 to %d letters, digits, '-', '_' and '.'", what,
                  name == NULL ? "" : name, OBJECT_NAME_LEN_MAX);
}

int check_free_name(struct admit *a, unsigned kind, const char *name)
{
    if (store_find_name(a->store, kind, name) == NULL)
        return 0;
    return refuse(a, ERR_EXISTS, "name conflicts with an existing object: %s %s already exists",
                  object_kind_text(kind), name);
}

/* --- Finding by what users write */

static const struct object *find_prefix(const struct store *s, unsigned kind, const char *prefix,
                                        bool *ambiguous)
{
    const struct object *found = NULL;
    size_t len = strlen(prefix);
    struct store_iter it;

    *ambiguous = false;
    for (const struct object *o = store_first(s, kind, &it); o != NULL; o = store_next(&it)) {
        if (len == 0 || strncmp(o->id.text, prefix, len) != 0)
            continue;
        *ambiguous = *ambiguous || found != NULL;
        found = o;
    }
    return found;
}

static const struct object *find_hostname(const struct store *s, const char *name, bool *ambiguous)
{
    const struct node *found = NULL;
    struct store_iter it;

    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    {
        if (n->description.hostname == NULL || strcmp(n->description.hostname, name) != 0)
            continue;
        *ambiguous = *ambiguous || found != NULL;
        found = n;
    }
    return (const struct object *)(const void *)found;
}

int admit_resolve(const struct store *s, unsigned kind, const char *reference,
                  const struct object **out, struct field_error *err)
{
    const struct object *o = NULL;
    bool ambiguous = false;
    struct id id;

    if (id_parse(slice_of_str(reference), &id) == 0)
        o = store_get(s, kind, &id);
    if (o == NULL)
        o = store_find_name(s, kind, reference);
    if (o == NULL && kind == OBJECT_NODE)
        o = find_hostname(s, reference, &ambiguous);
    if (o == NULL && !ambiguous)
        o = find_prefix(s, kind, reference, &ambiguous);
    if (ambiguous) {
        (void)snprintf(err->text, sizeof(err->text), "%s %.64s is ambiguous: give the whole id",
                       object_kind_text(kind), reference);
        return ERR_CONFLICT;
    }
    if (o == NULL) {
        (void)snprintf(err->text, sizeof(err->text), "%s %.64s not found", object_kind_text(kind),
                       reference);
        return ERR_NOT_FOUND;
    }
    *out = o;
    return 0;
}

/* --- Cluster */

static int create_ingress(struct admit *a)
{
    struct network n = { .id = admit_fresh_id(a), .encrypted = true };
    struct ipam_options *ipam;
    int rc = str_set(&n.spec.name, "ingress");

    n.spec.ingress = true;
    n.spec.enable_ipv6 = true; /* published ports answer at the hosts' addresses of both families */
    if (rc == 0)
        rc = str_set(&n.spec.driver, "overlay");
    if (rc == 0)
        rc = str_set(&n.spec.scope, "swarm");
    ipam = calloc(1, sizeof(*ipam));
    n.spec.ipam = ipam;
    if (rc == 0 && (ipam == NULL || str_set(&ipam->driver, "default") < 0))
        rc = -ENOMEM;
    if (rc == 0)
        rc = transaction_create(a->out, OBJECT_NETWORK, (const struct object *)(const void *)&n);
    fields_deinit(&network_type, &n);
    return rc;
}

int admit_cluster_init(struct admit *a, const struct cluster *cluster, const struct node *first)
{
    int rc;

    if (store_the_cluster(a->store) != NULL)
        return refuse(a, ERR_EXISTS, "the cluster is initialised already");
    for (size_t i = 0; i < cluster->address_pools.count; i++) {
        struct ip_prefix prefix;

        if (ip_prefix_parse(slice_of_str(cluster->address_pools.items[i]), &prefix) < 0)
            return refuse(a, ERR_INVALID, "address pool %.60s: write a network such as 10.0.0.0/8",
                          cluster->address_pools.items[i]);
    }
    rc = transaction_create(a->out, OBJECT_CLUSTER, (const struct object *)(const void *)cluster);
    if (rc == 0)
        rc = transaction_create(a->out, OBJECT_NODE, (const struct object *)(const void *)first);
    return rc < 0 ? rc : create_ingress(a);
}

static int edit_cluster(struct admit *a, struct cluster *copy)
{
    const struct cluster *c = store_the_cluster(a->store);

    if (c == NULL)
        return refuse(a, ERR_UNAVAILABLE, "the cluster is not initialised yet");
    return fields_copy(&cluster_type, c, copy);
}

/* What Docker lets people choose and this cluster decides by itself. Nobody shall believe that it
 * is obeyed. */
static int refuse_what_is_no_setting(struct admit *a, const struct cluster_spec *spec)
{
    const struct raft_spec *raft = &spec->raft;

    if (raft->snapshot_interval != 0 || raft->trailing_entries != 0 ||
        (raft->keep_old_snapshots != NULL && *raft->keep_old_snapshots != 0))
        return refuse(a, ERR_INVALID,
                      "raft's snapshots are not a setting: they follow the size of the log; leave "
                      "their interval and number out");
    if (raft->election_tick != 0 || raft->heartbeat_tick != 0)
        return refuse(a, ERR_INVALID, "raft's ticks are not a setting: leave them out");
    if (spec->dispatcher.heartbeat_period != 0)
        return refuse(a, ERR_INVALID,
                      "the dispatcher's heartbeat is not a setting: members notice a lost node "
                      "themselves, within seconds; leave it out");
    return 0;
}

int admit_cluster_spec(struct admit *a, const struct cluster_spec *spec)
{
    if (spec->name != NULL && strcmp(spec->name, "default") != 0)
        return refuse(a, ERR_INVALID, "swarm spec must be named \"default\"");
    if (spec->ca.node_cert_expiry != 0 && spec->ca.node_cert_expiry < ADMIT_CERT_EXPIRY_MIN_NS)
        return refuse(a, ERR_INVALID, "minimum certificate expiry time is 1h0m0s");
    if (spec->encryption.auto_lock) /* nobody shall believe that keys are locked that are not */
        return refuse(a, ERR_INVALID,
                      "autolock is not supported: encrypt the disks that managers keep state on");
    return refuse_what_is_no_setting(a, spec);
}

/* Refused here, it would have to be refused by every node. */
static int add_root(struct admit *a, struct cluster *c, const struct ca_root *root)
{
    struct ca_root copy;

    if (c->roots.count >= CLUSTER_ROOTS_MAX)
        return refuse(a, ERR_UNAVAILABLE,
                      "%zu rotations of the root have not ended: `shoal ca` names the nodes that "
                      "hold them up; bring them back or remove them",
                      c->roots.count - 1);
    if (c->roots.count == 0 || root->cross_signature.len == 0)
        return refuse(a, ERR_INVALID, "the new root is not signed by the one before it");
    if (LIST_ADD(&c->roots) == NULL || fields_copy(&ca_root_type, root, &copy) < 0)
        return -ENOMEM;
    memmove(&c->roots.items[1], &c->roots.items[0], (c->roots.count - 1) * sizeof(*c->roots.items));
    c->roots.items[0] = copy;
    return 0;
}

static int update_cluster(struct admit *a, uint64_t version, const struct cluster_spec *spec,
                          const struct ca_root *root)
{
    struct cluster copy;
    int rc = edit_cluster(a, &copy);

    if (rc < 0)
        return rc;
    rc = check_version(a, (const struct object *)(const void *)&copy, version);
    if (rc == 0)
        rc = admit_cluster_spec(a, spec);
    if (rc == 0 && root != NULL)
        rc = add_root(a, &copy, root);
    if (rc == 0) {
        fields_deinit(&cluster_spec_type, &copy.spec);
        rc = fields_copy(&cluster_spec_type, spec, &copy.spec);
    }
    if (rc == 0)
        rc = transaction_update(a->out, OBJECT_CLUSTER, (const struct object *)(const void *)&copy);
    fields_deinit(&cluster_type, &copy);
    return rc;
}

int admit_cluster_update(struct admit *a, uint64_t version, const struct cluster_spec *spec)
{
    return update_cluster(a, version, spec, NULL);
}

int admit_root_rotate(struct admit *a, uint64_t version, const struct cluster_spec *spec,
                      const struct ca_root *root)
{
    return update_cluster(a, version, spec, root);
}

int admit_gossip_key_period(struct admit *a, uint64_t version, int64_t period)
{
    struct cluster copy;
    int rc = edit_cluster(a, &copy);

    if (rc < 0)
        return rc;
    copy.gossip_key_period = period;
    rc = check_version(a, (const struct object *)(const void *)&copy, version);
    if (rc == 0 && period != 0 && period < GOSSIP_KEY_PERIOD_MIN_NS)
        rc = refuse(a, ERR_INVALID, "the period of the gossip key is at least 1m0s");
    if (rc == 0)
        rc = transaction_update(a->out, OBJECT_CLUSTER, (const struct object *)(const void *)&copy);
    fields_deinit(&cluster_type, &copy);
    return rc;
}

int admit_rotate(struct admit *a, unsigned what, struct slice fresh_secret)
{
    struct cluster copy;
    int rc = edit_cluster(a, &copy);

    if (rc < 0)
        return rc;
    if ((what & ROTATE_WORKER_TOKEN) != 0)
        rc = bytes_set(&copy.join.worker, fresh_secret);
    if (rc == 0 && (what & ROTATE_MANAGER_TOKEN) != 0)
        rc = bytes_set(&copy.join.manager, fresh_secret);
    if (rc == 0 && (what & ROTATE_UNLOCK_KEY) != 0)
        rc = bytes_set(&copy.unlock_key, fresh_secret);
    if (rc == 0)
        rc = transaction_update(a->out, OBJECT_CLUSTER, (const struct object *)(const void *)&copy);
    fields_deinit(&cluster_type, &copy);
    return rc;
}

/* --- Nodes */

int admit_node_join(struct admit *a, const struct node *node)
{
    if (store_removal(a->store, &node->id) != NULL)
        return refuse(a, ERR_REMOVED, "node %s was removed from the cluster", node->id.text);
    return transaction_create(a->out, OBJECT_NODE, (const struct object *)(const void *)node);
}

int admit_node_update(struct admit *a, const struct id *id, uint64_t version,
                      const struct node_spec *spec)
{
    const struct node *n = store_node(a->store, id);
    struct node copy;
    int rc;

    if (n == NULL)
        return refuse(a, ERR_NOT_FOUND, "node %s not found", id->text);
    rc = check_version(a, (const struct object *)(const void *)n, version);
    if (rc < 0)
        return rc;
    if (n->spec.role == ROLE_MANAGER && spec->role == ROLE_WORKER &&
        nodes_count_managers(a->store) == 1)
        return refuse(a, ERR_INVALID, "attempting to demote the last manager of the swarm");
    rc = fields_copy(&node_type, n, &copy);
    if (rc < 0)
        return rc;
    fields_deinit(&node_spec_type, &copy.spec);
    rc = fields_copy(&node_spec_type, spec, &copy.spec);
    if (rc == 0)
        rc = transaction_update(a->out, OBJECT_NODE, (const struct object *)(const void *)&copy);
    fields_deinit(&node_type, &copy);
    return rc;
}

/* What it ran is given up; its certificate is refused until it has expired. */
int admit_node_remove(struct admit *a, const struct id *id, enum admit_force force)
{
    const struct node *n = store_node(a->store, id);
    struct removal removal = { .id = *id,
                               .expires_at = a->wall + INT64_C(90) * 24 * 3600 * 1000000000 };
    struct store_iter it;
    int rc;

    if (n == NULL)
        return refuse(a, ERR_NOT_FOUND, "node %s not found", id->text);
    if (n->spec.role == ROLE_MANAGER)
        return refuse(
            a, ERR_INVALID,
            "node %s is a cluster manager and is a member of the raft cluster. It must be "
            "demoted to worker before removal",
            id->text);
    if (force == ADMIT_CAREFUL && n->status.state == NODE_READY)
        return refuse(a, ERR_INVALID, "node %s is not down and can't be removed", id->text);
    rc = transaction_remove(a->out, OBJECT_NODE, (const struct object *)(const void *)n);
    STORE_EACH_OF_NODE(&it, a->store, id, t)
    {
        struct task copy;

        if (rc < 0 || task_state_is_terminal(t->status.state))
            continue;
        rc = fields_copy(&task_type, t, &copy);
        if (rc < 0)
            break;
        copy.status.state = TASK_ORPHANED;
        copy.status.timestamp = a->wall;
        rc = transaction_update(a->out, OBJECT_TASK, (const struct object *)(const void *)&copy);
        fields_deinit(&task_type, &copy);
    }
    if (rc == 0)
        rc = transaction_create(a->out, OBJECT_REMOVAL,
                                (const struct object *)(const void *)&removal);
    return rc;
}

/* --- Networks */

static int check_subnets(struct admit *a, const struct network_spec *spec)
{
    for (size_t i = 0; spec->ipam != NULL && i < spec->ipam->configs.count; i++) {
        const struct subnet_config *c = &spec->ipam->configs.items[i];
        struct ip_prefix wanted;
        struct store_iter it;

        if (c->subnet == NULL)
            continue;
        if (ip_prefix_parse(slice_of_str(c->subnet), &wanted) < 0)
            return refuse(a, ERR_INVALID, "subnet %.60s: write a network such as 10.1.0.0/24",
                          c->subnet);
        STORE_EACH(&it, a->store, OBJECT_NETWORK, struct network, n)
        for (size_t j = 0; j < n->subnets.count; j++) {
            struct ip_prefix other;

            if (n->subnets.items[j].subnet != NULL &&
                ip_prefix_parse(slice_of_str(n->subnets.items[j].subnet), &other) == 0 &&
                ip_prefix_overlap(&wanted, &other))
                return refuse(a, ERR_CONFLICT, "subnet %.60s overlaps %s of network %s", c->subnet,
                              n->subnets.items[j].subnet, n->spec.name);
        }
    }
    return 0;
}

static bool is_switched_off(const struct network_spec *spec)
{
    const char *value = str_map_get(&spec->options, "encrypted");

    return value != NULL && (strcmp(value, "false") == 0 || strcmp(value, "0") == 0);
}

int admit_network_create(struct admit *a, const struct network_spec *spec, struct id *out_id)
{
    struct network n = { .id = admit_fresh_id(a), .encrypted = !is_switched_off(spec) };
    const char *mtu = str_map_get(&spec->options, "com.docker.network.driver.mtu");
    int rc = check_name(a, "network", spec->name);

    if (rc == 0)
        rc = check_free_name(a, OBJECT_NETWORK, spec->name);
    if (rc == 0 && spec->driver != NULL && strcmp(spec->driver, "overlay") != 0)
        rc = refuse(a, ERR_INVALID, "network driver %.60s: only overlay networks span the cluster",
                    spec->driver);
    if (rc == 0)
        rc = check_subnets(a, spec);
    if (rc < 0)
        return rc;
    if (mtu != NULL)
        n.mtu = (uint32_t)MIN(strtoul(mtu, NULL, 10), 65535ul);
    rc = fields_copy(&network_spec_type, spec, &n.spec);
    n.spec.enable_ipv6 = n.spec.enable_ipv6 || n.spec.ingress; /* as create_ingress() */
    if (rc == 0 && n.spec.driver == NULL)
        rc = str_set(&n.spec.driver, "overlay");
    if (rc == 0)
        rc = str_set(&n.spec.scope, "swarm");
    if (rc == 0)
        rc = transaction_create(a->out, OBJECT_NETWORK, (const struct object *)(const void *)&n);
    *out_id = n.id;
    fields_deinit(&network_type, &n);
    return rc;
}

static bool targets_have(const struct network_target_list *targets, const struct id *id)
{
    for (size_t i = 0; i < targets->count; i++)
        if (strcmp(targets->items[i].target, id->text) == 0)
            return true;
    return false;
}

int admit_network_remove(struct admit *a, const struct id *id)
{
    const struct network *n = store_network(a->store, id);
    struct store_iter it;

    if (n == NULL)
        return refuse(a, ERR_NOT_FOUND, "network %s not found", id->text);
    STORE_EACH(&it, a->store, OBJECT_SERVICE, struct service, s)
    if (targets_have(&s->spec.task.networks, id) || targets_have(&s->spec.networks, id))
        return refuse(a, ERR_IN_USE, "network %s is in use by service %s", n->spec.name,
                      s->spec.name);
    STORE_EACH(&it, a->store, OBJECT_TASK, struct task, t)
    for (size_t i = 0; i < t->attachments.count; i++)
        if (id_equal(&t->attachments.items[i].network_id, id) &&
            !task_state_is_terminal(t->status.state))
            return refuse(a, ERR_IN_USE, "network %s is in use by task %s", n->spec.name,
                          t->id.text);
    return transaction_remove(a->out, OBJECT_NETWORK, (const struct object *)(const void *)n);
}
