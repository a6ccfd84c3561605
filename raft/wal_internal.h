/* raft/wal_internal.h - What the parts of the log share. Private to it.
 *
 * wal.c appends and flushes, wal_spare.c keeps segments and manifest, wal_scan.c reads records back
 * from files, wal_recover.c decides what they mean, wal_resume.c continues after them. */
#ifndef RAFT_WAL_INTERNAL_H
#define RAFT_WAL_INTERNAL_H

#include "raft/wal.h"
#include "raft/wal_record.h"

#define WAL_SPARES_MAX    8u
#define WAL_SPARE_OPS_MAX 6u
#define WAL_FILL_FILE     "fill.tmp"
#define WAL_MANIFEST_TMP  "manifest.tmp"
#define WAL_RECORD_TARGET_BYTES                                        \
    (UINT32_C(256) << 10) /* a record is closed when it gets so large: \
                           * what one rotten sector can take away */
#define WAL_CONF_ELSEWHERE                                                 \
    UINT64_MAX /* wal_state.conf_len: the base's configuration is not here \
                */

/* A file that holds records, or did. */
struct wal_segment {
    uint64_t id;
    raft_index index_max; /* no entry above is in it */
};

/* Bytes of one segment within a stage: one WRITE. */
struct wal_extent {
    uint64_t segment;
    uint64_t offset;
    size_t at; /* in wal_stage.bytes */
    size_t len;
};

/* What one flush carries, and the state that it makes durable. */
struct wal_stage {
    uint8_t *bytes;
    size_t len, cap;
    struct wal_extent *extents;
    size_t extent_count, extent_cap;
    struct disk_op *ops; /* built by take_flush */
    size_t op_cap;
    raft_write write;
    uint64_t seq;
    uint64_t segment; /* of the last record */
    struct raft_hard_state hard_state;
    struct raft_entry_id last, base;
    uint64_t records, entries;
};

/* The record that is still being filled: appended to the stage, not sealed. */
struct wal_open_record {
    bool is_open;
    bool has_conf;
    size_t at; /* of its header in the stage */
    struct wal_place place;
    raft_index first_index;
    uint64_t entry_count;
};

struct wal {
    struct wal_config cfg; /* its key is wiped after derivation */
    struct wal_keys keys;
    uint64_t nonce_counter;
    int error;

    /* The log as staged: what the next record describes. */
    struct raft_hard_state hard_state;
    struct raft_entry_id base, last;
    uint8_t conf[RAFT_CONF_LEN_MAX]; /* at the base */
    size_t conf_len;
    bool conf_is_written; /* since it changed, in a segment that will not go before the base does */
    uint64_t rewinds;
    struct raft_entry_id acknowledged;

    /* The end of the log file. */
    uint64_t seq; /* of the last record, open one included */
    uint8_t prev_tag[WAL_TAG_BYTES];
    struct wal_segment *segments; /* ascending; the last is the active one */
    size_t segment_count, segment_cap;
    uint64_t active_offset; /* where the next record may begin; segment_bytes = closed */
    struct wal_open_record open;

    struct wal_stage stages[2];
    unsigned gathering; /* the stage that appends go to; the other is in flight or empty */
    bool lane_busy[WAL_LANE_COUNT];

    /* Durable. seq > opened_seq once anything of this incarnation is. */
    uint64_t opened_seq;
    raft_write durable_write;
    uint64_t durable_seq;
    uint64_t durable_segment;
    struct raft_hard_state durable_hard_state;
    struct raft_entry_id durable_base, durable_last;

    /* The first job of the log lane: see wal_resume.c. */
    struct {
        enum { WAL_SETTLE_PENDING, WAL_SETTLE_RUNNING, WAL_SETTLE_DONE } state;
        struct disk_op *ops;
        size_t op_count;
        void *memory; /* what the ops write */
    } settle;

    /* Spare lane. */
    uint64_t spares[WAL_SPARES_MAX]; /* ascending ids of ready files */
    size_t spare_count;
    uint64_t segment_id_max; /* ever seen: ids are not reused */
    bool is_starved;
    bool has_stray_fill; /* WAL_FILL_FILE may exist */
    enum {
        WAL_SPARE_IDLE,
        WAL_SPARE_MANIFEST,
        WAL_SPARE_MAKE,
        WAL_SPARE_DROP,
        WAL_SPARE_CLEAR,
        WAL_SPARE_WITNESS
    } spare_work;
    struct disk_op spare_ops[WAL_SPARE_OPS_MAX];
    bool has_manifest;
    bool wants_witness;
    uint64_t manifest_counter; /* of the newest slot */
    uint64_t manifest_seq;     /* what it witnesses */
    uint64_t manifest_seq_writing;
    uint8_t manifest_slot[WAL_MANIFEST_SLOT_BYTES];

