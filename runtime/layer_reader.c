/* Undoing the compression is libarchive's, of a "raw" archive with one entry. Every byte that it
 * gives is hashed for the diff id, and counted: a few bytes that become many are a bomb. */
#include "runtime/layer_reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/limits.h"

static la_ssize_t read_packed(struct archive *a, void *arg, const void **out)
{
    struct layer_reader *r = arg;
    ssize_t n;

    do {
        n = read(r->fd, r->packed, sizeof(r->packed));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        archive_set_error(a, errno, "read: %s", strerror(errno));
        return ARCHIVE_FATAL;
    }
    r->packed_read += (uint64_t)n;
    *out = r->packed;
    return n;
}

static bool is_bomb(const struct layer_reader *r)
{
    return r->hash.len > 64 * MIB && r->hash.len / UNPACK_RATIO_MAX > r->packed_read;
}

la_ssize_t layer_reader_read(struct archive *a, void *arg, const void **out)
{
    struct layer_reader *r = arg;
    la_ssize_t n = archive_read_data(r->outer, r->plain, sizeof(r->plain));

    if (n < 0) {
        archive_set_error(a, EINVAL, "%s", archive_error_string(r->outer));
        return ARCHIVE_FATAL;
    }
    digest_update(&r->hash, slice_of(r->plain, (size_t)n));
    if (is_bomb(r)) {
        archive_set_error(a, EINVAL,
                          "unpacks to more than %d times its size, which no real layer does",
                          UNPACK_RATIO_MAX);
        return ARCHIVE_FATAL;
    }
    *out = r->plain;
    return n;
}

int layer_reader_open(struct layer_reader *r)
{
    struct archive_entry *entry;

    r->outer = archive_read_new();
    if (r->outer == NULL)
        return ARCHIVE_FATAL;
    /* What is not supported was left out of the system's libarchive: opening will say so. */
    (void)archive_read_support_filter_gzip(r->outer);
    (void)archive_read_support_filter_zstd(r->outer);
    (void)archive_read_support_filter_xz(r->outer);
    (void)archive_read_support_filter_bzip2(r->outer);
    (void)archive_read_support_format_raw(r->outer);
    (void)archive_read_support_format_empty(r->outer);
    if (archive_read_open(r->outer, r, NULL, read_packed, NULL) != ARCHIVE_OK)
        return ARCHIVE_FATAL;
    return archive_read_next_header(r->outer, &entry);
}
