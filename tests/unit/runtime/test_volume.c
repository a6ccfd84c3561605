/* Volumes that cannot be made ready: what was begun is undone. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_group.h"

/* In any mount namespace that a thread of ours lives in. */
static bool is_mounted(const char *path)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *e;
    bool found = false;

    while (tasks != NULL && (e = readdir(tasks)) != NULL) {
        char name[300], line[4096];
        FILE *f;

        (void)snprintf(name, sizeof(name), "/proc/self/task/%s/mountinfo", e->d_name);
        f = fopen(name, "r");
        while (f != NULL && fgets(line, sizeof(line), f) != NULL)
            found = found || strstr(line, path) != NULL;
        if (f != NULL)
            (void)fclose(f); /* read only */
    }
    if (tasks != NULL)
        closedir(tasks);
    return found;
}

static void test_a_volume_that_cannot_be_filled_is_not_left_mounted(void **state)
{
    struct container_spec spec;
    char message[1024], path[256];
    struct container_mount *m;

    NEED_CONTAINERS();
    spec_init(&spec, "narrow", "true");
    add_mount(&spec, CONTAINER_MOUNT_VOLUME, "small", "/bin"); /* busybox is larger */
    m = &spec.mounts.items[0];
    assert_int_equal(str_map_set(&m->driver_options, "type", "tmpfs"), 0);
    assert_int_equal(str_map_set(&m->driver_options, "device", "tmpfs"), 0);
    assert_int_equal(str_map_set(&m->driver_options, "o", "size=64k"), 0);
    assert_true(create_and_start(&fx, &spec, message) < 0);
    assert_non_null(strstr(message, "volume small"));
    fields_deinit(&container_spec_type, &spec);
    (void)snprintf(path, sizeof(path), "%s/volumes/small", fx.state_dir);
    assert_false(is_mounted(path));
}

/* Else the next start would take half of the image's files for the user's own. */
static void test_a_volume_is_filled_wholly_or_not_at_all(void **state)
{
    struct waited w = { .fixture = &fx };
    struct container_spec spec;
    struct rlimit whole, narrow;
    char message[1024];

    NEED_CONTAINERS();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    narrow = (struct rlimit){ .rlim_cur = 65536, .rlim_max = whole.rlim_max };
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond is then an error like a full disk */
    spec_init(&spec, "half", "true");
    add_mount(&spec, CONTAINER_MOUNT_VOLUME, "filled", "/bin"); /* busybox is larger */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &narrow), 0);
    assert_true(create_and_start(&fx, &spec, message) < 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    assert_non_null(strstr(message, "volume filled"));
    runtime_container_start(fx.rt, "half", on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
    assert_int_equal(wait_exited(&fx, "half")->exit_code, 0);
    fields_deinit(&container_spec_type, &spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_volume_that_cannot_be_filled_is_not_left_mounted),
        cmocka_unit_test(test_a_volume_is_filled_wholly_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
