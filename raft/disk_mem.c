/* Each file has two images: `now`, what reads see, and `safe`, what a power loss leaves. A sector
 * that differs is dirty until a sync copies it. Names work the same way: a directory as it is, one
 * as it is on disk, and the changes between them in order. */
#include "raft/disk_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define NAMES_MAX 4096u
#define SECTOR    ((size_t)DISK_SECTOR_BYTES)

struct inode {
    struct inode *next;
    uint8_t *now, *safe;  /* both `cap` bytes, zero beyond their length */
    uint8_t *dirty, *bad; /* one byte per sector */
    size_t cap;           /* whole sectors */
    size_t now_len, safe_len;
    size_t dirty_first, dirty_end; /* no sector outside of these is dirty */
    bool is_used;                  /* mark of the collector */
};

struct name {
    char text[DISK_NAME_CAP];
    struct inode *inode;
};

struct directory {
    struct name *names;
    size_t count, cap;
};

struct change {
    enum { CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME } kind;
    struct name name;         /* linked, or unlinked */
    char from[DISK_NAME_CAP]; /* RENAME: unlinked in the same step */
};

struct disk_mem {
    uint64_t capacity;
    struct inode *inodes;
    struct directory now, safe;
    struct change *changes; /* safe + changes = now */
    size_t change_count, change_cap;
    enum disk_op_kind fail_kind; /* 0 = none */
    int fail_err;
    int64_t misdirect_sectors;
    bool drops_next;
};

struct disk_mem *disk_mem_new(uint64_t capacity_bytes)
{
    struct disk_mem *d = calloc(1, sizeof(*d));

    if (d != NULL)
        d->capacity = capacity_bytes;
    return d;
}

static void free_inode(struct inode *n)
{
    free(n->now);
    free(n->safe);
    free(n->dirty);
    free(n->bad);
    free(n);
}

void disk_mem_free(struct disk_mem *d)
{
    if (d == NULL)
        return;
    while (d->inodes != NULL) {
        struct inode *n = d->inodes;

        d->inodes = n->next;
        free_inode(n);
    }
    free(d->now.names);
    free(d->safe.names);
    free(d->changes);
    free(d);
}

/* --- Names. */

static struct name *find_name(const struct directory *dir, const char *text)
{
    for (size_t i = 0; i < dir->count; i++)
        if (strcmp(dir->names[i].text, text) == 0)
            return &dir->names[i];
    return NULL;
}

static struct inode *find_inode(const struct disk_mem *d, const char *file)
{
    struct name *n = find_name(&d->now, file);

    return n == NULL ? NULL : n->inode;
}

