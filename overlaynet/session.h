/* overlaynet/session.h - Keys with one other node: handshakes, renewal, loss. Pure.
 *
 * A state machine for each peer. Two nodes that know each other's static keys agree on session
 * keys by Noise_KK_25519_ChaChaPoly_SHA256, in one round trip:
 *
 *     initiator                                        responder
 *       HELLO   e, es, ss  {suites}             ->       INSTALL (receive only: unproven)
 *               INSTALL, ACTIVATE (send)        <-       WELCOME  e, ee, se  {index, suite}
 *       first sealed packet (keep-alive)        ->       ACTIVATE (send)
 *
 * A HELLO that was recorded earlier and is sent again cannot be completed, so the responder goes
 * on sending under the session that it has until the peer has proven the new one.
 *
 * Both messages end in a MAC under a key that only the two nodes have: the static-static secret,
 * computed once. A stranger's packet thus costs one hash and leaves no state, which is why there
 * are no cookies. HELLOs carry a stamp that never goes back, not even over restarts, so recorded
 * ones are refused; WELCOME repeats the stamp and is good for one handshake only.
 *
 * The host, for every call with an output:
 *     out.commands in order     session keys to install, activate, retire; up and down
 *     out.packets               handshake packets to send
 *     session_deadline()        call session_on_timer() then at the latest
 * Randomness comes in with the call. Not thread-safe. */
#ifndef OVERLAYNET_SESSION_H
#define OVERLAYNET_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/noise.h"
#include "base/slice.h"
#include "base/units.h"
#include "overlaynet/aead.h"
#include "overlaynet/ip.h"
#include "overlaynet/packet.h"

#define SESSION_REKEY_NS \
    (120 * NS_PER_S) /* the initiator renews; the responder if it does not .. */
#define SESSION_REKEY_LATE_NS (10 * NS_PER_S)   /* .. so much later */
#define SESSION_EXPIRE_NS     (180 * NS_PER_S)  /* keys are not used any longer: fail closed */
#define SESSION_LINGER_NS     (20 * NS_PER_S)   /* replaced keys still open stragglers */
#define SESSION_RETRY_MIN_NS  (250 * NS_PER_MS) /* doubles up to .. */
#define SESSION_RETRY_MAX_NS  (5 * NS_PER_S)    /* .. plus up to a third of jitter */
#define SESSION_KEEPALIVE_NS  (5 * NS_PER_S)
#define SESSION_DEAD_NS       (15 * NS_PER_S) /* three keep-alives missed */
#define SESSION_POKE_NS       (1 * NS_PER_S)  /* at most one handshake on a stranger's hint */

/* Packets under one key: far below what AES-GCM bears (RFC 9001 B.1: 2^28 of up to 2 KiB leave a
 * distinguishing advantage below 2^-57), above what 120 s can carry on a 10 Gbit/s lane. */
#define SESSION_PACKETS_RENEW (UINT64_C(1) << 27)
#define SESSION_PACKETS_MAX   (UINT64_C(1) << 28)
#define SESSION_FORGERIES_MAX (UINT64_C(1) << 36) /* RFC 9001 6.6, the stricter suite */

#define SESSION_MAC_LEN             16
#define SESSION_KEY_ID_LEN          8
#define SESSION_HELLO_PAYLOAD_LEN   4
#define SESSION_WELCOME_PAYLOAD_LEN 4
#define SESSION_HELLO_LEN                                                                     \
    (PACKET_HEADER_LEN + SESSION_KEY_ID_LEN + NOISE_KK_OVERHEAD + SESSION_HELLO_PAYLOAD_LEN + \
     SESSION_MAC_LEN)
#define SESSION_WELCOME_LEN \
    (PACKET_HEADER_LEN + NOISE_KK_OVERHEAD + SESSION_WELCOME_PAYLOAD_LEN + SESSION_MAC_LEN)
#define SESSION_ADDRS_MAX    4
#define SESSION_PACKETS_OUT  1
#define SESSION_COMMANDS_OUT 6

/* What all sessions of this node have in common. */
struct session_local {
    uint8_t static_secret[NOISE_KEY_LEN];
    uint8_t static_public[NOISE_KEY_LEN];
    uint8_t key_id[SESSION_KEY_ID_LEN];
    uint8_t suites; /* set of enum aead_suite */
    uint8_t lanes;  /* data lanes that this node sends from: 1 to PACKET_LANE_CONTROL */
    uint64_t stamp; /* of the last HELLO; the next one is larger */
};

/* Fills the derived fields. `boot` grows with every start of this node, for ever. */
void session_local_init(struct session_local *l, const uint8_t secret[NOISE_KEY_LEN],
                        const uint8_t public_key[NOISE_KEY_LEN], uint8_t suites, uint8_t lanes,
                        uint32_t boot);

/* The name of a static key in HELLO packets. */
void session_key_id(const uint8_t public_key[NOISE_KEY_LEN], uint8_t out[SESSION_KEY_ID_LEN]);

/* Fresh random bytes, and a free block of session indexes (PACKET_BLOCKS = none is free). */
struct session_chance {
    uint8_t ephemeral[NOISE_KEY_LEN];
    uint32_t jitter;
    uint32_t block;
};

