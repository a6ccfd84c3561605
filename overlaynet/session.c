/* One machine per peer. Generations of keys: `unproven` (responder, waiting for the first packet),
 * `current` (we send under it), `previous` (receives stragglers). A new generation moves
 *
 *     initiator: WELCOME  -> current -> previous -> retired
 *     responder: HELLO    -> unproven -> (first packet) current -> previous -> retired
 *
 * Time enters only as `now`; a deadline is computed from the state, never stored twice. */
#include "overlaynet/session.h"

#include <sodium.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static const char label_mac[] = "shoal overlay mac 1";
static const char label_lane[] = "shoal overlay lane 1";
static const char label_prologue[] = "shoal overlay 1";

/* --- Keys ------------------------------------------------------------------------------------ */

void session_key_id(const uint8_t public_key[NOISE_KEY_LEN], uint8_t out[SESSION_KEY_ID_LEN])
{
    uint8_t digest[crypto_generichash_BYTES];

    (void)crypto_generichash(digest, sizeof(digest), public_key, NOISE_KEY_LEN, NULL, 0);
    memcpy(out, digest, SESSION_KEY_ID_LEN);
}

void session_local_init(struct session_local *l, const uint8_t secret[NOISE_KEY_LEN],
                        const uint8_t public_key[NOISE_KEY_LEN], uint8_t suites, uint8_t lanes,
                        uint32_t boot)
{
    CHECK(lanes >= 1 && lanes <= PACKET_LANE_CONTROL);
    memcpy(l->static_secret, secret, NOISE_KEY_LEN);
    memcpy(l->static_public, public_key, NOISE_KEY_LEN);
    session_key_id(public_key, l->key_id);
    l->suites = suites;
    l->lanes = lanes;
    l->stamp = (uint64_t)boot << 32;
}

void session_lane_key(const uint8_t direction[NOISE_KEY_LEN], enum aead_suite suite, unsigned lane,
                      uint8_t out[AEAD_KEY_LEN])
{
    uint8_t input[sizeof(label_lane) + 2];

    memcpy(input, label_lane, sizeof(label_lane));
    input[sizeof(label_lane)] = (uint8_t)suite;
    input[sizeof(label_lane) + 1] = (uint8_t)lane;
    (void)crypto_generichash(out, AEAD_KEY_LEN, input, sizeof(input), direction, NOISE_KEY_LEN);
}

/* The key for what `sender` sends: with the sender in it, a packet cannot be reflected. */
static void derive_mac_key(const uint8_t shared[32], const uint8_t sender[NOISE_KEY_LEN],
                           uint8_t out[32])
{
    uint8_t input[sizeof(label_mac) + NOISE_KEY_LEN];

    memcpy(input, label_mac, sizeof(label_mac));
    memcpy(input + sizeof(label_mac), sender, NOISE_KEY_LEN);
    (void)crypto_generichash(out, 32, input, sizeof(input), shared, 32);
}

int session_init(struct session *s, const struct session_local *l,
                 const uint8_t remote_static[NOISE_KEY_LEN])
{
    uint8_t shared[crypto_scalarmult_BYTES];

    if (crypto_scalarmult(shared, l->static_secret, remote_static) != 0)
        return ERR_UNAUTHENTICATED;
    *s = (struct session){
        .is_preferred = memcmp(l->static_public, remote_static, NOISE_KEY_LEN) < 0,
        .handshake_at = MONO_NEVER,
    };
    memcpy(s->remote_static, remote_static, NOISE_KEY_LEN);
    derive_mac_key(shared, l->static_public, s->mac_send);
    derive_mac_key(shared, remote_static, s->mac_receive);
    sodium_memzero(shared, sizeof(shared));
    return 0;
}

void session_deinit(struct session *s)
{
    sodium_memzero(s, sizeof(*s));
}

static void compute_mac(const uint8_t key[32], const uint8_t *packet, size_t len, uint8_t *out)
{
    (void)crypto_generichash(out, SESSION_MAC_LEN, packet, len, key, 32);
}

bool session_is_from(const struct session *s, struct slice packet)
{
    uint8_t mac[SESSION_MAC_LEN];
    size_t len;

    if (packet.len != SESSION_HELLO_LEN && packet.len != SESSION_WELCOME_LEN)
        return false;
    len = packet.len - SESSION_MAC_LEN;
    compute_mac(s->mac_receive, packet.ptr, len, mac);
    return sodium_memcmp(mac, packet.ptr + len, SESSION_MAC_LEN) == 0;
}

