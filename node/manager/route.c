/* Raft's messages on the links. Raft knows members by a number, links by their node's id: the
 * context of a member in raft's configuration is that id. Messages carry the sender's number,
 * because a node may be told of a leader before it is told of the configuration. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/manager/manager_impl.h"

#define ROUTE_LEN 8 /* the sender's raft id before each raft message on a link */

const struct id *route_to(const struct manager *m, raft_node_id to)
{
    const struct raft_member *member = raft_conf_find(raft_driver_conf(m->raft), to);
    static struct id from_context;

    if (member != NULL &&
        id_parse(slice_of(member->context, member->context_len), &from_context) == 0)
        return &from_context;
    return map_get_u64(&m->routes, to);
}

void route_send(void *ctx, raft_node_id to, struct slice bytes)
{
    struct manager *m = ctx;
    const struct id *node = m->raft == NULL ? NULL : route_to(m, to);
    struct buf framed;
    int rc;

    if (node == NULL)
        return;
    buf_init(&framed, LINK_MESSAGE_LEN_MAX);
    rc = buf_append(&framed, &m->cfg.raft_id, ROUTE_LEN);
    if (rc == 0)
        rc = buf_append_slice(&framed, bytes);
    if (rc == 0)
        rc = link_send(m->cfg.links, node, LINK_RAFT, buf_slice(&framed));
    if (rc < 0)
        log_debug("raft", "message to %s is lost: %s", node->text, err_text(rc));
    buf_deinit(&framed);
}

static void learn_route(struct manager *m, raft_node_id raft_id, const struct id *node)
{
    struct id *known = map_get_u64(&m->routes, raft_id);

    if (known != NULL) {
        *known = *node;
        return;
    }
    known = malloc(sizeof(*known));
    if (known == NULL)
        return;
    *known = *node;
    if (map_set_u64(&m->routes, raft_id, known) < 0)
        free(known);
}

void route_on_message(void *ctx, const struct link_peer *from, enum link_channel channel,
                      struct slice message)
{
    struct manager *m = ctx;
    raft_node_id raft_id;

    (void)channel;
    if (m->raft == NULL || message.len < ROUTE_LEN)
        return;
    memcpy(&raft_id, message.ptr, ROUTE_LEN);
    learn_route(m, raft_id, &from->node);
    if (raft_driver_receive(m->raft, raft_id,
                            slice_of(message.ptr + ROUTE_LEN, message.len - ROUTE_LEN)) < 0)
        log_warn_limited(from->node.text, "raft", "malformed message from %s", from->node.text);
}
