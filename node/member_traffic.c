/* Frames of the dispatch channel, and the links' ups and downs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/member_impl.h"

#define FRAME_LEN_MAX (4 * MIB)

/* --- The agent's side of dispatch */

static void on_timer(uv_timer_t *timer)
{
    traffic_turn(timer->data);
}

static void set_timer(struct member *m)
{
    uint64_t now = uv_hrtime();

    if (!m->serving || m->finder.manager_count == 0 || m->finder.deadline == MONO_NEVER)
        return; /* whoever changes that calls traffic_turn() */
    (void)uv_timer_start(&m->timer, on_timer,
                         m->finder.deadline <= now ? 0 : (m->finder.deadline - now) / NS_PER_MS + 1,
                         0); /* fails only for a closing handle */
}

void traffic_turn(struct member *m)
{
    if (m->state != MEMBER_ACTIVE && m->state != MEMBER_PENDING)
        return;
    if (m->serving && finder_turn(&m->finder, uv_hrtime()))
        host_connected(m->host);
    else if (m->serving && m->finder.state == FINDER_IDLE)
        host_disconnected(m->host);
    set_timer(m);
}

static int send_frame(struct member *m, const struct id *to, const struct dispatch *frame)
{
    struct buf bytes;
    struct field_error err = { "" };
    int rc;

    buf_init(&bytes, FRAME_LEN_MAX);
    rc = fields_encode(&dispatch_type, frame, &bytes, &err);
    if (rc == 0)
        rc = link_send(m->links, to, LINK_DISPATCH, buf_slice(&bytes));
    if (rc < 0)
        log_debug("dispatch", "frame to %s is lost: %s %s", to->text, err_text(rc), err.text);
    buf_deinit(&bytes);
    return rc;
}

void traffic_send(void *ctx, const struct dispatch *frame)
{
    struct member *m = ctx;

    if (!id_is_none(&m->finder.target) && send_frame(m, &m->finder.target, frame) < 0)
        finder_lost(&m->finder, &m->finder.target, uv_hrtime());
}

/* A frame that cannot be sent would leave the node behind without anybody noticing: its link is
 * dropped, and it says where it is when it comes back. */
void traffic_dispatch_to(void *ctx, const struct id *node, const struct dispatch *frame)
{
    struct member *m = ctx;

    if (send_frame(m, node, frame) < 0 && link_is_up(m->links, node))
        link_drop(m->links, node, ERR_FULL);
}

/* A new leader has not heard what gossip told this node before. */
static void tell_all(struct member *m)
{
    struct gossip_member_info info;
    size_t cursor = 0;

    while (m->gossip != NULL && gossip_member_next(gossip_driver_core(m->gossip), &cursor, &info)) {
        if (info.status == GOSSIP_UNREACHABLE)
            traffic_tell_reachable(m, &info.id, CONTROL_UNREACHABLE);
        else if (info.status == GOSSIP_LEFT)
            traffic_tell_reachable(m, &info.id, CONTROL_LEFT);
        else
            traffic_tell_reachable(m, &info.id, CONTROL_ALIVE);
    }
}

/* Agents that this manager served when it led before take its silence for nothing new. */
static void call_all(struct member *m)
{
    struct redirect r = { .leader = m->identity.cert.node };
    const struct dispatch frame = { .kind = DISPATCH_REDIRECT, .redirect = &r };
    struct store_iter it;

    STORE_EACH(&it, manager_store(m->manager), OBJECT_NODE, struct node, n)
    if (!id_equal(&n->id, &m->identity.cert.node) && link_is_up(m->links, &n->id))
        traffic_dispatch_to(m, &n->id, &frame);
}

void traffic_on_leader(void *ctx, const struct id *leader)
{
    struct member *m = ctx;

    if (leader == NULL)
        return;
    finder_redirect(&m->finder, leader, uv_hrtime());
    traffic_turn(m);
    if (m->manager != NULL && manager_is_leader(m->manager)) {
        tell_all(m);
        call_all(m);
    }
}

void traffic_describe(struct member *m)
{
    if (m->serving && m->host != NULL && m->finder.state != FINDER_IDLE)
        host_described(m->host); /* else with the next HELLO */
}

static void take_frame(struct member *m, const struct id *from, const struct dispatch *frame)
{
    int rc = 0;

    switch (frame->kind) {
    case DISPATCH_HELLO:
    case DISPATCH_REPORT:
        if (m->manager != NULL && !m->closing_manager)
            rc = manager_dispatch_frame(m->manager, from, frame);
        break;
    case DISPATCH_ASSIGN:
    case DISPATCH_ACK:
        if (m->host == NULL || m->state == MEMBER_LEAVING || !id_equal(from, &m->finder.target))
            return; /* closing, leaving, or a manager that this node has left for another */
        finder_served(&m->finder, from);
        rc = host_frame(m->host, frame);
        break;
    case DISPATCH_REDIRECT:
        if (frame->redirect == NULL)
            rc = ERR_MALFORMED;
        else if (id_equal(from, &m->finder.target))
            finder_redirect(&m->finder, &frame->redirect->leader, uv_hrtime());
        break;
    }
    if (rc < 0)
        link_drop(m->links, from, rc);
    traffic_turn(m);
}

static void on_dispatch(void *ctx, const struct link_peer *from, enum link_channel channel,
                        struct slice message)
{
    struct member *m = ctx;
    struct dispatch frame = { 0 };
    struct field_error err;