const uint8_t *session_hello_key_id(struct slice packet)
{
    return packet.len == SESSION_HELLO_LEN ? packet.ptr + PACKET_HEADER_LEN : NULL;
}

/* --- Small moves ----------------------------------------------------------------------------- */

static void command(struct session_output *out, enum session_command_kind kind, uint16_t block)
{
    CHECK(out->command_count < SESSION_COMMANDS_OUT);
    out->commands[out->command_count++] = (struct session_command){ .kind = kind, .block = block };
}

static void clear_output(struct session_output *out)
{
    out->command_count = 0;
    out->packet_len = 0;
    out->block_used = false;
}

static void retire(struct session_generation *g, struct session_output *out)
{
    if (!g->is_set)
        return;
    command(out, SESSION_RETIRE, g->block);
    g->is_set = false;
}

/* Makes `g` the generation that we send under. */
static void activate(struct session *s, struct session_generation g, mono_ns now,
                     struct session_output *out)
{
    retire(&s->previous, out);
    s->previous = s->current;
    s->previous_until = mono_after(now, SESSION_LINGER_NS);
    s->current = g;
    command(out, SESSION_ACTIVATE, g.block);
    s->handshakes++;
}

static void end_pending(struct session *s)
{
    s->is_pending = false;
    s->attempts = 0;
    noise_deinit(&s->noise);
}

static void mark_heard(struct session *s, mono_ns now, struct session_output *out)
{
    s->heard_at = now;
    if (!s->is_up) {
        s->is_up = true;
        command(out, SESSION_UP, 0);
    }
}

void session_set_addrs(struct session *s, const struct ip_endpoint *addrs, size_t count)
{
    CHECK(count <= SESSION_ADDRS_MAX);
    memcpy(s->addrs, addrs, count * sizeof(*addrs));
    s->addr_count = count;
    s->addr_next = 0;
}

struct ip_endpoint session_addr(const struct session *s)
{
    if (!ip_is_none(&s->addr.addr))
        return s->addr;
    if (s->addr_count == 0)
        return (struct ip_endpoint){ 0 };
    return s->addrs[s->addr_next % s->addr_count];
}

/* A handshake tries the address that worked, then each hint. */
static struct ip_endpoint hello_addr(const struct session *s)
{
    bool has_addr = !ip_is_none(&s->addr.addr);
    size_t count = s->addr_count + (has_addr ? 1 : 0);
    size_t turn = count == 0 ? 0 : s->attempts % count;

    if (count == 0)
        return (struct ip_endpoint){ 0 };
    if (has_addr)
        return turn == 0 ? s->addr : s->addrs[turn - 1];
    return s->addrs[turn];
}

/* --- Reasons for a handshake ----------------------------------------------------------------- */

void session_set_wanted(struct session *s, bool wanted, mono_ns now)
{
    if (wanted && !s->is_wanted && !s->current.is_set && !s->is_pending)
        s->handshake_at = now;
    s->is_wanted = wanted;
}

void session_on_poke(struct session *s, mono_ns now)
{
    if (s->is_pending || now < mono_after(s->poked_at, SESSION_POKE_NS) ||
        (s->current.is_set && now < mono_after(s->current.since, SESSION_POKE_NS)))
        return;
    s->poked_at = now;
    s->handshake_at = now;
}

void session_on_spent(struct session *s, mono_ns now)
{
    if (!s->is_pending)
        s->handshake_at = now;
}

/* --- Handshake ------------------------------------------------------------------------------- */

static int start_noise(struct noise_handshake *h, const struct session *s,
                       const struct session_local *l, enum noise_role role,
                       const uint8_t header[PACKET_HEADER_LEN], const uint8_t *ephemeral)
{
    uint8_t prologue[sizeof(label_prologue) + PACKET_HEADER_LEN];
    struct noise_config cfg = {
        .pattern = NOISE_KK,
        .role = role,
        .prologue = slice_of(prologue, sizeof(prologue)),
        .static_secret = l->static_secret,
        .ephemeral_secret = ephemeral,
        .remote_static = s->remote_static,
    };

    memcpy(prologue, label_prologue, sizeof(label_prologue));
    memcpy(prologue + sizeof(label_prologue), header, PACKET_HEADER_LEN);
    return noise_init(h, &cfg);
}

