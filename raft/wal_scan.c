/* Reading a directory back: every record that opens, wherever it is.
 *
 * A record proves itself: it opens only at its own place. So a place that does not open hides
 * nothing that follows it; the scan goes on at the next aligned offset, and what the records found
 * say of each other (wal_recover.c) decides what was lost.
 *
 * Torn or rotten. A segment is zeros before it is written, and a sector is written wholly or not at
 * all, so an interrupted write leaves some of its sectors zero. What is written is never zero: a
 * header has its magic, and a sealed payload looks random, in units of 16 bytes. A header lies in
 * one sector. Hence a record with a zero sector was torn; one without was written in full and has
 * rotted since. */
#include "raft/wal_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define FILES_MAX       (UINT32_C(1) << 20)
#define UNREADABLE_BYTE 0xee /* stands for what a bad sector held: not zero */

struct memory_block {
    struct memory_block *next;
    uint8_t pad[8]; /* keeps `bytes` aligned for any type */
    uint8_t bytes[];
};

void *wal_memory_alloc(void **chain, size_t len)
{
    struct memory_block *b = malloc(sizeof(*b) + len);

    if (b == NULL)
        return NULL;
    b->next = *chain;
    *chain = b;
    return b->bytes;
}

void wal_memory_free(void *chain)
{
    struct memory_block *b = chain;

    while (b != NULL) {
        struct memory_block *next = b->next;

        free(b);
        b = next;
    }
}

void wal_scan_deinit(struct wal_scan *s)
{
    free(s->files);
    free(s->found);
    free(s->buffer);
    wal_memory_free(s->memory);
    memset(s, 0, sizeof(*s));
}

static int on_file(void *arg, const char *name, uint64_t len)
{
    struct wal_scan *s = arg;
    uint64_t id;

    if (strcmp(name, WAL_MANIFEST_FILE) == 0)
        s->has_manifest = true;
    if (strcmp(name, WAL_FILL_FILE) == 0)
        s->has_stray_fill = true;
    if (!wal_segment_of_name(name, &id))
        return 0;
    if (s->file_count == s->file_cap) {
        size_t cap = s->file_cap == 0 ? 8 : s->file_cap * 2;
        struct wal_file *grown = realloc(s->files, cap * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        s->files = grown;
        s->file_cap = cap;
    }
    if (s->file_count == FILES_MAX || len > WAL_SEGMENT_BYTES_MAX)
        return ERR_TOO_LARGE;
    s->files[s->file_count++] = (struct wal_file){ .id = id, .len = len };
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct wal_file *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

/* Reads what can be read; a sector that cannot is filled with bytes that open nothing. */
static int read_file(const struct disk_reader *reader, const char *name, uint8_t *out, size_t len)
{
    int64_t got = reader->read(reader->ctx, name, 0, out, len);

    if (got == (int64_t)len)
        return 0;
    for (size_t at = 0; at < len; at += DISK_SECTOR_BYTES) {
        size_t want = MIN(len - at, (size_t)DISK_SECTOR_BYTES);

        got = reader->read(reader->ctx, name, at, out + at, want);
        if (got == -ENOENT || got == -ENOMEM)
            return (int)got;
        if (got != (int64_t)want)
            memset(out + at, UNREADABLE_BYTE, want);
    }
    return 0;
}

int wal_scan_load(const struct disk_reader *reader, struct wal_scan *s, const struct wal_file *file)
{
    char name[DISK_NAME_CAP];

    if (s->buffer_cap < file->len) {
        uint8_t *grown = realloc(s->buffer, (size_t)file->len);

        if (grown == NULL)
            return -ENOMEM;
        s->buffer = grown;
        s->buffer_cap = (size_t)file->len;
    }
    wal_segment_name(file->id, name);
    return read_file(reader, name, s->buffer, (size_t)file->len);
}

static int read_manifest(const struct wal_keys *keys, const struct disk_reader *reader,
                         struct wal_scan *s)
{
    uint8_t bytes[WAL_MANIFEST_BYTES];
    struct wal_manifest m;
    bool is_valid = false, is_foreign = false;
    int rc;

    if (!s->has_manifest)
        return 0;
    rc = read_file(reader, WAL_MANIFEST_FILE, bytes, sizeof(bytes));
    if (rc < 0)
        return rc;
    for (size_t slot = 0; slot < 2; slot++) {
        rc = wal_manifest_read(keys, bytes + slot * (WAL_MANIFEST_BYTES / 2), &m);
        is_foreign = is_foreign || rc == ERR_WRONG_CLUSTER;
        if (rc == 0 && (!is_valid || m.counter > s->manifest.counter)) {
            s->manifest = m;
            is_valid = true;
        }
    }
    if (!is_valid && is_foreign)
        return ERR_WRONG_CLUSTER;
    s->manifest_is_damaged = !is_valid;
    return 0;
}

/* The parts of an opened payload, and whether they agree with the header. */
static bool parse_payload(struct slice payload, struct wal_found *f)
{
    const struct wal_header *h = &f->header;
    struct raft_entry ignored;
    size_t cursor = WAL_STATE_BYTES;
    size_t entries_at;

    wal_state_read(payload.ptr, &f->state);
    if (f->state.conf_len != WAL_CONF_ELSEWHERE) {
        if (f->state.conf_len > RAFT_CONF_LEN_MAX || f->state.conf_len > payload.len - cursor)
            return false;
        f->conf = slice_of(payload.ptr + cursor, (size_t)f->state.conf_len);
        cursor += (size_t)f->state.conf_len;
    }
    entries_at = cursor;
    for (uint64_t i = 0; i < f->state.entry_count; i++) {
        if (!wal_entry_read(payload, &cursor, &ignored))
            return false;
    }
    f->entries = slice_of(payload.ptr + entries_at, cursor - entries_at);
    return payload.len - cursor < WAL_ALIGN_BYTES &&
           wal_is_zero(payload.ptr + cursor, payload.len - cursor) && h->first_index > 0 &&
           h->last_index < UINT64_MAX - 1 && h->synced_seq < h->seq && h->seq < UINT64_MAX / 2 &&
           h->last_index - (h->first_index - 1) == f->state.entry_count &&
           f->state.base.index <= h->last_index;
}

/* 1: a record is at `offset` of the loaded segment; 0: none is; < 0: out of memory. */
static int take_record(const struct wal_keys *keys, struct wal_scan *s, const struct wal_file *file,
                       uint64_t offset)
{
    struct wal_found f = { .place = { .segment = file->id, .offset = offset } };
    const uint8_t *bytes = s->buffer + offset;
    uint8_t *payload;

    if (!wal_header_read(keys, f.place, bytes, (size_t)(file->len - offset), &f.header))
        return 0;
    if (s->found_count == s->found_cap) {
        size_t cap = s->found_cap == 0 ? 64 : s->found_cap * 2;
        struct wal_found *grown = realloc(s->found, cap * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        s->found = grown;
        s->found_cap = cap;
    }
    payload = wal_memory_alloc(&s->memory, f.header.payload_len);
    if (payload == NULL)
        return -ENOMEM;
    if (!wal_payload_open(keys, f.place, &f.header, bytes, payload) ||
        !parse_payload(slice_of(payload, f.header.payload_len), &f))
        return 0;
    f.end = offset + WAL_HEADER_BYTES + f.header.payload_len;
    s->found[s->found_count++] = f;
    return 1;
}

/* Where the zeros begin that nothing follows. */
static uint64_t end_of_content(const uint8_t *bytes, uint64_t len)
{
    while (len >= DISK_SECTOR_BYTES &&
           wal_is_zero(bytes + len - DISK_SECTOR_BYTES, DISK_SECTOR_BYTES))
        len -= DISK_SECTOR_BYTES;
    while (len > 0 && bytes[len - 1] == 0)
        len--;
    return len;
}

static int scan_segment(const struct wal_keys *keys, const struct disk_reader *reader,
                        struct wal_scan *s, struct wal_file *file)
{
    uint64_t offset = 0;
    int rc = wal_scan_load(reader, s, file);

    if (rc < 0)
        return rc;
    file->content_end = end_of_content(s->buffer, file->len);
    while (offset < file->content_end) {
        rc = take_record(keys, s, file, offset);
        if (rc < 0)
            return rc;
        offset = rc == 1 ? s->found[s->found_count - 1].end : offset + WAL_ALIGN_BYTES;
        offset = wal_next_offset(offset);
    }
    return 0;
}

int wal_scan_run(const struct wal_keys *keys, const struct disk_reader *reader, struct wal_scan *s)
{
    int rc;

    memset(s, 0, sizeof(*s));
    rc = reader->list(reader->ctx, on_file, s);
    if (rc < 0)
        return rc;
    if (s->file_count > 0)
        qsort(s->files, s->file_count, sizeof(s->files[0]), compare_files);
    rc = read_manifest(keys, reader, s);
    for (size_t i = 0; rc == 0 && i < s->file_count; i++)
        rc = scan_segment(keys, reader, s, &s->files[i]);
    return rc;
}

const struct wal_file *wal_scan_file(const struct wal_scan *s, uint64_t id)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].id == id)
            return &s->files[i];
    return NULL;
}

