/* Monitors are in a control group of their own: what ends or limits the daemon's does not reach
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/conmon_cgroup.h"
#include "support_runtime.h"

static bool has_tree(enum cgroup_layout layout, const char *name)
{
    const char *const *names = conmon_cgroup_trees(layout);

    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static void test_every_hierarchy_with_services_counts(void **state)
{
    static const struct {
        const char *why, *tree;
        bool v1, v2, hybrid;
    } cases[] = {
        { "v2 has one hierarchy", ".", false, true, false },
        { "systemd tracks services in its own", "systemd", true, false, true },
        { "or, beside it, in that of v2", "unified", true, false, true },
        { "a service's memory is counted", "memory", true, false, true },
        { "a service's processes are limited", "pids", true, false, true },
        { "a new group of cpuset takes no members", "cpuset", false, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        assert_int_equal(has_tree(CGROUP_V1, cases[i].tree), cases[i].v1);
        assert_int_equal(has_tree(CGROUP_V2, cases[i].tree), cases[i].v2);
        assert_int_equal(has_tree(CGROUP_HYBRID, cases[i].tree), cases[i].hybrid);
    }
}

/* Of the group in the first hierarchy that is there; "" when it is in none. */
static void find_group(const struct fixture *f, char out[256])
{
    static const char *const roots[] = { "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/memory",
                                         "/sys/fs/cgroup" };

    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        (void)snprintf(out, 256, "%s%s/_conmon", roots[i], f->cgroup_parent);
        if (access(out, F_OK) == 0)
            return;
    }
    out[0] = '\0';
}

/* Its name in the hierarchy of the controller, or of v2 for "", as /proc/PID/cgroup says it. */
static bool is_in(const char *pid, const char *controller, const char *group)
{
    char path[64], line[512];
    bool found = false;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        char *names = strchr(line, ':'), *where = names == NULL ? NULL : strchr(names + 1, ':');

        assert_non_null(where);
        *where++ = '\0';
        where[strcspn(where, "\n")] = '\0';
        found = strcmp(names + 1, controller) == 0 && strcmp(where, group) == 0;
    }
    assert_int_equal(fclose(f), 0);
    return found;
}

static void read_monitor(const struct fixture *f, const char *id, char pid[32])
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/containers/%s/conmon.pid", f->run_dir, id);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(pid, 32, file));
    pid[strcspn(pid, "\n")] = '\0';
    assert_int_equal(fclose(file), 0);
}

static void assert_no_group(enum cgroup_layout layout, const char *parent)
{
    char path[256];

    for (const char *const *name = conmon_cgroup_trees(layout); *name != NULL; name++) {
        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s%s", *name, parent);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void test_a_monitor_is_outside_of_the_daemons_group(void **state)
{
    char pid[32], group[256], here[256];
    struct fixture f;

    NEED_CONTAINERS();
    fixture_init(&f);
    fixture_import_busybox(&f);
    start_forever(&f, "apart");
    read_monitor(&f, "apart", pid);
    (void)snprintf(group, sizeof(group), "%s/_conmon", f.cgroup_parent);
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ||
        access("/sys/fs/cgroup/unified", F_OK) == 0)
        assert_true(is_in(pid, "", group));
    if (access("/sys/fs/cgroup/memory", F_OK) == 0)
        assert_true(is_in(pid, "memory", group));
    if (access("/sys/fs/cgroup/systemd", F_OK) == 0)
        assert_true(is_in(pid, "name=systemd", group));
    find_group(&f, here);
    assert_string_not_equal(here, "");
    fixture_deinit(&f);
    assert_no_group(CGROUP_V2, f.cgroup_parent); /* nor does a group stay */
    assert_no_group(CGROUP_HYBRID, f.cgroup_parent);
}

/* As when an older daemon, or a person, had put it elsewhere. */
static void test_a_monitor_found_elsewhere_is_moved(void **state)
{
    char pid[32], group[256], command[256];
    struct fixture f;

    NEED_CONTAINERS();
    fixture_init(&f);
    fixture_import_busybox(&f);
    start_forever(&f, "moved");
    read_monitor(&f, "moved", pid);
    (void)snprintf(group, sizeof(group), "%s/_conmon", f.cgroup_parent);
    fixture_close(&f);
    (void)snprintf(command, sizeof(command),
                   "for p in /sys/fs/cgroup /sys/fs/cgroup/*; do [ ! -e $p/cgroup.procs ] || "
                   "echo %s >$p/cgroup.procs; done",
                   pid);
    assert_int_equal(system(command), 0);
    fixture_open(&f);
    if (access("/sys/fs/cgroup/memory", F_OK) == 0)
        assert_true(is_in(pid, "memory", group));
    else
        assert_true(is_in(pid, "", group));
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_hierarchy_with_services_counts),
        cmocka_unit_test(test_a_monitor_is_outside_of_the_daemons_group),
        cmocka_unit_test(test_a_monitor_found_elsewhere_is_moved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
