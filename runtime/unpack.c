/* Two readers in a row: the outer undoes the compression, the inner reads the tar; between them
 * every byte is hashed for the diff id. Entries are made with *at() calls in their parent's
 * descriptor, which is found by openat2(RESOLVE_IN_ROOT), so the kernel does the confinement.
 *
 * Times of directories are set last, because making their entries changes them. */
#include "runtime/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "runtime/file.h"
#include "runtime/limits.h"

#define DIR_TIMES_BYTES_MAX (256 * MIB)
#define WHITEOUT_PREFIX     ".wh."
#define OPAQUE_NAME         ".wh..wh..opq"

struct reader {
    struct archive *outer;
    struct digest_state hash;
    uint64_t packed_read; /* bytes of `fd` */
    int fd;
    uint8_t packed[65536];
    uint8_t plain[65536];
};

struct unpacker {
    struct unpack *u;
    struct reader *r;
    struct archive *tar;
    struct fault *f;
    struct buf dir_times; /* of { struct timespec, path with NUL } */
    int parent_fd;        /* of the last entry, or -1 */
    char parent[PATH_MAX];
};

/* --- The two readers */

static la_ssize_t read_packed(struct archive *a, void *arg, const void **out)
{
    struct reader *r = arg;
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

static bool is_bomb(const struct reader *r)
{
    return r->hash.len > 64 * MIB && r->hash.len / UNPACK_RATIO_MAX > r->packed_read;
}

static la_ssize_t read_plain(struct archive *a, void *arg, const void **out)
{
    struct reader *r = arg;
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

static int open_outer(struct reader *r)
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

static int open_tar(struct unpacker *p)
{
    p->tar = archive_read_new();
    if (p->tar == NULL)
        return ARCHIVE_FATAL;
    (void)archive_read_support_format_tar(p->tar);
    (void)archive_read_support_format_empty(p->tar);
    return archive_read_open(p->tar, p->r, NULL, read_plain, NULL);
}

static int archive_fault(struct unpacker *p, struct archive *a, const char *what)
{
    int err = archive_errno(a);
    const char *text = archive_error_string(a);

    if (err == ENOMEM)
        return fault_system(p->f, -ENOMEM, "%s", what);
    return fault_set(p->f, ERR_MALFORMED, "%s: %s", what, text == NULL ? "not a tar" : text);
}

/* --- Names */

/* "./a//b/" -> "a/b"; "" is the root itself. False: "..", too long, or a NUL lost. */
static bool normalize(const char *name, char out[PATH_MAX])
{
    size_t len = 0;

    while (*name != '\0') {
        size_t part = strcspn(name, "/");

        if (part == 2 && memcmp(name, "..", 2) == 0)
            return false;
        if (part > 0 && !(part == 1 && name[0] == '.')) {
            if (part > NAME_MAX || len + part + 2 > PATH_MAX)
                return false;
            if (len > 0)
                out[len++] = '/';
            memcpy(out + len, name, part);
            len += part;
        }
        name += part;
        while (*name == '/')
            name++;
    }
    out[len] = '\0';
    return true;
}

static void forget_parent(struct unpacker *p)
{
    if (p->parent_fd >= 0)
        close(p->parent_fd);
    p->parent_fd = -1;
}

/* Makes what is missing on the way and remembers it as implicit. */
static int make_parents(struct unpacker *p, const char *path)
{
    int root = p->u->root_fd;

    for (const char *slash = path; slash != NULL; slash++) {
        char prefix[PATH_MAX];
        size_t len;
        int fd, rc;

        slash = strchr(slash, '/');
        len = slash == NULL ? strlen(path) : (size_t)(slash - path);
        memcpy(prefix, path, len);
        prefix[len] = '\0';
        fd = file_open_in_root(root, prefix, O_PATH | O_DIRECTORY, 0);
        if (fd >= 0) {
            close(fd);
        } else {
            if (fd != -ENOENT)
                return fd;
            rc = dir_make_in_root(root, prefix, 0755);
            if (rc == 0)
                rc = omap_set(&p->u->implicit, slice_of(prefix, len + 1), p->u);
            if (rc < 0)
                return rc;
        }
        if (slash == NULL)
            break;
    }
    return 0;
}

/* The directory that holds `path`, borrowed until the next call, and its last part. */
static int open_parent(struct unpacker *p, const char *path, int *out_fd, const char **out_base)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    int rc;

    *out_base = slash == NULL ? path : slash + 1;
    if (p->parent_fd < 0 || strlen(p->parent) != len || memcmp(p->parent, path, len) != 0) {
        forget_parent(p);
        memcpy(p->parent, path, len);
        p->parent[len] = '\0';
        p->parent_fd =
            file_open_in_root(p->u->root_fd, len == 0 ? "/" : p->parent, O_RDONLY | O_DIRECTORY, 0);
        if (p->parent_fd == -ENOENT) {
            rc = make_parents(p, p->parent);
            p->parent_fd =
                rc < 0 ? rc
                       : file_open_in_root(p->u->root_fd, p->parent, O_RDONLY | O_DIRECTORY, 0);
        }
        if (p->parent_fd < 0)
            return p->parent_fd;
    }
    *out_fd = p->parent_fd;
    return 0;
}

/* --- Metadata */

static bool is_wanted_xattr(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

static int set_xattrs(struct unpacker *p, struct archive_entry *entry, int fd)
{
    const char *name;
    const void *value;
    size_t len;

    (void)archive_entry_xattr_reset(entry); /* counts them */
    while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
        if (strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0)
            return fault_set(p->f, ERR_MALFORMED, "xattr %s: would steer the file system itself",
                             name);
        if (is_wanted_xattr(name) && fsetxattr(fd, name, value, len, 0) < 0)
            return fault_system(p->f, -errno, "xattr %s", name);
    }
    return 0;
}

static int owner_of(struct archive_entry *entry, uid_t *uid, gid_t *gid)
{
    la_int64_t u = archive_entry_uid(entry), g = archive_entry_gid(entry);

    if (u < 0 || u >= UINT32_MAX || g < 0 || g >= UINT32_MAX)
        return ERR_MALFORMED;
    *uid = (uid_t)u;
    *gid = (gid_t)g;
    return 0;
}

static struct timespec mtime_of(struct archive_entry *entry)
{
    return (struct timespec){ .tv_sec = archive_entry_mtime(entry),
                              .tv_nsec = archive_entry_mtime_nsec(entry) };
}

/* Owner before mode, which changing the owner would clear in part; capabilities after both. */
static int set_metadata_fd(struct unpacker *p, struct archive_entry *entry, int fd)
{
    const struct timespec times[2] = { mtime_of(entry), mtime_of(entry) };
    uid_t uid;
    gid_t gid;
    int rc = owner_of(entry, &uid, &gid);

    if (rc < 0)
        return rc;
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, archive_entry_mode(entry) & 07777) < 0)
        return -errno;
    rc = set_xattrs(p, entry, fd);
    if (rc < 0)
        return rc;
    return futimens(fd, times) < 0 ? -errno : 0;
}

