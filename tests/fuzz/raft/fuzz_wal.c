/* Recovery from arbitrary files.
 *
 * The input is a little program that lays out a directory: raw bytes as a segment, and records
 * sealed with the right key around payloads and headers of the input's choice, since whoever steals
 * the key must not be able to crash the node either. Then the log is opened, what it says is
 * checked to be consistent, a write is appended, and the log is opened again: it must find that
 * write. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "raft/disk_mem.h"
#include "raft/wal.h"
#include "raft/wal_internal.h"
#include "raft/wal_snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEGMENT_BYTES WAL_SEGMENT_BYTES_MIN

struct input {
    const uint8_t *ptr;
    size_t len;
};

static uint64_t take(struct input *in, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes && in->len > 0; i++, in->ptr++, in->len--)
        v = v << 8 | *in->ptr;
    return v;
}

static struct slice take_slice(struct input *in, size_t len)
{
    struct slice s = slice_of(in->ptr, MIN(len, in->len));

    in->ptr += s.len;
    in->len -= s.len;
    return s;
}

static void configure(struct wal_config *cfg)
{
    static uint8_t opening;

    wal_config_defaults(cfg);
    cfg->node = 1;
    cfg->segment_bytes = SEGMENT_BYTES;
    cfg->entry_bytes_max = 1024;
    cfg->spare_count = 1;
    cfg->nonce_prefix[0] = opening++;
}

static void run(struct disk_mem *d, struct disk_op *op)
{
    CHECK(disk_mem_run(d, op) == 0);
}

static void write_at(struct disk_mem *d, const char *name, uint64_t offset, struct slice bytes)
{
    struct disk_op op = { .kind = DISK_WRITE, .offset = offset, .data = bytes };

    memcpy(op.file, name, strlen(name) + 1);
    run(d, &op);
}

static void fill_segment(struct disk_mem *d, uint64_t id, uint64_t len)
{
    struct disk_op op = { .kind = DISK_FILL, .len = len };

    wal_segment_name(id, op.file);
    run(d, &op);
}

/* A record that verifies, whatever it says. Small numbers are likely, so that chains form. */
static void write_record(struct disk_mem *d, const struct wal_keys *k, struct input *in,
                         struct wal_place *at, uint8_t prev_tag[WAL_TAG_BYTES])
{
    uint8_t record[WAL_HEADER_BYTES + 4096] = { 0 };
    uint8_t shape = (uint8_t)take(in, 1);
    struct wal_header h = {
        .seq = take(in, 1),
        .synced_seq = take(in, 1),
        .first_index = (shape & 1) ? take(in, 8) : take(in, 1),
        .last_index = (shape & 2) ? take(in, 8) : take(in, 1),
        .last_term = take(in, 1),
        .term = take(in, 1),
        .vote = take(in, 1),
    };
    struct wal_state s = {
        .commit = take(in, 1),
        .base = { .term = take(in, 1), .index = (shape & 4) ? take(in, 8) : take(in, 1) },
        .rewinds = take(in, 1),
        .acknowledged = { .term = take(in, 1), .index = take(in, 1) },
        .conf_len = (shape & 8) ? take(in, 8) : WAL_CONF_ELSEWHERE,
        .entry_count = (shape & 16) ? take(in, 8) : take(in, 1) % 4,
    };
    struct slice rest = take_slice(in, take(in, 1) * 4);
    char name[DISK_NAME_CAP];

    if (s.conf_len == 0 || (shape & 32) == 0)
        h.last_index = h.first_index - 1 + s.entry_count;
    h.payload_len = (uint32_t)((WAL_STATE_BYTES + rest.len + 15) / 16 * 16);
    h.nonce[0] = (uint8_t)at->offset;
    if ((shape & 64) == 0)
        memcpy(h.prev_tag, prev_tag, WAL_TAG_BYTES);
    wal_state_write(&s, record + WAL_HEADER_BYTES);
    if (rest.len > 0)
        memcpy(record + WAL_HEADER_BYTES + WAL_STATE_BYTES, rest.ptr, rest.len);
    wal_record_seal(k, *at, &h, record);
    memcpy(prev_tag, h.tag, WAL_TAG_BYTES);
    wal_segment_name(at->segment, name);
    write_at(d, name, at->offset, slice_of(record, WAL_HEADER_BYTES + h.payload_len));
    at->offset = wal_next_offset(at->offset + WAL_HEADER_BYTES + h.payload_len);
}

static void write_manifest(struct disk_mem *d, const struct wal_keys *k, struct input *in)
{
    uint8_t slot[WAL_MANIFEST_SLOT_BYTES];
    struct wal_manifest m = {
        .counter = take(in, 1),
        .synced_seq = take(in, 1),
        .hard_state = { .term = take(in, 1), .vote = take(in, 1), .commit = take(in, 1) },
        .last = { .term = take(in, 1), .index = take(in, 1) },
        .base = { .term = take(in, 1), .index = take(in, 1) },
    };

    wal_manifest_write(k, &m, slot);
    write_at(d, WAL_MANIFEST_FILE, m.counter % 2 * 4096, slice_of(slot, sizeof(slot)));
}

