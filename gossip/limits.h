/* gossip/limits.h - Every bound of this folder, by name, with the sum that gives it. */
#ifndef GOSSIP_LIMITS_H
#define GOSSIP_LIMITS_H

#define GOSSIP_ADDR_LEN_MAX   18    /* IPv6 address and port */
#define GOSSIP_META_LEN_MAX   4096  /* what a node says about itself */
#define GOSSIP_KEYS_MAX       3     /* next, current and previous cluster gossip key */
#define GOSSIP_CONTACTS_MAX   64    /* addresses that are tried for ever */
#define GOSSIP_MEMBERS_MAX    16384 /* default bound of the member table */
#define GOSSIP_CANDIDATES_MAX 256   /* nodes that wait for the host's word */

/* A UDP payload that fits 1500-byte Ethernet with room for a tunnel's headers, as memberlist's. */
#define GOSSIP_PACKET_LEN_MAX 1400
#define GOSSIP_PACKET_LEN_MIN 576 /* smallest that a configuration may ask for */

/* Sealing: version and key epoch in clear, XChaCha20 nonce, Poly1305 tag. */
#define GOSSIP_SEAL_HEADER_LEN 5
#define GOSSIP_SEAL_NONCE_LEN  24
#define GOSSIP_SEAL_TAG_LEN    16
#define GOSSIP_SEAL_LEN        (GOSSIP_SEAL_HEADER_LEN + GOSSIP_SEAL_NONCE_LEN + GOSSIP_SEAL_TAG_LEN)

/* A stream is a row of sealed frames, each behind its length. */
#define GOSSIP_FRAME_LEN_MAX    32768
#define GOSSIP_STREAMS_IN_MAX   16   /* exchanges that others may have open with us */
#define GOSSIP_STREAMS_OUT_MAX  4    /* exchanges that we have open */
#define GOSSIP_STREAM_WANTS_MAX 2000 /* records that one exchange may ask for: 16000 bytes */

#define GOSSIP_PROBES_MAX      64 /* probes in flight, ours and those for others */
#define GOSSIP_HELPERS         3  /* indirect probes for one direct probe: [SWIM] 4.1 */
#define GOSSIP_ACCUSERS_MAX    4  /* accusations held about one member */
#define GOSSIP_PACKETS_OUT_MAX 64 /* packets that one step may put out */
#define GOSSIP_HEALTH_MAX      8  /* local health: 0 is well; [Lifeguard] IV-A */

#endif /* GOSSIP_LIMITS_H */
