/* raft/wal_record.h - The bytes of a record and of the manifest. Private to the log.
 *
 * A record is a header in the clear, authenticated twice (its own check, so that a header can be
 * trusted when its payload is damaged; and as associated data of the seal), and a sealed payload:
 * the whole state of the log after the record, then entries. Every number is little-endian.
 * Layout, with the reasons: docs/formats/wal.md. */
#ifndef RAFT_WAL_RECORD_H
#define RAFT_WAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "raft/disk.h"
#include "raft/wal.h"

#define WAL_HEADER_BYTES        128u
#define WAL_STATE_BYTES         64u
#define WAL_ALIGN_BYTES         16u
#define WAL_TAG_BYTES           16u
#define WAL_NONCE_BYTES         24u
#define WAL_MANIFEST_FILE       "manifest"
#define WAL_MANIFEST_BYTES      8192u /* two slots, so that a torn write leaves the other */
#define WAL_MANIFEST_SLOT_BYTES 512u  /* one sector */

struct wal_keys { /* all derived from the node's data key; secret */
    uint8_t record[32];
    uint8_t check[16];
    uint8_t manifest[32];
    uint8_t snapshot[32];               /* raft/wal_snapshot.c */
    uint8_t cluster[WAL_CLUSTER_BYTES]; /* not secret: associated data */
    uint64_t node;
};

struct wal_place {
    uint64_t segment;
    uint64_t offset;
};

struct wal_header {
    uint32_t payload_len; /* a multiple of WAL_ALIGN_BYTES */
    uint64_t seq;         /* one more than the record before; a later incarnation may skip some */
    uint64_t synced_seq;  /* this and all before were durable when this was sealed: the witness */
    uint64_t first_index; /* the log is cut before it; entries follow from it */
    uint64_t last_index;  /* first_index - 1 + entries */
    uint64_t last_term;   /* of last_index */
    uint64_t term;        /* hard state, here so that it outlives a damaged payload */
    uint64_t vote;
    uint8_t nonce[WAL_NONCE_BYTES];
    uint8_t prev_tag[WAL_TAG_BYTES]; /* of the record this one continues */
    uint8_t tag[WAL_TAG_BYTES];
};

/* The first bytes of every payload. With the header it is the whole state of the log after the
 * record, so that no earlier record is needed but for entries, and for the configuration at the
 * base: that is in the record that set the base, and in the first of every segment. */
struct wal_state {
    raft_index commit;
    struct raft_entry_id base;
    uint64_t rewinds; /* counts truncations and openings: equal before and after a gap means that
                       * nothing before the gap was cut in it */
    struct raft_entry_id acknowledged; /* repair pending up to here; {0, 0} = none */
    uint64_t conf_len;                 /* bytes of configuration between this and the entries */
    uint64_t entry_count;              /* in this record */
};

struct wal_manifest {
    uint64_t counter; /* the higher of the two slots counts */
    uint64_t synced_seq;
    struct raft_hard_state hard_state;
    struct raft_entry_id last; /* of the log at synced_seq */
    struct raft_entry_id base;
};

void wal_keys_derive(const struct wal_config *cfg, struct wal_keys *out);
void wal_keys_wipe(struct wal_keys *k);

/* Where the record after one that ends at `offset` begins: aligned, and moved to the next sector
 * where its header would straddle two. */
uint64_t wal_next_offset(uint64_t offset);

/* Seals `record` in place: WAL_HEADER_BYTES to be written, then payload_len bytes of payload. Fills
 * in h->tag. */
void wal_record_seal(const struct wal_keys *k, struct wal_place at, struct wal_header *h,
                     uint8_t *record);

/* True when a header lies at `bytes` (`len` of them to the end of the segment), was written for
 * this place, and its payload does not reach past the end. */
bool wal_header_read(const struct wal_keys *k, struct wal_place at, const uint8_t *bytes,
                     size_t len, struct wal_header *out);

/* Opens the payload after a header that wal_header_read() accepted. */
bool wal_payload_open(const struct wal_keys *k, struct wal_place at, const struct wal_header *h,
                      const uint8_t *bytes, uint8_t *out);

void wal_state_write(const struct wal_state *s, uint8_t out[WAL_STATE_BYTES]);
void wal_state_read(const uint8_t in[WAL_STATE_BYTES], struct wal_state *out);

void wal_entry_write_head(const struct raft_entry *e, uint8_t out[WAL_ENTRY_OVERHEAD]);

/* Takes the entry at *cursor of an opened payload; false when the bytes there are none. Its index
 * is the caller's to set. Borrows from `payload`. */
bool wal_entry_read(struct slice payload, size_t *cursor, struct raft_entry *out);

void wal_manifest_write(const struct wal_keys *k, const struct wal_manifest *m,
                        uint8_t out[WAL_MANIFEST_SLOT_BYTES]);

/* Reads one slot: 0; ERR_NOT_FOUND (never written, or damaged), ERR_WRONG_CLUSTER. */
NODISCARD int wal_manifest_read(const struct wal_keys *k, const uint8_t in[WAL_MANIFEST_SLOT_BYTES],
                                struct wal_manifest *out);

void wal_segment_name(uint64_t segment, char out[DISK_NAME_CAP]);
NODISCARD bool wal_segment_of_name(const char *name, uint64_t *out);

void wal_put64(uint8_t *p, uint64_t v);
uint64_t wal_get64(const uint8_t *p);
bool wal_is_zero(const uint8_t *bytes, size_t len);

#endif /* RAFT_WAL_RECORD_H */
