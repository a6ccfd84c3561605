/* Loading an archive: five layers of 100 MB, packed with gzip. Beside it, what the machine needs to
 * do no more than unpack them: gunzip and tar, two at a time. Prints one line per figure. As root.
 * MEGABYTES sets the size of a layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/unit/runtime/support_runtime.h"

#define LAYERS "1 2 3 4 5"

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

static void bench_plain(void)
{
    uint64_t start = uv_hrtime();

    shell("cd %s && mkdir plain && printf '%%s\\n' " LAYERS
          " | xargs -P 2 -I N sh -c 'mkdir plain/N && tar -xzf a/N.tar.gz -C plain/N' && sync",
          fx.dir);
    printf("gunzip and tar, two at a time %8.0f ms\n", since_ms(start));
    shell("rm -rf %s/plain %s/a", fx.dir, fx.dir);
}

static void bench_load(void)
{
    struct waited w = { .fixture = &fx };
    double before = peak_mib();
    uint64_t start = uv_hrtime();
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/large.tar", fx.dir);
    runtime_image_load(fx.rt, path, -1, NULL, NULL, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
    printf("load of the archive           %8.0f ms\n", since_ms(start));
    printf("memory while loading          %8.1f MiB more\n", peak_mib() - before);
}

int main(void)
{
    const char *megabytes = getenv("MEGABYTES") == NULL ? "100" : getenv("MEGABYTES");

    if (fixture_missing() != NULL) {
        printf("skipped: %s\n", fixture_missing());
        return 77;
    }
    fixture_init(&fx);
    make_archive(megabytes);
    bench_plain();
    bench_load();
    fixture_deinit(&fx);
    return 0;
}
