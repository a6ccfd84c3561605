/* Driver of the sessions: feeds the pure machine of each peer, and does what it says.
 *
 * Packets and hints come from the lanes through their rings; time from one timer that follows the
 * earliest deadline; randomness from the system. Handshake and control packets are sent from lane
 * 0's socket, which is the data port. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/overlay_impl.h"

/* --- Blocks of session indexes --------------------------------------------------------------- */

static bool is_block_used(const struct overlay *o, uint32_t block)
{
    return (o->block_used[block / 32] >> (block % 32) & 1) != 0;
}

static void set_block_used(struct overlay *o, uint32_t block, bool used)
{
    if (used)
        o->block_used[block / 32] |= UINT32_C(1) << (block % 32);
    else
        o->block_used[block / 32] &= ~(UINT32_C(1) << (block % 32));
}

/* A free block from a random place on; PACKET_BLOCKS when there is none. */
static uint32_t choose_block(const struct overlay *o)
{
    uint32_t start = randombytes_uniform(PACKET_BLOCKS);

    for (uint32_t i = 0; i < PACKET_BLOCKS; i++) {
        uint32_t block = (start + i) % PACKET_BLOCKS;

        if (!is_block_used(o, block))
            return block;
    }
    return PACKET_BLOCKS;
}

static void draw_chance(const struct overlay *o, struct session_chance *chance)
{
    randombytes_buf(chance->ephemeral, sizeof(chance->ephemeral));
    chance->jitter = randombytes_random();
    chance->block = choose_block(o);
}

/* --- What lanes see -------------------------------------------------------------------------- */

static void free_rx(void *object)
{
    struct fabric_rx *rx = object;

    sodium_memzero(rx, sizeof(*rx) + rx->lane_count * sizeof(rx->lanes[0]));
    free(rx);
}

static void free_tx(void *object)
{
    struct fabric_tx *tx = object;

    sodium_memzero(tx, sizeof(*tx) + tx->lane_count * sizeof(tx->lanes[0]));
    free(tx);
}

static void publish_rx(struct overlay *o, uint16_t block, struct fabric_rx *rx)
{
    struct fabric_rx *old =
        atomic_exchange_explicit(&o->fabric.rx[block], rx, memory_order_acq_rel);

    reclaim_later(&o->fabric.reclaim, old, free_rx);
}

static void publish_tx(struct overlay *o, struct peer *p, struct fabric_tx *tx)
{
    struct fabric_tx *old = atomic_exchange_explicit(&p->fabric.tx, tx, memory_order_acq_rel);

    reclaim_later(&o->fabric.reclaim, old, free_tx);
}

static size_t outer_len(const struct ip_endpoint *to)
{
    return to->addr.len == IP6_LEN ? PACKET_UDP6_OVERHEAD : PACKET_UDP4_OVERHEAD;
}

static void publish_path(struct overlay *o, struct peer *p)
{
    struct ip_endpoint to = session_addr(&p->fabric.session);
    struct fabric_path *path, *old;

    if (ip_is_none(&to.addr))
        return;
    path = calloc(1, sizeof(*path));
    if (path == NULL || underlay_sockaddr(o->family, &to, &path->addr, &path->addr_len) < 0) {
        free(path);
        return; /* the earlier one stays */
    }
    path->piece_max = p->fabric.path_mtu - outer_len(&to) - PACKET_OVERHEAD;
    p->path_to = to;
    old = atomic_exchange_explicit(&p->fabric.path, path, memory_order_acq_rel);
    reclaim_later(&o->fabric.reclaim, old, free);
}

static void follow_address(struct overlay *o, struct peer *p)
{
    struct ip_endpoint to = session_addr(&p->fabric.session);

    if (to.port != p->path_to.port || !ip_equal(&to.addr, &p->path_to.addr))
        publish_path(o, p);
}

/* --- Sending --------------------------------------------------------------------------------- */