/* Whether some sector of the record was never written: [offset, end) of the loaded segment. */
static bool has_unwritten_sector(const struct wal_scan *s, uint64_t offset, uint64_t end)
{
    while (offset < end) {
        uint64_t sector_end = (offset / DISK_SECTOR_BYTES + 1) * DISK_SECTOR_BYTES;
        uint64_t stop = MIN(sector_end, end);

        if (wal_is_zero(s->buffer + offset, (size_t)(stop - offset)))
            return true;
        offset = stop;
    }
    return false;
}

int wal_scan_remains(const struct wal_keys *keys, const struct disk_reader *reader,
                     struct wal_scan *s, struct wal_place at, struct wal_remains *out)
{
    const struct wal_file *file = wal_scan_file(s, at.segment);
    int rc;

    memset(out, 0, sizeof(*out));
    if (file == NULL || file->content_end <= at.offset)
        return 0;
    rc = wal_scan_load(reader, s, file);
    if (rc < 0)
        return rc;
    out->kind = WAL_REMAINS_TORN;
    out->len = file->content_end - at.offset;
    if (file->len - at.offset < WAL_HEADER_BYTES ||
        wal_is_zero(s->buffer + at.offset, WAL_HEADER_BYTES))
        return 0;
    out->has_header = wal_header_read(keys, at, s->buffer + at.offset,
                                      (size_t)(file->len - at.offset), &out->header);
    if (out->has_header) {
        uint64_t end = at.offset + WAL_HEADER_BYTES + out->header.payload_len;

        if (has_unwritten_sector(s, at.offset, end))
            return 0;
        out->is_last = file->content_end <= end;
    }
    out->kind = WAL_REMAINS_ROTTEN;
    return 0;
}