/* Keys of one session. Secret. */
struct session_keys {
    enum aead_suite suite;
    uint16_t local_block;  /* the peer addresses packets to this block of ours */
    uint16_t remote_block; /* ours go to this one */
    uint8_t remote_lanes;  /* data lanes that the peer sends from */
    uint8_t send[NOISE_KEY_LEN];
    uint8_t receive[NOISE_KEY_LEN];
};

/* The key of one lane in one direction. */
void session_lane_key(const uint8_t direction[NOISE_KEY_LEN], enum aead_suite suite, unsigned lane,
                      uint8_t out[AEAD_KEY_LEN]);

enum session_command_kind {
    SESSION_INSTALL,  /* receive under `keys` from now on; its block was the one offered */
    SESSION_ACTIVATE, /* send under session `block` from now on */
    SESSION_RETIRE,   /* forget session `block` and its keys; the block is free again */
    SESSION_SILENCE,  /* there is nothing to send under any more */
    SESSION_UP,
    SESSION_DOWN,
    SESSION_KEEPALIVE, /* send a keep-alive under the active session */
};

struct session_command {
    enum session_command_kind kind;
    uint16_t block;
};

struct session_output {
    struct session_command commands[SESSION_COMMANDS_OUT];
    size_t command_count;
    struct session_keys keys; /* of SESSION_INSTALL; the host wipes it */
    uint8_t packet[SESSION_HELLO_LEN];
    size_t packet_len; /* 0 = none */
    struct ip_endpoint packet_to;
    bool block_used; /* chance.block belongs to this peer now, until SESSION_RETIRE */
};

/* One generation of keys. */
struct session_generation {
    bool is_set;
    bool is_initiator;
    bool is_proven; /* the peer has sent something under it */
    uint16_t block;
    enum aead_suite suite;
    mono_ns since;
};

struct session {
    uint8_t remote_static[NOISE_KEY_LEN];
    uint8_t mac_send[32], mac_receive[32]; /* from the static-static secret */
    bool is_preferred;                     /* of two crossing first HELLOs, ours counts */
    bool is_wanted;
    bool is_up;
    struct ip_endpoint addrs[SESSION_ADDRS_MAX]; /* hints */
    size_t addr_count, addr_next;
    struct ip_endpoint addr; /* where authentic packets come from; none before the first */
    uint64_t stamp_seen;     /* largest stamp of an accepted HELLO */
    struct session_generation current, previous, unproven;

    /* Our own HELLO under way. */
    bool is_pending;
    unsigned attempts;
    uint16_t pending_block;
    uint64_t pending_stamp;
    struct noise_handshake noise;

    mono_ns handshake_at; /* when the next HELLO is due; MONO_NEVER = no reason */
    mono_ns heard_at, keepalive_at, poked_at, previous_until;
    uint64_t handshakes; /* completed */
};

/*   ERR_UNAUTHENTICATED (a static key of low order) */
NODISCARD int session_init(struct session *s, const struct session_local *l,
                           const uint8_t remote_static[NOISE_KEY_LEN]);
void session_deinit(struct session *s); /* wipes; blocks still held are in current, previous .. */

void session_set_addrs(struct session *s, const struct ip_endpoint *addrs, size_t count);

/* Wanted sessions are made and kept; others are answered and left to expire. */
void session_set_wanted(struct session *s, bool wanted, mono_ns now);

/* True when a HELLO or WELCOME carries the MAC of this peer: the only test that a stranger's
 * packet can cause. `packet` has passed packet_header_read(). */
bool session_is_from(const struct session *s, struct slice packet);

/* The sender's key id of a HELLO; NULL when it is too short. */
const uint8_t *session_hello_key_id(struct slice packet);

/* A handshake packet that session_is_from() accepted, received from `from`.
 *   ERR_STALE            a HELLO that is not newer than one seen, a WELCOME to no HELLO of ours
 *   ERR_IN_USE           our own HELLO crosses it and is preferred
 *   ERR_MALFORMED, ERR_UNAUTHENTICATED, ERR_UNSUPPORTED (no common suite), ERR_FULL (no block)
 * On error nothing changed, except that a WELCOME that does not verify ends its HELLO. */
NODISCARD int session_on_handshake(struct session *s, struct session_local *l, struct slice packet,
                                   const struct ip_endpoint *from, mono_ns now,
                                   const struct session_chance *chance, struct session_output *out);

/* Something authentic arrived under session `block`. `from` is none when the packet did not come
 * from the peer's data port. */
void session_on_heard(struct session *s, uint16_t block, const struct ip_endpoint *from,
                      mono_ns now, struct session_output *out);

/* Somebody at this peer's address sent under a session that we do not have: it, or we, restarted.
 */
void session_on_poke(struct session *s, mono_ns now);

/* The active key has carried SESSION_PACKETS_RENEW packets. */
void session_on_spent(struct session *s, mono_ns now);

void session_on_timer(struct session *s, struct session_local *l, mono_ns now,
                      const struct session_chance *chance, struct session_output *out);

mono_ns session_deadline(const struct session *s);

/* Where to send: the address last heard from, else the hint in turn. None when there is none. */
struct ip_endpoint session_addr(const struct session *s);

#endif /* OVERLAYNET_SESSION_H */