static void send_bytes(struct overlay *o, const uint8_t *bytes, size_t len,
                       const struct ip_endpoint *to)
{
    struct sockaddr_storage addr;
    socklen_t addr_len = 0;

    if (underlay_sockaddr(o->family, to, &addr, &addr_len) < 0)
        return;
    /* A lost handshake or keep-alive is sent again by its timer. */
    (void)sendto(o->fabric.lanes[0]->udp_fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                 (struct sockaddr *)&addr, addr_len);
}

/* A control packet of `len` sealed bytes, of which those after the fixed part are zero. */
static void send_control(struct overlay *o, struct peer *p, const struct packet_control *c,
                         size_t len)
{
    struct fabric_tx *tx = atomic_load_explicit(&p->fabric.tx, memory_order_relaxed);
    uint8_t packet[PACKET_CONTROL_LEN_MAX + PACKET_OVERHEAD] = { 0 };
    struct packet_header h = { .type = PACKET_CONTROL };
    struct ip_endpoint to = session_addr(&p->fabric.session);
    struct aead_key key;

    if (tx == NULL || ip_is_none(&to.addr))
        return;
    CHECK(len >= PACKET_CONTROL_LEN && len <= PACKET_CONTROL_LEN_MAX);
    h.session = (uint16_t)((unsigned)tx->remote_block << PACKET_LANE_BITS | PACKET_LANE_CONTROL);
    h.counter = tx->control_counter++;
    packet_header_write(&h, packet);
    packet_control_write(c, packet + PACKET_HEADER_LEN);
    aead_prepare(&key, tx->suite, tx->control_key);
    aead_seal(&key, h.counter, packet, packet + PACKET_HEADER_LEN, len, packet + PACKET_HEADER_LEN);
    aead_wipe(&key);
    send_bytes(o, packet, len + PACKET_OVERHEAD, &to);
}

/* --- Commands of the machine ----------------------------------------------------------------- */

static struct fabric_rx *new_rx(struct overlay *o, struct peer *p, const struct session_keys *k)
{
    struct fabric_rx *rx = calloc(1, sizeof(*rx) + k->remote_lanes * sizeof(rx->lanes[0]));

    if (rx == NULL)
        return NULL;
    rx->peer = &p->fabric;
    rx->block = k->local_block;
    rx->is_ready = true;
    rx->suite = k->suite;
    rx->lane_count = k->remote_lanes;
    session_lane_key(k->receive, k->suite, PACKET_LANE_CONTROL, rx->control_key);
    for (unsigned i = 0; i < rx->lane_count; i++) {
        session_lane_key(k->receive, k->suite, i, rx->lanes[i].key);
        rx->lanes[i].serial = ++o->next_serial;
    }
    return rx;
}

static struct fabric_tx *new_tx(struct overlay *o, const struct session_keys *k)
{
    size_t len = sizeof(struct fabric_tx) + o->fabric.lane_count * sizeof(struct fabric_tx_lane);
    struct fabric_tx *tx = aligned_alloc(64, (len + 63) / 64 * 64);

    if (tx == NULL)
        return NULL;
    memset(tx, 0, len);
    tx->remote_block = k->remote_block;
    tx->suite = k->suite;
    tx->lane_count = o->fabric.lane_count;
    session_lane_key(k->send, k->suite, PACKET_LANE_CONTROL, tx->control_key);
    for (unsigned i = 0; i < o->fabric.lane_count; i++) {
        session_lane_key(k->send, k->suite, i, tx->lanes[i].key);
        tx->lanes[i].serial = ++o->next_serial;
    }
    return tx;
}

/* Out of memory: the session is not installed, the peer's packets find none, and it knocks again.
 */