/* Exponential, with up to a third of jitter so that a thousand peers do not knock at once. */
static mono_ns retry_delay(unsigned attempts, uint32_t jitter)
{
    mono_ns delay = SESSION_RETRY_MAX_NS;

    if (attempts <= 5)
        delay = MIN(delay, SESSION_RETRY_MIN_NS << (attempts - 1));
    return delay + delay / 3 * (jitter % 1024) / 1024;
}

static void send_hello(struct session *s, struct session_local *l, mono_ns now,
                       const struct session_chance *chance, struct session_output *out)
{
    struct packet_header h = { .type = PACKET_HELLO };
    uint8_t payload[SESSION_HELLO_PAYLOAD_LEN] = { l->suites, l->lanes };
    uint8_t *at = out->packet;
    size_t len = 0;

    if (!s->is_pending) {
        if (chance->block >= PACKET_BLOCKS) {
            s->handshake_at = mono_after(now, SESSION_RETRY_MAX_NS);
            return;
        }
        s->pending_block = (uint16_t)chance->block;
        out->block_used = true;
        s->attempts = 0;
    }
    out->packet_to = hello_addr(s);
    s->is_pending = true;
    s->attempts++;
    s->handshake_at = mono_after(now, retry_delay(s->attempts, chance->jitter));
    s->pending_stamp = ++l->stamp;
    h.session = (uint16_t)(s->pending_block << PACKET_LANE_BITS);
    h.counter = s->pending_stamp;
    packet_header_write(&h, at);
    memcpy(at + PACKET_HEADER_LEN, l->key_id, SESSION_KEY_ID_LEN);
    noise_deinit(&s->noise);
    if (start_noise(&s->noise, s, l, NOISE_INITIATOR, at, chance->ephemeral) < 0 ||
        noise_write(&s->noise, slice_of(payload, sizeof(payload)),
                    at + PACKET_HEADER_LEN + SESSION_KEY_ID_LEN,
                    NOISE_KK_OVERHEAD + sizeof(payload), &len) < 0)
        return; /* a key of low order cannot be here: session_init() refused it */
    compute_mac(s->mac_send, at, SESSION_HELLO_LEN - SESSION_MAC_LEN,
                at + SESSION_HELLO_LEN - SESSION_MAC_LEN);
    if (!ip_is_none(&out->packet_to.addr))
        out->packet_len = SESSION_HELLO_LEN;
}

static void send_welcome(const struct session *s, const struct packet_header *hello,
                         struct noise_handshake *noise, const struct session_keys *k, uint8_t lanes,
                         struct session_output *out)
{
    struct packet_header h = { .type = PACKET_WELCOME,
                               .session = hello->session,
                               .counter = hello->counter };
    uint8_t payload[SESSION_WELCOME_PAYLOAD_LEN] = { (uint8_t)(k->local_block >> 8),
                                                     (uint8_t)k->local_block, (uint8_t)k->suite,
                                                     lanes };
    uint8_t *at = out->packet;
    size_t len = 0;

    packet_header_write(&h, at);
    if (noise_write(noise, slice_of(payload, sizeof(payload)), at + PACKET_HEADER_LEN,
                    NOISE_KK_OVERHEAD + sizeof(payload), &len) < 0)
        return; /* low order was refused when the HELLO was read */
    compute_mac(s->mac_send, at, SESSION_WELCOME_LEN - SESSION_MAC_LEN,
                at + SESSION_WELCOME_LEN - SESSION_MAC_LEN);
    out->packet_len = SESSION_WELCOME_LEN;
}

static int take_keys(struct noise_handshake *noise, struct session_keys *k)
{
    struct noise_cipher send, receive;
    int rc = noise_split(noise, &send, &receive);

    if (rc == 0) {
        memcpy(k->send, send.key, NOISE_KEY_LEN);
        memcpy(k->receive, receive.key, NOISE_KEY_LEN);
        noise_cipher_deinit(&send);
        noise_cipher_deinit(&receive);
    }
    return rc;
}

static uint16_t read_block(const uint8_t *payload)
{
    return (uint16_t)(payload[0] << 8 | payload[1]);
}

