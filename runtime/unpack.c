/* Two readers in a row: the outer (layer_reader.c) undoes the compression and hashes every byte for
 * the diff id, the inner reads the tar. Entries are made one after the other, each in the
 * directory that its name leads to (unpack_path.c, unpack_entry.c, unpack_metadata.c).
 *
 * The first error ends it; what is half made is the caller's to remove. */
#include "runtime/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>

#include "base/err.h"
#include "runtime/limits.h"
#include "runtime/unpack_impl.h"

#define DIR_TIMES_BYTES_MAX (256 * MIB)

static int open_tar(struct unpacker *p)
{
    p->tar = archive_read_new();
    if (p->tar == NULL)
        return ARCHIVE_FATAL;
    (void)archive_read_support_format_tar(p->tar);
    (void)archive_read_support_format_empty(p->tar);
    return archive_read_open(p->tar, p->r, NULL, layer_reader_read, NULL);
}

int unpack_archive_fault(struct unpacker *p, struct archive *a, const char *what)
{
    int err = archive_errno(a);
    const char *text = archive_error_string(a);

    if (err == ENOMEM)
        return fault_system(p->f, -ENOMEM, "%s", what);
    return fault_set(p->f, ERR_MALFORMED, "%s: %s", what, text == NULL ? "not a tar" : text);
}

static int unpack_entry(struct unpacker *p, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    char path[PATH_MAX];
    int rc;

    p->f->text[0] = '\0';
    if (++p->u->entries > UNPACKED_ENTRIES_MAX)
        return fault_set(p->f, ERR_TOO_LARGE, "the layer has more than %d entries",
                         UNPACKED_ENTRIES_MAX);
    if (p->u->cancel != NULL && atomic_load(p->u->cancel))
        return fault_set(p->f, ERR_CLOSED, "the runtime is closing");
    if (name == NULL)
        return fault_set(p->f, ERR_MALFORMED, "an entry has a name that is not text");
    if (!unpack_normalize(name, path))
        return fault_set(p->f, ERR_MALFORMED, "entry %.200s: leads out of the layer", name);
    if (path[0] == '\0')
        return archive_entry_filetype(entry) == AE_IFDIR
                   ? unpack_set_metadata(p, entry, p->u->root_fd)
                   : 0;
    rc = unpack_make_entry(p, entry, path);
    if (rc >= 0)
        return 0;
    if (p->f->text[0] == '\0')
        return fault_system(p->f, rc, "entry %.200s", path);
    return fault_prefix(p->f, rc, "entry %.200s", path);
}

static int read_entries(struct unpacker *p)
{
    struct archive_entry *entry;
    int got, rc = 0;

    while (rc == 0) {
        got = archive_read_next_header(p->tar, &entry);
        if (got == ARCHIVE_EOF)
            break;
        if (got == ARCHIVE_RETRY)
            continue;
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
            return unpack_archive_fault(p, p->tar, "tar");
        rc = unpack_entry(p, entry);
    }
    return rc;
}

/* What follows the tar's end, usually zeros, is part of the diff id. */
static int drain(struct unpacker *p)
{
    const void *rest;
    la_ssize_t n;

    while ((n = layer_reader_read(p->tar, p->r, &rest)) > 0)
        ;
    return n < 0 ? unpack_archive_fault(p, p->tar, "tar") : 0;
}

static int run(struct unpacker *p)
{
    int rc;

    rc = layer_reader_open(p->r);
    if (rc != ARCHIVE_OK && rc != ARCHIVE_EOF)
        return unpack_archive_fault(p, p->r->outer, "compressed data");
    if (open_tar(p) != ARCHIVE_OK)
        return unpack_archive_fault(p, p->tar, "tar");
    rc = read_entries(p);
    if (rc == 0)
        rc = drain(p);
    if (rc == 0)
        rc = unpack_set_dir_times(p);
    return rc;
}

int unpack_tar(struct unpack *u, int fd, struct fault *f)
{
    struct unpacker p = { .u = u, .f = f, .parent_fd = -1 };
    /* Names in pax headers are UTF-8; libarchive gives them in the locale's charset. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
    int rc = -ENOMEM;

    omap_init(&u->implicit);
    buf_init(&p.dir_times, DIR_TIMES_BYTES_MAX);
    p.r = calloc(1, sizeof(*p.r));
    if (p.r != NULL) {
        p.r->fd = fd;
        digest_begin(&p.r->hash);
        rc = run(&p);
        if (rc == 0)
            u->diff_id = digest_end(&p.r->hash);
        archive_read_free(p.tar);
        archive_read_free(p.r->outer);
        free(p.r);
    }
    unpack_forget_parent(&p);
    buf_deinit(&p.dir_times);
    if (utf8 != (locale_t)0) {
        uselocale(before);
        freelocale(utf8);
    }
    return rc;
}

void unpack_deinit(struct unpack *u)
{
    omap_deinit(&u->implicit);
}