static void install(struct overlay *o, struct peer *p, const struct session_keys *k)
{
    struct fabric_rx *rx = new_rx(o, p, k);
    struct fabric_tx *tx = new_tx(o, k);

    if (rx == NULL || tx == NULL) {
        free(rx);
        free(tx);
        return;
    }
    if (p->next_tx != NULL)
        free_tx(p->next_tx);
    p->next_tx = tx;
    p->next_tx_block = k->local_block;
    publish_rx(o, k->local_block, rx);
}

static void activate(struct overlay *o, struct peer *p, uint16_t block)
{
    if (p->next_tx == NULL || p->next_tx_block != block)
        return;
    publish_path(o, p);
    publish_tx(o, p, p->next_tx);
    p->next_tx = NULL;
}

static void retire_block(struct overlay *o, struct peer *p, uint16_t block)
{
    publish_rx(o, block, NULL);
    set_block_used(o, block, false);
    if (p->next_tx != NULL && p->next_tx_block == block) {
        free_tx(p->next_tx);
        p->next_tx = NULL;
    }
    for (unsigned i = 0; i < o->fabric.lane_count && o->fabric.lanes[i] != NULL; i++)
        lane_purge_keys(o->fabric.lanes[i]);
}

static void use_path_mtu(struct overlay *o, struct peer *p)
{
    if (p->fabric.path_mtu == p->pmtu.size)
        return;
    p->fabric.path_mtu = p->pmtu.size;
    publish_path(o, p);
    overlay_tell(o, OVERLAY_PATH_MTU, &p->fabric.node_id, 0, p->pmtu.size, "");
}

static void send_probe(struct overlay *o, struct peer *p)
{
    struct ip_endpoint to = session_addr(&p->fabric.session);
    size_t payload = p->pmtu.size - outer_len(&to);
    struct packet_control c = { .kind = PACKET_PROBE, .size = (uint16_t)payload };

    if (payload - PACKET_OVERHEAD <= PACKET_CONTROL_LEN_MAX)
        send_control(o, p, &c, payload - PACKET_OVERHEAD);
}

static void on_probe_ack(struct overlay *o, struct peer *p, const struct fabric_note *note)
{
    struct ip_endpoint from = underlay_endpoint(&note->from);

    pmtu_on_ack(&p->pmtu, (uint32_t)(note->control.size + outer_len(&from)), overlay_now(o));
}

static void set_up(struct overlay *o, struct peer *p, bool is_up)
{
    if (is_up)
        pmtu_start(&p->pmtu, overlay_now(o));
    else
        pmtu_stop(&p->pmtu);
    use_path_mtu(o, p);
    o->peers_up += is_up ? 1 : SIZE_MAX;
    overlay_tell(o, is_up ? OVERLAY_PEER_UP : OVERLAY_PEER_DOWN, &p->fabric.node_id, 0, 0, "");
}

static void obey(struct overlay *o, struct peer *p, struct session_output *out)
{
    const struct packet_control keepalive = { .kind = PACKET_KEEPALIVE };

    for (size_t i = 0; i < out->command_count; i++) {
        uint16_t block = out->commands[i].block;

        switch (out->commands[i].kind) {
        case SESSION_INSTALL:
            install(o, p, &out->keys);
            break;
        case SESSION_ACTIVATE:
            activate(o, p, block);
            break;
        case SESSION_RETIRE:
            retire_block(o, p, block);
            break;
        case SESSION_SILENCE:
            publish_tx(o, p, NULL);
            break;
        case SESSION_UP:
            set_up(o, p, true);
            break;
        case SESSION_DOWN:
            set_up(o, p, false);
            break;
        case SESSION_KEEPALIVE:
            send_control(o, p, &keepalive, PACKET_CONTROL_LEN);
            break;
        }
    }
    sodium_memzero(&out->keys, sizeof(out->keys));
    if (out->packet_len > 0)
        send_bytes(o, out->packet, out->packet_len, &out->packet_to);
    follow_address(o, p);
    overlay_peer_retime(o, p);
}