static bool is_lane_count(uint8_t lanes)
{
    return lanes >= 1 && lanes <= PACKET_LANE_CONTROL;
}

static int on_hello(struct session *s, struct session_local *l, const struct packet_header *h,
                    struct slice packet, const struct ip_endpoint *from, mono_ns now,
                    const struct session_chance *chance, struct session_output *out)
{
    struct slice message = slice_of(packet.ptr + PACKET_HEADER_LEN + SESSION_KEY_ID_LEN,
                                    NOISE_KK_OVERHEAD + SESSION_HELLO_PAYLOAD_LEN);
    uint8_t payload[SESSION_HELLO_PAYLOAD_LEN];
    struct session_keys *k = &out->keys;
    struct noise_handshake noise;
    size_t len = 0;
    int rc;

    if (h->counter <= s->stamp_seen)
        return ERR_STALE;
    if (s->is_pending && s->attempts == 1 && s->is_preferred)
        return ERR_IN_USE;
    if (chance->block >= PACKET_BLOCKS)
        return ERR_FULL;
    rc = start_noise(&noise, s, l, NOISE_RESPONDER, packet.ptr, chance->ephemeral);
    if (rc == 0)
        rc = noise_read(&noise, message, payload, sizeof(payload), &len);
    if (rc == 0 && (len != sizeof(payload) || !is_lane_count(payload[1])))
        rc = ERR_MALFORMED;
    if (rc == 0 && (payload[0] & l->suites) == 0)
        rc = ERR_UNSUPPORTED;
    if (rc < 0)
        goto out;
    *k = (struct session_keys){
        .suite =
            (payload[0] & l->suites & AEAD_AES256GCM) != 0 ? AEAD_AES256GCM : AEAD_CHACHA20POLY1305,
        .local_block = (uint16_t)chance->block,
        .remote_block = h->session >> PACKET_LANE_BITS,
        .remote_lanes = payload[1],
    };
    send_welcome(s, h, &noise, k, l->lanes, out);
    rc = take_keys(&noise, k);
    if (rc < 0) {
        out->packet_len = 0;
        goto out;
    }
    s->stamp_seen = h->counter;
    retire(&s->unproven, out);
    s->unproven = (struct session_generation){
        .is_set = true, .block = k->local_block, .suite = k->suite, .since = now
    };
    out->packet_to = *from;
    out->block_used = true;
    command(out, SESSION_INSTALL, k->local_block);
out:
    noise_deinit(&noise);
    return rc;
}

static int on_welcome(struct session *s, const struct packet_header *h, struct slice packet,
                      const struct ip_endpoint *from, mono_ns now, const struct session_local *l,
                      struct session_output *out)
{
    struct slice message =
        slice_of(packet.ptr + PACKET_HEADER_LEN, NOISE_KK_OVERHEAD + SESSION_WELCOME_PAYLOAD_LEN);
    uint8_t payload[SESSION_WELCOME_PAYLOAD_LEN];
    struct session_keys *k = &out->keys;
    size_t len = 0;
    int rc;

    if (!s->is_pending || h->counter != s->pending_stamp ||
        h->session != s->pending_block << PACKET_LANE_BITS)
        return ERR_STALE;
    rc = noise_read(&s->noise, message, payload, sizeof(payload), &len);
    if (rc < 0)
        return rc; /* the HELLO is spent; the next one goes out at handshake_at */
    if (len != sizeof(payload) || read_block(payload) >= PACKET_BLOCKS ||
        (payload[2] != AEAD_AES256GCM && payload[2] != AEAD_CHACHA20POLY1305) ||
        !is_lane_count(payload[3]))
        return ERR_MALFORMED;
    if ((payload[2] & l->suites) == 0)
        return ERR_UNSUPPORTED;
    *k = (struct session_keys){
        .suite = (enum aead_suite)payload[2],
        .local_block = s->pending_block,
        .remote_block = read_block(payload),
        .remote_lanes = payload[3],
    };
    rc = take_keys(&s->noise, k);
    if (rc < 0)
        return rc;
    command(out, SESSION_INSTALL, k->local_block);
    activate(s,
             (struct session_generation){ .is_set = true,
                                          .is_initiator = true,
                                          .is_proven = true,
                                          .block = k->local_block,
                                          .suite = k->suite,
                                          .since = now },
             now, out);
    end_pending(s);
    s->handshake_at = mono_after(now, SESSION_REKEY_NS);
    s->addr = *from;
    mark_heard(s, now, out);
    command(out, SESSION_KEEPALIVE, k->local_block); /* proves it to the responder */
    s->keepalive_at = mono_after(now, SESSION_KEEPALIVE_NS);
    return 0;
}