static void lay_out(struct disk_mem *d, const struct wal_keys *k, struct input *in)
{
    struct wal_place at = { .segment = 1 };
    uint8_t prev_tag[WAL_TAG_BYTES] = { 0 };
    char name[DISK_NAME_CAP];

    fill_segment(d, 1, SEGMENT_BYTES);
    for (unsigned step = 0; step < 64 && in->len > 0; step++) {
        switch (take(in, 1) % 8) {
        case 0: /* anything, anywhere, in any file */
            wal_segment_name(take(in, 1) % 4 + 1, name);
            write_at(d, name, take(in, 2) % SEGMENT_BYTES, take_slice(in, take(in, 1)));
            break;
        case 1: /* the next segment */
            at = (struct wal_place){ .segment = take(in, 1) % 4 + 1 };
            fill_segment(d, at.segment, (take(in, 1) & 7) == 0 ? take(in, 2) : SEGMENT_BYTES);
            break;
        case 2:
            write_manifest(d, k, in);
            break;
        case 3: /* rot */
            wal_segment_name(at.segment, name);
            (void)disk_mem_flip(d, name, take(in, 2) % SEGMENT_BYTES, (uint8_t)take(in, 1));
            break;
        case 4:
            wal_segment_name(at.segment, name);
            (void)disk_mem_set_unreadable(d, name, take(in, 2) % SEGMENT_BYTES);
            break;
        case 5:
            write_at(d, WAL_SNAPSHOT_FILE, 0, take_slice(in, take(in, 2)));
            break;
        default:
            if (at.offset + WAL_HEADER_BYTES + 4096 <= SEGMENT_BYTES)
                write_record(d, k, in, &at, prev_tag);
            break;
        }
    }
}

static void drain(struct wal *w, struct disk_mem *d)
{
    struct disk_job job;
    bool ran = true;

    while (ran) {
        ran = false;
        for (enum wal_lane lane = WAL_LANE_LOG; lane < WAL_LANE_COUNT; lane++) {
            while (wal_take_job(w, lane, &job)) {
                wal_job_done(w, lane, disk_mem_run_job(d, &job));
                ran = true;
            }
        }
    }
    CHECK(wal_error(w) == 0);
}

static void check_recovery(const struct wal_recovery *r)
{
    raft_index last = r->base.last.index + r->entry_count;

    for (size_t i = 0; i < r->entry_count; i++)
        CHECK(r->entries[i].id.index == r->base.last.index + 1 + i);
    CHECK(r->hard_state.commit <= last);
    CHECK(r->acknowledged.term == 0 || r->damaged_places > 0 || !r->is_new);
}

/* What is appended now is there at the next start, whatever was there before. */
static void append_and_reopen(struct wal *w, const struct wal_recovery *r, struct disk_mem *d)
{
    raft_index last = r->base.last.index + r->entry_count;
    raft_term term =
        r->entry_count > 0 ? r->entries[r->entry_count - 1].id.term : r->base.last.term;
    struct raft_entry e = { .id = { .term = term, .index = last + 1 } };
    struct raft_write_op op = { .seq = 1, .type = RAFT_WRITE_APPEND };
    struct disk_reader reader = disk_mem_reader(d);
    struct wal_recovery again;
    struct wal_config cfg;
    struct wal *w2;

    op.entries = &e;
    op.entry_count = 1;
    drain(w, d);
    CHECK(wal_append(w, &op, 1) == 0);
    drain(w, d);
    CHECK(wal_durable(w) == 1);
    disk_mem_crash(d, DISK_MEM_LOSE, NULL, NULL);
    configure(&cfg);
    CHECK(wal_open(&cfg, &reader, &w2, &again) == 0);
    CHECK(again.base.last.index == r->base.last.index);
    CHECK(again.entry_count == r->entry_count + 1);
    CHECK(again.hard_state.term == r->hard_state.term);
    CHECK(again.hard_state.vote == r->hard_state.vote);
    wal_free(w2);
    wal_recovery_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { .ptr = data, .len = size };
    struct disk_mem *d = disk_mem_new(UINT64_C(4) << 20);
    struct disk_reader reader = disk_mem_reader(d);
    struct wal_snapshot_found snapshot;
    struct wal_recovery r;
    struct wal_config cfg;
    struct wal_keys keys;
    struct wal *w;

    CHECK(d != NULL);
    configure(&cfg);
    wal_keys_derive(&cfg, &keys);
    lay_out(d, &keys, &in);
    disk_mem_crash(d, DISK_MEM_KEEP, NULL, NULL);
    if (wal_snapshot_read(&cfg, &reader, &snapshot) == 0)
        free(snapshot.memory);
    if (wal_open(&cfg, &reader, &w, &r) == 0) {
        check_recovery(&r);
        if (r.base.last.index + r.entry_count < UINT64_MAX - 8)
            append_and_reopen(w, &r, d);
        wal_free(w);
        wal_recovery_deinit(&r);
    }
    disk_mem_free(d);
    return 0;
}