static int link_name(struct directory *dir, const struct name *name)
{
    struct name *held = find_name(dir, name->text);

    if (held != NULL) {
        held->inode = name->inode;
        return 0;
    }
    if (dir->count == NAMES_MAX)
        return -ENOSPC;
    if (dir->count == dir->cap) {
        size_t cap = dir->cap == 0 ? 8 : dir->cap * 2;
        struct name *grown = realloc(dir->names, cap * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        dir->names = grown;
        dir->cap = cap;
    }
    dir->names[dir->count++] = *name;
    return 0;
}

static void unlink_name(struct directory *dir, const char *text)
{
    struct name *n = find_name(dir, text);

    if (n != NULL)
        *n = dir->names[--dir->count];
}

static int apply_change(struct directory *dir, const struct change *c)
{
    int rc = 0;

    if (c->kind == CHANGE_UNLINK)
        unlink_name(dir, c->name.text);
    else
        rc = link_name(dir, &c->name);
    if (rc == 0 && c->kind == CHANGE_RENAME)
        unlink_name(dir, c->from);
    return rc;
}

/* Makes the change in the directory as seen, and remembers it for the one on disk. */
static int change_name(struct disk_mem *d, const struct change *c)
{
    int rc;

    if (d->change_count == d->change_cap) {
        size_t cap = d->change_cap == 0 ? 8 : d->change_cap * 2;
        struct change *grown = realloc(d->changes, cap * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        d->changes = grown;
        d->change_cap = cap;
    }
    rc = apply_change(&d->now, c);
    if (rc == 0)
        d->changes[d->change_count++] = *c;
    return rc;
}

static void mark(const struct directory *dir)
{
    for (size_t i = 0; i < dir->count; i++)
        dir->names[i].inode->is_used = true;
}

/* Frees files that no directory, present or possible, names. */
static void collect(struct disk_mem *d)
{
    for (struct inode *n = d->inodes; n != NULL; n = n->next)
        n->is_used = false;
    mark(&d->now);
    mark(&d->safe);
    for (size_t i = 0; i < d->change_count; i++)
        d->changes[i].name.inode->is_used = true;
    for (struct inode **at = &d->inodes; *at != NULL;) {
        struct inode *n = *at;

        if (n->is_used) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        free_inode(n);
    }
}

/* The first `count` changes reach the disk. */
static int settle_names(struct disk_mem *d, size_t count)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = apply_change(&d->safe, &d->changes[i]);
    return rc;
}

static int sync_names(struct disk_mem *d)
{
    int rc = settle_names(d, d->change_count);

    d->change_count = 0;
    collect(d);
    return rc;
}

/* --- Contents. */

uint64_t disk_mem_used(const struct disk_mem *d)
{
    uint64_t used = 0;

    for (const struct inode *n = d->inodes; n != NULL; n = n->next)
        used += n->cap;
    return used;
}

static bool grow_bytes(uint8_t **bytes, size_t old, size_t cap)
{
    uint8_t *grown = old == 0 ? calloc(1, cap) : realloc(*bytes, cap);

    if (grown == NULL)
        return false;
    if (old > 0)
        memset(grown + old, 0, cap - old);
    *bytes = grown;
    return true;
}

/* Room for `len` bytes; nothing is lost when it fails. */
static int grow_inode(struct disk_mem *d, struct inode *n, uint64_t len)
{
    size_t cap = (size_t)((len + SECTOR - 1) / SECTOR * SECTOR);

    if (cap <= n->cap)
        return 0;
    if (disk_mem_used(d) - n->cap + cap > d->capacity)
        return -ENOSPC;
    if (!grow_bytes(&n->now, n->cap, cap) || !grow_bytes(&n->safe, n->cap, cap) ||
        !grow_bytes(&n->dirty, n->cap / SECTOR, cap / SECTOR) ||
        !grow_bytes(&n->bad, n->cap / SECTOR, cap / SECTOR))
        return -ENOMEM;
    n->cap = cap;
    return 0;
}

static int open_or_create(struct disk_mem *d, const char *file, struct inode **out)
{
    struct change c = { .kind = CHANGE_LINK };
    struct inode *n = find_inode(d, file);
    int rc;

    if (n == NULL) {
        n = calloc(1, sizeof(*n));
        if (n == NULL)
            return -ENOMEM;
        memcpy(c.name.text, file, strlen(file) + 1);
        c.name.inode = n;
        rc = change_name(d, &c);
        if (rc < 0) {
            free(n);
            return rc;
        }
        n->next = d->inodes;
        d->inodes = n;
    }
    *out = n;
    return 0;
}

static void touch_sectors(struct inode *n, size_t offset, size_t len)
{
    size_t first = offset / SECTOR, end = (offset + len + SECTOR - 1) / SECTOR;
    bool is_clean = n->dirty_first == n->dirty_end;

    if (len == 0)
        return;
    memset(n->dirty + first, 1, end - first);
    memset(n->bad + first, 0, end - first);
    n->dirty_first = is_clean ? first : MIN(n->dirty_first, first);
    n->dirty_end = is_clean ? end : MAX(n->dirty_end, end);
}

static void forget_dirty(struct inode *n)
{
    if (n->cap > 0)
        memset(n->dirty + n->dirty_first, 0, n->dirty_end - n->dirty_first);
    n->dirty_first = n->dirty_end = 0;
}

/* `data` NULL means zeros. */
static int write_bytes(struct disk_mem *d, const char *file, uint64_t offset, const uint8_t *data,
                       size_t len)
{
    struct inode *n;
    uint64_t end;
    int rc = open_or_create(d, file, &n);

    if (rc < 0 || len == 0)
        return rc;
    if (__builtin_add_overflow(offset, len, &end))
        return -EINVAL;
    rc = grow_inode(d, n, end);
    if (rc < 0)
        return rc;
    if (data == NULL && offset < n->now_len)
        memset(n->now + offset, 0, MIN(len, n->now_len - (size_t)offset));
    if (data != NULL)
        memcpy(n->now + offset, data, len);
    n->now_len = MAX(n->now_len, (size_t)end);
    touch_sectors(n, (size_t)offset, len);
    return 0;
}

static int fill_file(struct disk_mem *d, const struct disk_op *op)
{
    struct inode *n;
    int rc = write_bytes(d, op->file, 0, NULL, (size_t)op->len);

    if (rc == 0)
        rc = open_or_create(d, op->file, &n);
    if (rc < 0)
        return rc;
    if (n->now_len > op->len) /* what is cut off is zeros when the file grows again */
        memset(n->now + op->len, 0, n->now_len - op->len);
    n->now_len = (size_t)op->len;
    return 0;
}

static int write_file(struct disk_mem *d, const struct disk_op *op)
{
    int64_t shift = d->misdirect_sectors * DISK_SECTOR_BYTES;
    uint64_t offset = op->offset;

    d->misdirect_sectors = 0;
    if (d->drops_next) {
        d->drops_next = false;
        return 0;
    }
    if (shift >= 0 || (uint64_t)-shift <= offset)
        offset += (uint64_t)shift;
    return write_bytes(d, op->file, offset, op->data.ptr, op->data.len);
}

static int sync_file(struct disk_mem *d, const struct disk_op *op)
{
    struct inode *n = find_inode(d, op->file);

    if (n == NULL)
        return -ENOENT;
    for (size_t i = n->dirty_first; i < n->dirty_end; i++)
        if (n->dirty[i])
            memcpy(n->safe + i * SECTOR, n->now + i * SECTOR, SECTOR);
    forget_dirty(n);
    n->safe_len = n->now_len;
    return 0;
}

static int rename_file(struct disk_mem *d, const struct disk_op *op)
{
    struct change c = { .kind = CHANGE_RENAME };

    c.name.inode = find_inode(d, op->file);
    if (c.name.inode == NULL)
        return -ENOENT;
    memcpy(c.name.text, op->to, sizeof(op->to));
    memcpy(c.from, op->file, sizeof(op->file));
    return change_name(d, &c);
}

static int remove_file(struct disk_mem *d, const struct disk_op *op)
{
    struct change c = { .kind = CHANGE_UNLINK };

    c.name.inode = find_inode(d, op->file);
    if (c.name.inode == NULL)
        return 0;
    memcpy(c.name.text, op->file, sizeof(op->file));
    return change_name(d, &c);
}

/* What a failing operation has done when it reports: half of a write, and a sync that forgets. */
static void fail_op(struct disk_mem *d, const struct disk_op *op)
{
    struct inode *n = find_inode(d, op->file);

    if (op->kind == DISK_WRITE)
        (void)write_bytes(d, op->file, op->offset, op->data.ptr,
                          op->data.len / 2); /* fails anyway */
    if (op->kind == DISK_FILL)
        (void)write_bytes(d, op->file, 0, NULL, (size_t)op->len / 2); /* fails anyway */
    if (op->kind == DISK_SYNC && n != NULL)
        forget_dirty(n);
}

int disk_mem_run(struct disk_mem *d, const struct disk_op *op)
{
    if (d->fail_kind == op->kind) {
        d->fail_kind = 0;
        fail_op(d, op);
        return d->fail_err;
    }
    switch (op->kind) {
    case DISK_WRITE:
        return write_file(d, op);
    case DISK_FILL:
        return fill_file(d, op);
    case DISK_SYNC:
        return sync_file(d, op);
    case DISK_RENAME:
        return rename_file(d, op);
    case DISK_REMOVE:
        return remove_file(d, op);
    case DISK_SYNC_DIR:
        return sync_names(d);
    }
    UNREACHABLE("every kind is handled");
}

int disk_mem_run_job(struct disk_mem *d, const struct disk_job *job)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < job->op_count; i++)
        rc = disk_mem_run(d, &job->ops[i]);
    return rc;
}