int session_on_handshake(struct session *s, struct session_local *l, struct slice packet,
                         const struct ip_endpoint *from, mono_ns now,
                         const struct session_chance *chance, struct session_output *out)
{
    struct packet_header h;
    int rc = packet_header_read(packet.ptr, packet.len, &h);

    clear_output(out);
    if (rc < 0)
        return rc;
    if (h.type == PACKET_HELLO && packet.len == SESSION_HELLO_LEN)
        return on_hello(s, l, &h, packet, from, now, chance, out);
    if (h.type == PACKET_WELCOME && packet.len == SESSION_WELCOME_LEN)
        return on_welcome(s, &h, packet, from, now, l, out);
    return ERR_MALFORMED;
}

void session_on_heard(struct session *s, uint16_t block, const struct ip_endpoint *from,
                      mono_ns now, struct session_output *out)
{
    clear_output(out);
    if (s->unproven.is_set && s->unproven.block == block) {
        struct session_generation g = s->unproven;

        s->unproven.is_set = false;
        g.is_proven = true;
        activate(s, g, now, out);
        if (s->is_pending) {
            command(out, SESSION_RETIRE, s->pending_block);
            end_pending(s);
        }
        s->handshake_at = mono_after(now, SESSION_REKEY_NS + SESSION_REKEY_LATE_NS);
        command(out, SESSION_KEEPALIVE, g.block);
        s->keepalive_at = mono_after(now, SESSION_KEEPALIVE_NS);
    } else if (!(s->current.is_set && s->current.block == block) &&
               !(s->previous.is_set && s->previous.block == block)) {
        return; /* retired meanwhile */
    }
    if (!ip_is_none(&from->addr))
        s->addr = *from;
    mark_heard(s, now, out);
}

/* --- Time ------------------------------------------------------------------------------------ */

void session_on_timer(struct session *s, struct session_local *l, mono_ns now,
                      const struct session_chance *chance, struct session_output *out)
{
    clear_output(out);
    if (s->previous.is_set && now >= s->previous_until)
        retire(&s->previous, out);
    if (s->unproven.is_set && now >= mono_after(s->unproven.since, SESSION_LINGER_NS))
        retire(&s->unproven, out);
    if (s->current.is_set && now >= mono_after(s->current.since, SESSION_EXPIRE_NS)) {
        command(out, SESSION_SILENCE, 0);
        retire(&s->current, out);
        if (!s->is_pending)
            s->handshake_at = now;
    }
    if (s->is_up && now >= mono_after(s->heard_at, SESSION_DEAD_NS)) {
        s->is_up = false;
        command(out, SESSION_DOWN, 0);
        if (!s->is_pending)
            s->handshake_at = now;
    }
    if (s->current.is_set && now >= s->keepalive_at) {
        command(out, SESSION_KEEPALIVE, s->current.block);
        s->keepalive_at = mono_after(now, SESSION_KEEPALIVE_NS);
    }
    if (now >= s->handshake_at) {
        if (s->is_wanted) {
            send_hello(s, l, now, chance, out);
        } else {
            if (s->is_pending) {
                command(out, SESSION_RETIRE, s->pending_block);
                end_pending(s);
            }
            s->handshake_at = MONO_NEVER;
        }
    }
}

mono_ns session_deadline(const struct session *s)
{
    mono_ns d = s->handshake_at;

    if (s->previous.is_set)
        d = MIN(d, s->previous_until);
    if (s->unproven.is_set)
        d = MIN(d, mono_after(s->unproven.since, SESSION_LINGER_NS));
    if (s->current.is_set) {
        d = MIN(d, mono_after(s->current.since, SESSION_EXPIRE_NS));
        d = MIN(d, s->keepalive_at);
    }
    if (s->is_up)
        d = MIN(d, mono_after(s->heard_at, SESSION_DEAD_NS));
    return d;
}
