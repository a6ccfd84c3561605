/* Raft's member list against the store's nodes. The context of a member is its node's id. */
#include "node/manager/membership.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "node/control/nodes.h"

static bool wants_to_manage(const struct node *n)
{
    return n->spec.role == ROLE_MANAGER && n->manager != NULL && n->manager->raft_id != 0;
}

const struct node *membership_node(const struct store *s, raft_node_id raft_id)
{
    struct store_iter it;

    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    if (n->manager != NULL && n->manager->raft_id == raft_id)
        return n;
    return NULL;
}

static const struct node *find_missing(const struct store *s, const struct raft_conf *conf)
{
    struct store_iter it;

    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    if (wants_to_manage(n) && raft_conf_find(conf, n->manager->raft_id) == NULL &&
        !raft_conf_is_removed(conf, n->manager->raft_id))
        return n;
    return NULL;
}

static raft_node_id find_superfluous(const struct store *s, const struct raft_conf *conf,
                                     raft_node_id self)
{
    bool self_is_superfluous = false;

    for (uint32_t i = 0; i < conf->member_count; i++) {
        raft_node_id id = conf->members[i].id;
        const struct node *n = membership_node(s, id);

        if (n != NULL && wants_to_manage(n))
            continue;
        if (id != self)
            return id;
        self_is_superfluous = true;
    }
    return self_is_superfluous ? self : 0;
}

enum membership_step membership_next(const struct store *s, const struct raft_conf *conf,
                                     raft_node_id self, struct raft_conf_op *op)
{
    const struct node *missing = find_missing(s, conf);
    raft_node_id superfluous;

    if (conf->joint || store_the_cluster(s) == NULL)
        return MEMBERSHIP_DONE; /* a change is under way, or the cluster is not initialised */
    if (missing != NULL) {
        *op = (struct raft_conf_op){ .type = RAFT_ADD_VOTER,
                                     .id = missing->manager->raft_id,
                                     .context = id_slice(&missing->id) };
        return MEMBERSHIP_CHANGE;
    }
    superfluous = find_superfluous(s, conf, self);
    if (superfluous == 0)
        return MEMBERSHIP_DONE;
    if (superfluous == self)
        return MEMBERSHIP_TRANSFER;
    *op = (struct raft_conf_op){ .type = RAFT_REMOVE, .id = superfluous };
    return MEMBERSHIP_CHANGE;
}

/* -ENOMEM. What does not decode is refused by the store. */
static int will_manage(const struct change *c, bool *out)
{
    struct node n = { 0 };
    int rc = c->op == CHANGE_REMOVE ? ERR_NOT_FOUND
                                    : fields_decode(&node_type, bytes_slice(&c->object), &n, NULL);

    *out = rc == 0 && n.spec.role == ROLE_MANAGER;
    if (rc == 0)
        fields_deinit(&node_type, &n);
    return rc == -ENOMEM ? rc : 0;
}

int membership_check(const struct store *s, const struct transaction *t, struct field_error *why)
{
    size_t lost = 0, gained = 0;

    for (size_t i = 0; i < t->changes.count; i++) {
        const struct change *c = &t->changes.items[i];
        const struct node *before = c->kind == OBJECT_NODE ? store_node(s, &c->id) : NULL;
        bool did = before != NULL && before->spec.role == ROLE_MANAGER, will;
        int rc;

        if (c->kind != OBJECT_NODE)
            continue;
        rc = will_manage(c, &will);
        if (rc < 0)
            return rc;
        lost += did && !will;
        gained += will && !did;
    }
    if (lost == 0 || nodes_count_managers(s) + gained > lost)
        return 0;
    (void)snprintf(why->text, sizeof(why->text),
                   "attempting to demote the last manager of the swarm");
    return ERR_INVALID;
}