/* --- Reading. */

static int list_files(void *ctx, disk_on_file *on_file, void *arg)
{
    struct disk_mem *d = ctx;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < d->now.count; i++)
        rc = on_file(arg, d->now.names[i].text, d->now.names[i].inode->now_len);
    return rc;
}

static int64_t read_file(void *ctx, const char *file, uint64_t offset, uint8_t *out, size_t len)
{
    struct disk_mem *d = ctx;
    struct inode *n = find_inode(d, file);
    size_t got;

    if (n == NULL)
        return -ENOENT;
    if (offset >= n->now_len)
        return 0;
    got = MIN(len, n->now_len - (size_t)offset);
    for (size_t i = (size_t)offset / SECTOR; got > 0 && i <= (offset + got - 1) / SECTOR; i++)
        if (n->bad[i])
            return -EIO;
    if (got > 0)
        memcpy(out, n->now + offset, got);
    return (int64_t)got;
}

struct disk_reader disk_mem_reader(struct disk_mem *d)
{
    return (struct disk_reader){ .ctx = d, .list = list_files, .read = read_file };
}

/* --- Faults. */

static void crash_inode(struct inode *n, enum disk_mem_crash_mode mode, disk_mem_draw *draw,
                        void *ctx)
{
    size_t unsafe_len = n->now_len;

    for (size_t i = n->dirty_first; i < n->dirty_end; i++)
        if (mode == DISK_MEM_TEAR && n->dirty[i] && (draw(ctx) & 1) != 0)
            memcpy(n->safe + i * SECTOR, n->now + i * SECTOR, SECTOR);
    forget_dirty(n);
    if (mode == DISK_MEM_TEAR && unsafe_len != n->safe_len && (draw(ctx) & 1) != 0)
        n->safe_len = unsafe_len;
    n->now_len = n->safe_len;
    if (n->cap > 0) {
        memset(n->safe + n->safe_len, 0, n->cap - n->safe_len);
        memcpy(n->now, n->safe, n->cap);
    }
}