    struct wal_stats stats;
};

/* A record that opened. */
struct wal_found {
    struct wal_place place;
    uint64_t end; /* offset after it */
    struct wal_header header;
    struct wal_state state;
    struct slice conf;
    struct slice entries; /* encoded */
    bool after_gap;       /* set by the judge: what it continues is missing */
};

/* What lies where the next record would begin. */
struct wal_remains {
    enum {
        WAL_REMAINS_NOTHING, /* zeros to the end of the segment */
        WAL_REMAINS_TORN,    /* an interrupted write explains it */
        WAL_REMAINS_ROTTEN,  /* written in full, and not readable */
    } kind;
    uint64_t len;    /* from there to the last byte that is not zero */
    bool has_header; /* ROTTEN: only the payload is lost, header is whole */
    bool is_last;    /* ROTTEN with header: and nothing follows that record */
    struct wal_header header;
};

struct wal_file {
    uint64_t id;
    uint64_t len;
    uint64_t content_end; /* after the last byte that is not zero */
};

/* Everything read from the directory. */
struct wal_scan {
    struct wal_file *files; /* ascending by id */
    size_t file_count, file_cap;
    struct wal_found *found; /* in file order */
    size_t found_count, found_cap;
    void *memory; /* payloads */
    bool has_manifest, manifest_is_damaged, has_stray_fill;
    struct wal_manifest manifest;
    uint8_t *buffer; /* one whole file */
    size_t buffer_cap;
};

/* Recovery in progress: wal_recover.c. */
struct wal_replay {
    struct wal_scan *scan;
    struct wal_recovery *result;
    size_t *live; /* indexes into scan->found */
    size_t live_count;
    struct raft_entry *entries; /* ascending by index, gaps possible */
    size_t entry_count, entry_cap;
    struct raft_entry_id last;      /* of the log, as its records say */
    struct raft_entry_id conf_base; /* what the configuration found belongs to */
    bool has_conf;
    uint64_t rewinds;
    uint64_t lost_seq; /* of a last record of which only the header is left; 0 = none */
    bool is_tail_lost;
    struct wal_remains remains; /* in the segment of the last live record */
};

static inline const struct wal_found *wal_live_at(const struct wal_replay *r, size_t i)
{
    return &r->scan->found[r->live[i]];
}

static inline const struct wal_found *wal_live_last(const struct wal_replay *r)
{
    return r->live_count == 0 ? NULL : wal_live_at(r, r->live_count - 1);
}

static inline struct wal_place wal_place_after(const struct wal_found *f)
{
    return (struct wal_place){ .segment = f->place.segment, .offset = wal_next_offset(f->end) };
}

/* Makes *w continue the log that was recovered. */
NODISCARD int wal_resume(struct wal *w, const struct wal_replay *r,
                         const struct disk_reader *reader);
void wal_settle_free(struct wal *w);

/* Reads the directory and collects every record that opens. On error deinit it all the same. */
NODISCARD int wal_scan_run(const struct wal_keys *keys, const struct disk_reader *reader,
                           struct wal_scan *s);
void wal_scan_deinit(struct wal_scan *s);

/* The file with this id, or NULL; and its bytes, into s->buffer. */
const struct wal_file *wal_scan_file(const struct wal_scan *s, uint64_t id);
NODISCARD int wal_scan_load(const struct disk_reader *reader, struct wal_scan *s,
                            const struct wal_file *file);

NODISCARD int wal_scan_remains(const struct wal_keys *keys, const struct disk_reader *reader,
                               struct wal_scan *s, struct wal_place at, struct wal_remains *out);

/* Memory that lives as long as a recovery: a chain of blocks. */
NODISCARD void *wal_memory_alloc(void **chain, size_t len);
void wal_memory_free(void *chain);

/* Room for `count` more in w->segments. */
NODISCARD int wal_reserve_segments(struct wal *w, size_t count);

/* The configuration at the base; the next record will hold it. */
void wal_set_conf(struct wal *w, struct slice conf);

void wal_shrink_stages(struct wal *w);
bool wal_take_spare_job(struct wal *w, struct disk_job *out);
void wal_spare_job_done(struct wal *w, int status);

#endif /* RAFT_WAL_INTERNAL_H */