    (void)channel;
    if (fields_decode(&dispatch_type, message, &frame, &err) < 0) {
        log_warn_limited(from->node.text, "dispatch", "malformed frame of %s: %s, closing",
                         from->node.text, err.text);
        link_drop(m->links, &from->node, ERR_MALFORMED);
        return;
    }
    take_frame(m, &from->node, &frame);
    fields_deinit(&dispatch_type, &frame);
}

/* --- Links */

void traffic_tell_reachable(struct member *m, const struct id *id, enum control_hearing what)
{
    if (m->manager != NULL && !m->closing_manager &&
        (what != CONTROL_UNREACHABLE || !link_is_up(m->links, id)))
        manager_heard(m->manager, id, what);
    if (m->host != NULL) /* it is closed before gossip is */
        host_reachable(m->host, id, what == CONTROL_ALIVE);
}

static bool gossip_says_unreachable(const struct member *m, const struct id *id)
{
    struct gossip_member_info info;

    return m->gossip != NULL && gossip_member_get(gossip_driver_core(m->gossip), id, &info) == 0 &&
           info.status == GOSSIP_UNREACHABLE;
}

static void on_peer_up(void *ctx, const struct link_peer *peer)
{
    struct member *m = ctx;

    log_info("link", "link to %s (%s) is up", peer->node.text, peer->address);
    if (m->gossip != NULL) {
        gossip_driver_trust(m->gossip, &peer->node, peer->identity_key);
        gossip_driver_link_alive(m->gossip, &peer->node);
    }
    if (m->manager != NULL && !m->closing_manager)
        manager_heard(m->manager, &peer->node, CONTROL_ALIVE);
}

static void on_peer_down(void *ctx, const struct link_peer *peer, int reason)
{
    struct member *m = ctx;

    log_info("link", "link to %s is down: %s", peer->node.text, err_text(reason));
    if (m->gossip != NULL)
        gossip_driver_link_lost(m->gossip, &peer->node);
    if (m->manager != NULL && !m->closing_manager)
        manager_link_down(m->manager, &peer->node);
    if (gossip_says_unreachable(m, &peer->node)) /* the link had spoken for it until now */
        traffic_tell_reachable(m, &peer->node, CONTROL_UNREACHABLE);
    finder_lost(&m->finder, &peer->node, uv_hrtime());
    traffic_turn(m);
}

static void on_refused(void *ctx, const char *address, int reason, const char *what)
{
    (void)ctx;
    log_warn_limited(address, "link", "connection of %s refused: %s (%s)", address,
                     err_text(reason), what);
}

int traffic_open_links(struct member *m)
{
    struct links_config cfg = {
        .identity = &m->identity,
        .events = { .ctx = m,
                    .admit = role_admit,
                    .on_peer_up = on_peer_up,
                    .on_peer_down = on_peer_down,
                    .on_enroll = role_on_enroll,
                    .on_refused = on_refused },
    };
    int rc = links_new(m->cfg.loop, &cfg, &m->links);

    if (rc < 0)
        return rc;
    rc = gossip_link_new(m->links, &m->gossip_link);
    if (rc < 0)
        return rc;
    links_handle(m->links, LINK_DISPATCH,
                 &(struct link_handler){ .ctx = m, .on_message = on_dispatch });
    rc = links_listen(m->links, m->cfg.options->listen);
    if (rc < 0)
        (void)snprintf(m->error, sizeof(m->error), "cannot listen on %s: %s",
                       m->cfg.options->listen, err_text(rc));
    return rc;
}

/* Managers are whom gossip keeps trying, for ever. */
static void add_contact(struct member *m, const struct peer *peer)
{
    struct gossip_contact contact = { .id = peer->id };
    size_t i = 0;

    if (peer->gossip_addr == NULL || gossip_addr_parse(peer->gossip_addr, &contact.addr) < 0)
        return;
    while (i < m->contact_count && !id_equal(&m->contacts[i].id, &peer->id))
        i++;
    if (i == ARRAY_LEN(m->contacts))
        return;
    m->contacts[i] = contact;
    m->contact_count = MAX(m->contact_count, i + 1);
    if (m->gossip != NULL)
        gossip_driver_contacts(m->gossip, m->contacts, m->contact_count);
}

void traffic_on_peer(void *ctx, const struct peer *peer, bool gone)
{
    struct member *m = ctx;
    struct link_peer_hint hint = { .addresses = (const char *const *)peer->link_addrs.items,
                                   .address_count =
                                       MIN(peer->link_addrs.count, (size_t)LINK_ADDRESSES_MAX),
                                   .want = LINK_ON_DEMAND };
    int rc;

    if (id_equal(&peer->id, &m->identity.cert.node))
        return;
    images_peer(m->images, &peer->id, gone);
    if (gone || peer->role != ROLE_MANAGER)
        managers_forget(m, &peer->id);
    if (gone) {
        finder_remove(&m->finder, &peer->id);
        return;
    }
    if (peer->role == ROLE_MANAGER) {
        managers_learn(m, peer);
        finder_add(&m->finder, &peer->id);
        if (m->manager != NULL)
            hint.want = LINK_WANTED; /* managers keep links to each other */
    }
    rc = link_set_peer(m->links, &peer->id, &hint);
    if (rc < 0)
        log_warn("link", "the addresses of node %s are of no use: %s", peer->id.text, err_text(rc));
    if (m->gossip != NULL)
        gossip_driver_trust(m->gossip, &peer->id, peer->identity_key);
    if (peer->role == ROLE_MANAGER)
        add_contact(m, peer);
}