void disk_mem_crash(struct disk_mem *d, enum disk_mem_crash_mode mode, disk_mem_draw *draw,
                    void *ctx)
{
    size_t kept = d->change_count;

    d->fail_kind = 0;
    d->misdirect_sectors = 0;
    d->drops_next = false;
    if (mode == DISK_MEM_KEEP)
        return;
    if (mode == DISK_MEM_LOSE)
        kept = 0;
    else
        kept = (size_t)(draw(ctx) % (d->change_count + 1));
    CHECK(settle_names(d, kept) == 0); /* the directory as seen was larger */
    d->change_count = 0;
    d->now.count = 0;
    for (size_t i = 0; i < d->safe.count; i++)
        CHECK(link_name(&d->now, &d->safe.names[i]) == 0);
    collect(d);
    for (struct inode *n = d->inodes; n != NULL; n = n->next)
        crash_inode(n, mode, draw, ctx);
}

void disk_mem_set_capacity(struct disk_mem *d, uint64_t capacity_bytes)
{
    d->capacity = capacity_bytes;
}

void disk_mem_fail_next(struct disk_mem *d, enum disk_op_kind kind, int err)
{
    CHECK(err < 0);
    d->fail_kind = kind;
    d->fail_err = err;
}

void disk_mem_misdirect_next(struct disk_mem *d, int64_t sectors)
{
    d->misdirect_sectors = sectors;
}

void disk_mem_drop_next(struct disk_mem *d)
{
    d->drops_next = true;
}

bool disk_mem_flip(struct disk_mem *d, const char *file, uint64_t offset, uint8_t mask)
{
    struct inode *n = find_inode(d, file);

    if (n == NULL || offset >= n->now_len)
        return false;
    n->now[offset] ^= mask;
    n->safe[offset] ^= mask;
    return true;
}

bool disk_mem_set_unreadable(struct disk_mem *d, const char *file, uint64_t offset)
{
    struct inode *n = find_inode(d, file);

    if (n == NULL || offset >= n->now_len)
        return false;
    n->bad[offset / SECTOR] = 1;
    return true;
}

bool disk_mem_delete(struct disk_mem *d, const char *file)
{
    if (find_inode(d, file) == NULL)
        return false;
    CHECK(sync_names(d) == 0); /* no larger than the directory as seen */
    unlink_name(&d->now, file);
    unlink_name(&d->safe, file);
    collect(d);
    return true;
}

bool disk_mem_exists(const struct disk_mem *d, const char *file)
{
    return find_inode(d, file) != NULL;
}
