/* Any bytes as a layer: whatever happens, nothing outside of the directory is made or changed. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "runtime/file.h"
#include "runtime/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char base[64];

static void remove_base(void)
{
    (void)!tree_remove(base);
}

static int count_entry(void *arg, int dir_fd, const char *name)
{
    (void)dir_fd;
    (void)name;
    ++*(int *)arg;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct unpack u = { .root_fd = -1 };
    struct path root, victim;
    struct fault f = { "" };
    struct stat before, after;
    int fd, count = 0;

    if (base[0] == '\0') {
        (void)snprintf(base, sizeof(base), "/tmp/shoal-fuzz-unpack-%d", (int)getpid());
        CHECK(mkdir(base, 0700) == 0);
        (void)atexit(remove_base);
    }
    root = path_of("%s/root", base);
    victim = path_of("%s/victim", base);
    CHECK(mkdir(root.text, 0755) == 0);
    CHECK(file_write(victim.text, slice_of_str("safe"), 0600) == 0);
    CHECK(stat(victim.text, &before) == 0);
    fd = memfd_create("layer", MFD_CLOEXEC);
    CHECK(fd >= 0 && file_write_all(fd, slice_of(data, len)) == 0);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    u.root_fd = open(root.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (unpack_tar(&u, fd, &f) < 0)
        CHECK(f.text[0] != '\0');
    unpack_deinit(&u);
    close(u.root_fd);
    close(fd);
    CHECK(stat(victim.text, &after) == 0);
    CHECK(after.st_ino == before.st_ino && after.st_size == 4 && after.st_mode == before.st_mode &&
          after.st_nlink == 1 && after.st_uid == before.st_uid);
    CHECK(tree_remove(root.text) == 0);
    CHECK(dir_each(base, count_entry, &count) == 0);
    CHECK(count == 1);
    return 0;
}
