/* Loading an archive: five layers of 100 MB, packed with gzip. In turns with it, what the machine
 * needs to do no more than unpack them: gunzip and tar, two at a time, and one sync of those files.
 * Prints one line per round and the median of their ratios. As root.
 *
 *     MEGABYTES  size of a layer
 *     ROUNDS     how often each
 *     WRITER     when set, another process writes to the same disk all the while, and never syncs
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/runtime/support_runtime.h"

#define LAYERS     "1 2 3 4 5"
#define ROUNDS_MAX 50

static struct fixture fx;

static double since_ms(uint64_t start)
{
    return (double)(uv_hrtime() - start) / 1e6;
}

static double peak_mib(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (double)usage.ru_maxrss / 1024;
}

static void shell(const char *format, ...) PRINTF_LIKE(1, 2);
static void shell(const char *format, ...)
{
    char command[4096];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("%s", command);
}

/* As `docker save` makes it: half of what is in it can be compressed, as in real images. */
static void make_archive(const char *megabytes)
{
    shell("cd %s && mkdir a && for i in " LAYERS "; do mkdir -p l$i/part$i && for f in 1 2 3 4 5 6 "
          "7 8 9 10; do { head -c $((%s * 50000)) /dev/urandom; head -c $((%s * 50000)) /dev/zero; "
          "} >l$i/part$i/$f; done && tar -C l$i -cf a/$i.tar . && rm -r l$i; done",
          fx.dir, megabytes, megabytes);
    shell(
        "cd %s/a && ids= layers= && for i in " LAYERS "; do "
        "ids=\"$ids,\\\"sha256:$(sha256sum <$i.tar | cut -c1-64)\\\"\"; "
        "layers=\"$layers,\\\"$i.tar.gz\\\"\"; gzip -1 $i.tar; done; "
        "printf '{\"architecture\":\"%%s\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":"
        "\"layers\",\"diff_ids\":[%%s]}}' \"$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')\""
        " \"${ids#,}\" >config.json; printf '[{\"Config\":\"config.json\",\"RepoTags\":"
        "[\"large:1\"],\"Layers\":[%%s]}]' \"${layers#,}\" >manifest.json; "
        "tar -cf ../large.tar .; sync",
        fx.dir);
}

static double unpack_plain(void)
{
    uint64_t start;
    double ms;

    shell("sync"); /* nobody pays for what was there before */
    start = uv_hrtime();
    shell("cd %s && mkdir plain && printf '%%s\\n' " LAYERS
          " | xargs -P 2 -I N sh -c 'mkdir plain/N && tar -xzf a/N.tar.gz -C plain/N' && "
          "find plain -type f -exec sync {} +",
          fx.dir);
    ms = since_ms(start);
    shell("rm -rf %s/plain", fx.dir);
    return ms;
}

static double load(void)
{
    struct waited w = { .fixture = &fx }, removed = { .fixture = &fx };
    uint64_t start;
    char path[128];
    double ms;

    (void)snprintf(path, sizeof(path), "%s/large.tar", fx.dir);
    shell("sync");
    start = uv_hrtime();
    runtime_image_load(fx.rt, path, -1, NULL, NULL, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
    ms = since_ms(start);
    runtime_image_remove(fx.rt, "large:1", on_waited, &removed);
    if (wait_call(&removed) < 0)
        fail_msg("%s", removed.message);
    return ms;
}

static pid_t start_writer(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (setpgid(0, 0) == 0 && chdir(fx.dir) == 0)
            (void)execl("/bin/sh", "sh", "-c",
                        "while dd if=/dev/zero of=foreign bs=1M count=1500 2>/dev/null; do rm "
                        "foreign; done",
                        (char *)NULL);
        _exit(127);
    }
    (void)setpgid(pid, pid); /* whoever comes first */
    return pid;
}

static void stop_writer(pid_t pid)
{
    int status;

    (void)kill(-pid, SIGKILL); /* it may have ended for want of space */
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* In turns, and who is first changes too: whatever else the machine does hits both. */
static void bench(int rounds)
{
    double ratios[ROUNDS_MAX], before = peak_mib();

    for (int i = 0; i < rounds; i++) {
        double plain, ours;

        if (i % 2 == 0) {
            plain = unpack_plain();
            ours = load();
        } else {
            ours = load();
            plain = unpack_plain();
        }
        ratios[i] = ours / plain;
        printf("load %6.0f ms   gunzip, tar and sync %6.0f ms   times %5.2f   %5.1f MiB more\n",
               ours, plain, ratios[i], peak_mib() - before);
        (void)fflush(stdout);
    }
    qsort(ratios, (size_t)rounds, sizeof(ratios[0]), compare_doubles);
    printf("median of %d ratios %5.2f, %5.2f to %5.2f\n", rounds, ratios[rounds / 2], ratios[0],
           ratios[rounds - 1]);
}

int main(void)
{
    const char *megabytes = getenv("MEGABYTES") == NULL ? "100" : getenv("MEGABYTES");
    const char *rounds_text = getenv("ROUNDS") == NULL ? "5" : getenv("ROUNDS");
    long rounds = strtol(rounds_text, NULL, 10);
    pid_t writer = 0;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "ROUNDS=%s: must be 1 to %d\n", rounds_text, ROUNDS_MAX);
        return 2;
    }
    if (fixture_missing() != NULL) {
        printf("skipped: %s\n", fixture_missing());
        return 77;
    }
    fixture_init(&fx);
    make_archive(megabytes);
    if (getenv("WRITER") != NULL)
        writer = start_writer();
    bench((int)rounds);
    if (writer != 0)
        stop_writer(writer);
    fixture_deinit(&fx);
    return 0;
}