/* The lanes must find the peer when the WELCOME to a HELLO of ours arrives. */
static void mark_pending(struct overlay *o, struct peer *p, uint16_t block)
{
    struct fabric_rx *rx = calloc(1, sizeof(*rx));

    if (rx == NULL)
        return; /* the WELCOME will be refused, the HELLO repeated */
    rx->peer = &p->fabric;
    rx->block = block;
    publish_rx(o, block, rx);
}

/* --- Time ------------------------------------------------------------------------------------ */

static void arm_timer(struct overlay *o);
static void refill_hints(struct overlay *o);

static void on_timer(uv_timer_t *timer)
{
    overlay_run_timers(CONTAINER_OF(timer, struct overlay, timer));
}

static void arm_timer(struct overlay *o)
{
    mono_ns now = overlay_now(o), at = heap_deadline(&o->timers);
    uint64_t ms;

    if (o->is_closing || at == MONO_NEVER) {
        (void)uv_timer_stop(&o->timer);
        return;
    }
    ms = at <= now ? 0 : (at - now + NS_PER_MS - 1) / NS_PER_MS;
    (void)uv_timer_start(&o->timer, on_timer, ms, 0); /* fails on a closing handle only */
}

void overlay_peer_retime(struct overlay *o, struct peer *p)
{
    mono_ns at = MONO_NEVER;

    if (p->fabric.is_stated)
        at = MIN(session_deadline(&p->fabric.session), pmtu_deadline(&p->pmtu));
    if (at == MONO_NEVER)
        heap_remove(&o->timers, &p->timer);
    else
        heap_set(&o->timers, &p->timer, at);
    arm_timer(o);
}

void overlay_run_timers(struct overlay *o)
{
    mono_ns now = overlay_now(o);
    struct heap_node *node;

    while ((node = heap_pop_due(&o->timers, now)) != NULL) {
        struct peer *p = CONTAINER_OF(node, struct peer, timer);
        struct session_chance chance;
        struct session_output out;

        draw_chance(o, &chance);
        session_on_timer(&p->fabric.session, &o->local, now, &chance, &out);
        if (out.block_used) {
            set_block_used(o, chance.block, true);
            mark_pending(o, p, (uint16_t)chance.block);
        }
        if (pmtu_on_timer(&p->pmtu, now)) {
            use_path_mtu(o, p);
            send_probe(o, p);
        }
        obey(o, p, &out);
    }
    refill_hints(o);
    reclaim_poll(&o->fabric.reclaim);
    arm_timer(o);
}

void overlay_peer_want(struct overlay *o, struct peer *p)
{
    if (!p->fabric.is_stated)
        return;
    session_set_wanted(&p->fabric.session, p->shared > 0, overlay_now(o));
    overlay_peer_retime(o, p);
}

void overlay_peer_drop_sessions(struct overlay *o, struct peer *p)
{
    struct session *s = &p->fabric.session;

    if (!p->fabric.is_stated)
        return;
    if (s->current.is_set)
        retire_block(o, p, s->current.block);
    if (s->previous.is_set)
        retire_block(o, p, s->previous.block);
    if (s->unproven.is_set)
        retire_block(o, p, s->unproven.block);
    if (s->is_pending)
        retire_block(o, p, s->pending_block);
    publish_tx(o, p, NULL);
    if (s->is_up)
        set_up(o, p, false);
    session_deinit(s);
    s->handshake_at = MONO_NEVER;
    heap_remove(&o->timers, &p->timer);
}

/* --- Notes of the lanes ---------------------------------------------------------------------- */

/* A note may be about a peer that was removed since: its address is only a key. */
static struct peer *known_peer(const struct overlay *o, const struct fabric_peer *fabric)
{
    struct peer *p = map_get_u64(&o->peer_marks, (uint64_t)(uintptr_t)fabric);

    return p != NULL && p->fabric.is_stated ? p : NULL;
}

static struct peer *peer_at(const struct overlay *o, const struct ip_endpoint *addr)
{
    struct map_iter it = { 0 };

