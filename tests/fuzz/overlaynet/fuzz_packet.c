/* Whatever arrives at the data port: header, control content, handshake. Nothing may crash; what
 * reads as a header must write back as the same bytes. */
#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "overlaynet/packet.h"
#include "overlaynet/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct session session;
static struct session_local local;

static void start(void)
{
    static uint8_t secret[32] = { 1 }, peer_secret[32] = { 2 };
    uint8_t public_key[32], peer_public[32];

    if (local.lanes != 0)
        return;
    CHECK(sodium_init() >= 0);
    crypto_scalarmult_base(public_key, secret);
    crypto_scalarmult_base(peer_public, peer_secret);
    session_local_init(&local, secret, public_key, AEAD_CHACHA20POLY1305, 1, 1);
    CHECK(session_init(&session, &local, peer_public) == 0);
}

/* The MAC is made right, so that fuzzing gets past it. */
static void feed_handshake(const uint8_t *data, size_t size)
{
    const struct ip_endpoint from = { .addr = { .len = 4, .bytes = { 10, 0, 0, 2 } }, .port = 1 };
    struct session_chance chance = { .block = 7 };
    uint8_t packet[SESSION_HELLO_LEN];
    struct session_output out;
    struct session copy = session;

    if (size != SESSION_HELLO_LEN && size != SESSION_WELCOME_LEN)
        return;
    memcpy(packet, data, size);
    crypto_generichash(packet + size - SESSION_MAC_LEN, SESSION_MAC_LEN, packet,
                       size - SESSION_MAC_LEN, session.mac_receive, 32);
    CHECK(session_is_from(&copy, slice_of(packet, size)));
    memset(chance.ephemeral, 5, sizeof(chance.ephemeral));
    if (session_on_handshake(&copy, &local, slice_of(packet, size), &from, 1000, &chance, &out) ==
        0)
        CHECK(out.command_count <= SESSION_COMMANDS_OUT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet_control control;
    struct packet_header h;
    uint8_t again[PACKET_HEADER_LEN];

    start();
    if (packet_header_read(data, size, &h) == 0) {
        packet_header_write(&h, again);
        CHECK(memcmp(again, data, sizeof(again)) == 0);
    }
    if (packet_control_read(data, size, &control) == 0)
        CHECK(control.kind >= PACKET_KEEPALIVE && control.kind <= PACKET_PROBE_ACK);
    feed_handshake(data, size);
    return 0;
}