static int set_metadata_at(struct archive_entry *entry, int dir, const char *base)
{
    const struct timespec times[2] = { mtime_of(entry), mtime_of(entry) };
    uid_t uid;
    gid_t gid;
    int rc = owner_of(entry, &uid, &gid);

    if (rc < 0)
        return rc;
    if (fchownat(dir, base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (archive_entry_filetype(entry) != AE_IFLNK &&
        fchmodat(dir, base, archive_entry_mode(entry) & 07777, 0) < 0)
        return -errno;
    return utimensat(dir, base, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* --- Entries */

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int set_opaque(int fd)
{
    return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

/* Clears the way for a new entry. A directory that is to be a directory stays.
 * *out_hid: a whiteout stood there. */
static int clear_way(int dir, const char *base, bool for_dir, bool *out_stays, bool *out_hid)
{
    struct stat st;
    struct path full;

    *out_stays = *out_hid = false;
    if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    *out_hid = is_whiteout(&st);
    if (S_ISDIR(st.st_mode)) {
        *out_stays = for_dir;
        if (for_dir)
            return 0;
        full = path_of("/proc/self/fd/%d/%s", dir, base);
        return tree_remove(full.text);
    }
    return unlinkat(dir, base, 0) < 0 ? -errno : 0;
}

static int make_whiteout(int dir, const char *hidden)
{
    struct stat st;
    int fd, rc;

    if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return ERR_MALFORMED;
    if (strncmp(hidden, ".wh.", 4) == 0)
        return 0; /* bookkeeping of aufs */
    if (fstatat(dir, hidden, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return mknodat(dir, hidden, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
    if (!S_ISDIR(st.st_mode))
        return 0; /* this layer's own file hides the lower one already */
    fd = openat(dir, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = set_opaque(fd);
    close(fd);
    return rc;
}

static int make_dir(struct unpacker *p, struct archive_entry *entry, int dir, const char *base,
                    const char *path)
{
    struct timespec mtime = mtime_of(entry);
    bool stays, hid;
    int fd, rc;

    rc = clear_way(dir, base, true, &stays, &hid);
    if (rc < 0)
        return rc;
    if (!stays && mkdirat(dir, base, 0700) < 0)
        return -errno;
    fd = openat(dir, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = set_metadata_fd(p, entry, fd);
    if (rc == 0 && hid)
        rc = set_opaque(fd);
    close(fd);
    (void)omap_remove(&p->u->implicit, slice_of(path, strlen(path) + 1)); /* if it was */
    if (rc == 0)
        rc = buf_append(&p->dir_times, &mtime, sizeof(mtime));
    if (rc == 0)
        rc = buf_append(&p->dir_times, path, strlen(path) + 1);
    return rc;
}

static int write_blocks(struct unpacker *p, int fd)
{
    const void *block;
    size_t len;
    la_int64_t offset;
    int got;

    while ((got = archive_read_data_block(p->tar, &block, &len, &offset)) == ARCHIVE_OK) {
        const uint8_t *from = block;

        if (len > UNPACKED_BYTES_MAX - p->u->bytes || offset < 0)
            return fault_set(p->f, ERR_TOO_LARGE, "the layer unpacks to more than %llu GiB",
                             (unsigned long long)(UNPACKED_BYTES_MAX / GIB));
        p->u->bytes += len;
        if (p->u->cancel != NULL && atomic_load(p->u->cancel))
            return ERR_CLOSED;
        while (len > 0) {
            ssize_t n = pwrite(fd, from, len, offset);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return -errno;
            from += n;
            offset += n;
            len -= (size_t)n;
        }
    }
    return got == ARCHIVE_EOF ? 0 : archive_fault(p, p->tar, "contents");
}

static int make_file(struct unpacker *p, struct archive_entry *entry, int dir, const char *base)
{
    int fd = openat(dir, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    la_int64_t size = archive_entry_size(entry);
    int rc;

    if (fd < 0)
        return -errno;
    rc = write_blocks(p, fd);
    /* A sparse file may end in a hole. */
    if (rc == 0 && size > 0 && ((uint64_t)size > UNPACKED_BYTES_MAX || ftruncate(fd, size) < 0))
        rc = ERR_TOO_LARGE;
    if (rc == 0)
        rc = set_metadata_fd(p, entry, fd);
    close(fd);
    return rc;
}

static int make_hard_link(struct unpacker *p, const char *target, int dir, const char *base)
{
    char path[PATH_MAX];
    const char *slash;
    struct stat st;
    int from, rc;

    if (!normalize(target, path) || path[0] == '\0')
        return fault_set(p->f, ERR_MALFORMED, "hard link to %.200s: leads out of the layer",
                         target);
    slash = strrchr(path, '/');
    if (slash == NULL) {
        from = file_open_in_root(p->u->root_fd, "/", O_PATH | O_DIRECTORY, 0);
    } else {
        struct path parent = path_of("%.*s", (int)(slash - path), path);

        from = file_open_in_root(p->u->root_fd, parent.text, O_PATH | O_DIRECTORY, 0);
    }
    if (from == -ENOENT || (from >= 0 && fstatat(from, slash == NULL ? path : slash + 1, &st,
                                                 AT_SYMLINK_NOFOLLOW) < 0)) {
        rc = fault_set(p->f, ERR_MALFORMED, "hard link to %.200s: not in the same layer", target);
    } else if (from < 0) {
        rc = from;
    } else if (is_whiteout(&st) || S_ISDIR(st.st_mode)) {
        rc = fault_set(p->f, ERR_MALFORMED, "hard link to %.200s: not a file", target);
    } else {
        rc = linkat(from, slash == NULL ? path : slash + 1, dir, base, 0) < 0 ? -errno : 0;
    }
    if (from >= 0)
        close(from);
    return rc;
}

static int make_special(struct unpacker *p, struct archive_entry *entry, int dir, const char *base)
{
    const char *target = archive_entry_symlink(entry);
    mode_t type = archive_entry_filetype(entry);
    dev_t device =
        makedev((unsigned)archive_entry_rdevmajor(entry), (unsigned)archive_entry_rdevminor(entry));

    switch (type) {
    case AE_IFLNK:
        if (target == NULL || target[0] == '\0')
            return fault_set(p->f, ERR_MALFORMED, "symbolic link without a target");
        if (symlinkat(target, dir, base) < 0)
            return -errno;
        break;
    case AE_IFCHR:
        if (device == 0)
            return fault_set(p->f, ERR_MALFORMED,
                             "device 0:0: would hide what is below it; layers use .wh. for that");
        FALLTHROUGH;
    case AE_IFBLK:
    case AE_IFIFO:
        if (mknodat(dir, base, type | 0600, type == AE_IFIFO ? 0 : device) < 0)
            return -errno;
        break;
    default:
        return fault_set(p->f, ERR_MALFORMED, "type %o: not one that a layer can hold",
                         (unsigned)type);
    }
    return set_metadata_at(entry, dir, base);
}

static int make_entry(struct unpacker *p, struct archive_entry *entry, const char *path)
{
    const char *link = archive_entry_hardlink(entry);
    const char *base;
    bool stays, hid;
    int dir, rc;

    rc = open_parent(p, path, &dir, &base);
    if (rc < 0)
        return rc;
    if (strcmp(base, OPAQUE_NAME) == 0)
        return set_opaque(dir);
    if (strncmp(base, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return make_whiteout(dir, base + strlen(WHITEOUT_PREFIX));
    if (link == NULL && archive_entry_filetype(entry) == AE_IFDIR)
        return make_dir(p, entry, dir, base, path);
    if (link != NULL) { /* a link to itself would remove what it links to */
        char target[PATH_MAX];

        if (normalize(link, target) && strcmp(target, path) == 0)
            return 0;
    }
    rc = clear_way(dir, base, false, &stays, &hid);
    if (rc < 0)
        return rc;
    if (link != NULL)
        return make_hard_link(p, link, dir, base);
    return archive_entry_filetype(entry) == AE_IFREG ? make_file(p, entry, dir, base)
                                                     : make_special(p, entry, dir, base);
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
    if (!normalize(name, path))
        return fault_set(p->f, ERR_MALFORMED, "entry %.200s: leads out of the layer", name);
    if (path[0] == '\0')
        return archive_entry_filetype(entry) == AE_IFDIR ? set_metadata_fd(p, entry, p->u->root_fd)
                                                         : 0;
    rc = make_entry(p, entry, path);
    if (rc >= 0)
        return 0;
    if (p->f->text[0] == '\0')
        return fault_system(p->f, rc, "entry %.200s", path);
    return fault_prefix(p->f, rc, "entry %.200s", path);
}

static int set_dir_times(struct unpacker *p)
{
    size_t at = 0;

    while (at < p->dir_times.len) {
        struct timespec times[2];
        const char *path = (const char *)p->dir_times.ptr + at + sizeof(times[0]);
        int fd;

        memcpy(&times[0], p->dir_times.ptr + at, sizeof(times[0]));
        times[1] = times[0];
        fd = file_open_in_root(p->u->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd >= 0) {                 /* gone when a later entry replaced it */
            (void)futimens(fd, times); /* times are a courtesy */
            close(fd);
        }
        at += sizeof(times[0]) + strlen(path) + 1;
    }
    return 0;
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
            return archive_fault(p, p->tar, "tar");
        rc = unpack_entry(p, entry);
    }
    return rc;
}

/* What follows the tar's end, usually zeros, is part of the diff id. */
static int drain(struct unpacker *p)
{
    const void *rest;
    la_ssize_t n;

    while ((n = read_plain(p->tar, p->r, &rest)) > 0)
        ;
    return n < 0 ? archive_fault(p, p->tar, "tar") : 0;
}

static int run(struct unpacker *p)
{
    int rc;

    rc = open_outer(p->r);
    if (rc != ARCHIVE_OK && rc != ARCHIVE_EOF)
        return archive_fault(p, p->r->outer, "compressed data");
    if (open_tar(p) != ARCHIVE_OK)
        return archive_fault(p, p->tar, "tar");
    rc = read_entries(p);
    if (rc == 0)
        rc = drain(p);
    if (rc == 0)
        rc = set_dir_times(p);
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
    forget_parent(&p);
    buf_deinit(&p.dir_times);
    if (utf8 != (locale_t)0) {
        uselocale(before);
        freelocale(utf8);
    }
    return rc;
}

/* --- Implicit directories */

static int inherit(int to, int from)
{
    char names[4096], value[4096];
    struct stat st;
    ssize_t len;

    if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
        fchmod(to, st.st_mode & 07777) < 0)
        return -errno;
    len = flistxattr(from, names, sizeof(names));
    for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
        ssize_t n =
            is_wanted_xattr(names + i) ? fgetxattr(from, names + i, value, sizeof(value)) : -1;

        if (n >= 0 && fsetxattr(to, names + i, value, (size_t)n, 0) < 0)
            return -errno;
    }
    return 0;
}

int unpack_inherit(struct unpack *u, const int *lower_root_fds, size_t count, struct fault *f)
{
    for (const struct omap_node *n = omap_first(&u->implicit); n != NULL; n = omap_next(n)) {
        const char *path = (const char *)omap_key(n).ptr; /* with its NUL */
        int to = file_open_in_root(u->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
        int from = -1, rc = 0;

        if (to < 0)
            continue; /* a later entry replaced it */
        for (size_t i = 0; i < count && from < 0; i++)
            from =
                file_open_in_root(lower_root_fds[i], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (from >= 0) {
            rc = inherit(to, from);
            close(from);
        }
        close(to);
        if (rc < 0)
            return fault_system(f, rc, "directory %s", path);
    }
    return 0;
}

void unpack_deinit(struct unpack *u)
{
    omap_deinit(&u->implicit);
}