    while (map_next(&o->peers, &it)) {
        struct peer *p = it.value;
        const struct session *s = &p->fabric.session;

        if (!p->fabric.is_stated)
            continue;
        if (ip_equal(&s->addr.addr, &addr->addr) && s->addr.port == addr->port)
            return p;
        for (size_t i = 0; i < s->addr_count; i++)
            if (ip_equal(&s->addrs[i].addr, &addr->addr) && s->addrs[i].port == addr->port)
                return p;
    }
    return NULL;
}

static void on_handshake(struct overlay *o, struct lane *l, struct peer *p,
                         const struct fabric_note *note)
{
    struct ip_endpoint from = underlay_endpoint(&note->from);
    struct session_chance chance;
    struct session_output out;
    int rc;

    draw_chance(o, &chance);
    rc = session_on_handshake(&p->fabric.session, &o->local, slice_of(note->bytes, note->len),
                              &from, overlay_now(o), &chance, &out);
    if (rc == ERR_STALE)
        fabric_count(&l->common->drop_handshake_replay, 1);
    else if (rc < 0 && rc != ERR_IN_USE)
        fabric_count(&l->common->drop_handshake_failed, 1);
    if (rc < 0)
        return;
    if (out.block_used)
        set_block_used(o, chance.block, true);
    atomic_store_explicit(&p->fabric.stamp_seen, p->fabric.session.stamp_seen,
                          memory_order_relaxed);
    obey(o, p, &out);
}

static void on_heard(struct overlay *o, struct peer *p, const struct fabric_note *note)
{
    struct ip_endpoint from = underlay_endpoint(&note->from);
    struct session_output out;

    session_on_heard(&p->fabric.session, note->block, &from, overlay_now(o), &out);
    obey(o, p, &out);
    if (note->kind == FABRIC_CONTROL && note->control.kind == PACKET_PROBE) {
        struct packet_control ack = { .kind = PACKET_PROBE_ACK, .size = note->control.size };

        send_control(o, p, &ack, PACKET_CONTROL_LEN);
    } else if (note->kind == FABRIC_CONTROL && note->control.kind == PACKET_PROBE_ACK) {
        on_probe_ack(o, p, note);
        overlay_peer_retime(o, p);
    }
}

static void on_note(struct overlay *o, struct lane *l, const struct fabric_note *note)
{
    struct ip_endpoint from = underlay_endpoint(&note->from);
    struct peer *p = note->kind == FABRIC_POKE ? peer_at(o, &from) : known_peer(o, note->peer);

    if (p == NULL)
        return;
    switch (note->kind) {
    case FABRIC_HANDSHAKE:
        on_handshake(o, l, p, note);
        return;
    case FABRIC_CONTROL:
    case FABRIC_HEARD:
        on_heard(o, p, note);
        return;
    case FABRIC_SPENT:
        session_on_spent(&p->fabric.session, overlay_now(o));
        break;
    case FABRIC_POKE:
        session_on_poke(&p->fabric.session, overlay_now(o));
        break;
    }
    overlay_peer_retime(o, p);
}

/* Hints of strangers are heard at a limited rate. */
static void refill_hints(struct overlay *o)
{
    mono_ns now = overlay_now(o);

    if (now < mono_after(o->hints_at, OVERLAY_HINTS_NS))
        return;
    o->hints_at = now;
    for (unsigned i = 0; i < o->fabric.lane_count; i++)
        atomic_store_explicit(&o->fabric.lanes[i]->poke_credit, OVERLAY_HINTS,
                              memory_order_relaxed);
}

void overlay_take_notes(struct overlay *o)
{
    struct fabric_note note;

    for (unsigned i = 0; i < o->fabric.lane_count; i++)
        while (lane_take_note(o->fabric.lanes[i], &note))
            on_note(o, o->fabric.lanes[i], &note);
    refill_hints(o);
    reclaim_poll(&o->fabric.reclaim);
}
