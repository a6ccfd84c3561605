/* Images in and out: archives, a registry on loopback, and what a broken one of either does. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_runtime.h"

static struct fixture fx;
static char registry_host[32];
static const char *insecure[] = { registry_host, NULL };
static pid_t registry_pid;

#define NEED_RUNTIME()                                         \
    do {                                                       \
        (void)state;                                           \
        if (fixture_missing() != NULL) {                       \
            print_message("skipped: %s\n", fixture_missing()); \
            skip();                                            \
        }                                                      \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    if (fixture_missing() == NULL) {
        fixture_init(&fx);
        fixture_import_busybox(&fx);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (registry_pid > 0) {
        kill(registry_pid, SIGTERM);
        waitpid(registry_pid, NULL, 0);
    }
    if (fixture_missing() == NULL)
        fixture_deinit(&fx);
    return 0;
}

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char command[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return system(command);
}

struct found_image {
    struct waited waited;
    char id[80], manifest[80], name[512];
    size_t name_count;
};

static void on_found(void *owner, int err, const char *message, const struct image_info *image)
{
    struct found_image *f = owner;

    if (err == 0) {
        (void)snprintf(f->id, sizeof(f->id), "%s", image->id);
        (void)snprintf(f->manifest, sizeof(f->manifest), "%s", image->manifest_digest);
        while (image->names[f->name_count] != NULL)
            f->name_count++;
        if (f->name_count > 0)
            (void)snprintf(f->name, sizeof(f->name), "%s", image->names[0]);
        assert_true(image->size > 0);
        assert_true(image->blob_size > 0);
        assert_string_equal(image->os, "linux");
    }
    on_waited(&f->waited, err, message);
}

static struct found_image inspect(const char *name)
{
    struct found_image f = { .waited = { .fixture = &fx } };

    runtime_image_inspect(fx.rt, name, on_found, &f);
    (void)wait_call(&f.waited);
    return f;
}

static struct found_image pull(const char *name, const struct registry_auth *auth)
{
    struct found_image f = { .waited = { .fixture = &fx } };

    runtime_image_pull(fx.rt, name, auth, NULL, on_found, &f);
    (void)wait_call(&f.waited);
    return f;
}

static char loaded_name[512], loaded_id[80];

static void on_loaded(void *owner, const char *image_id, const char *name)
{
    (void)owner;
    (void)snprintf(loaded_id, sizeof(loaded_id), "%s", image_id);
    (void)snprintf(loaded_name, sizeof(loaded_name), "%s", name);
}

static int load(const char *path, char message[1024])
{
    struct waited w = { .fixture = &fx };

    loaded_name[0] = loaded_id[0] = '\0';
    runtime_image_load(fx.rt, path, -1, NULL, on_loaded, on_waited, &w);
    (void)wait_call(&w);
    (void)strcpy(message, w.message);
    return w.err;
}

static void remove_image(const char *name)
{
    struct waited w = { .fixture = &fx };

    runtime_image_remove(fx.rt, name, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
}

static void save(const char *name, const char *path)
{
    const char *names[] = { name, NULL };
    struct waited w = { .fixture = &fx };

    runtime_image_save(fx.rt, names, open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
                       on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
}

static void test_names_are_found_in_every_form(void **state)
{
    struct found_image f, g;
    char prefix[16];

    NEED_RUNTIME();
    f = inspect("busybox");
    assert_int_equal(f.waited.err, 0);
    assert_string_equal(f.name, "docker.io/library/busybox:latest");
    (void)snprintf(prefix, sizeof(prefix), "%.12s", f.id + 7);
    g = inspect(prefix);
    assert_string_equal(g.id, f.id);
    g = inspect("docker.io/library/busybox:latest");
    assert_string_equal(g.id, f.id);
    g = inspect("nosuch");
    assert_int_equal(g.waited.err, ERR_NOT_FOUND);
    assert_non_null(strstr(g.waited.message, "nosuch"));
}

static void test_an_image_survives_save_remove_and_load(void **state)
{
    struct found_image before, after;
    char path[128], message[1024];

    NEED_RUNTIME();
    (void)snprintf(path, sizeof(path), "%s/saved.tar", fx.dir);
    before = inspect("busybox");
    save("busybox", path);
    remove_image("busybox");
    after = inspect("busybox");
    assert_int_equal(after.waited.err, ERR_NOT_FOUND);
    assert_int_equal(run("test -z \"$(ls %s/blobs/sha256 %s/layers/chain | grep -v :)\"",
                         fx.state_dir, fx.state_dir),
                     0); /* nothing of it is left */
    if (load(path, message) < 0)
        fail_msg("%s", message);
    assert_string_equal(loaded_name, "docker.io/library/busybox:latest");
    after = inspect("busybox");
    assert_string_equal(after.id, before.id);
    assert_string_equal(after.manifest, before.manifest);
}

/* Made by other tools: what `docker save` wrote, packed OCI archives and layouts. */
static void test_foreign_archives_load(void **state)
{
    struct found_image before, f;
    char message[1024], path[160];

    NEED_RUNTIME();
    if (run("command -v skopeo >/dev/null") != 0) {
        print_message("skipped: needs skopeo\n");
        skip();
    }
    before = inspect("busybox");
    (void)snprintf(path, sizeof(path), "%s/layout", fx.dir);
    assert_int_equal(run("mkdir %s && tar -C %s -xf %s/saved.tar && rm %s/manifest.json", path,
                         path, fx.dir, path),
                     0);
    remove_image("busybox");
    if (load(path, message) < 0)
        fail_msg("layout: %s", message);
    f = inspect("busybox");
    assert_string_equal(f.manifest, before.manifest);
    assert_int_equal(
        run("skopeo --insecure-policy copy -q oci:%s docker-archive:%s/docker.tar:web:1 2>&1", path,
            fx.dir),
        0);
    (void)snprintf(path, sizeof(path), "%s/docker.tar", fx.dir);
    if (load(path, message) < 0)
        fail_msg("docker archive: %s", message);
    assert_string_equal(loaded_name, "docker.io/library/web:1");
    assert_string_equal(loaded_id, before.id);
    assert_int_equal(run("zstd -q %s/docker.tar -o %s/docker.tar.zst && gzip -k %s/docker.tar",
                         fx.dir, fx.dir, fx.dir),
                     0);
    (void)snprintf(path, sizeof(path), "%s/docker.tar.zst", fx.dir);
    assert_int_equal(load(path, message), 0);
    (void)snprintf(path, sizeof(path), "%s/docker.tar.gz", fx.dir);
    assert_int_equal(load(path, message), 0);
    remove_image("web:1");
}

static void test_broken_archives_are_refused_with_a_reason(void **state)
{
    char path[160], message[1024];

    NEED_RUNTIME();
    (void)snprintf(path, sizeof(path), "%s/broken.tar", fx.dir);
    assert_int_equal(run("head -c 100000 %s/saved.tar > %s", fx.dir, path), 0);
    assert_true(load(path, message) < 0);
    assert_non_null(strstr(message, "broken.tar"));
    assert_int_equal(run("echo this is no archive > %s", path), 0);
    assert_int_equal(load(path, message), ERR_MALFORMED);
    assert_int_equal(run("tar -cf %s -C %s busybox.tar", path, fx.dir), 0);
    assert_int_equal(load(path, message), ERR_MALFORMED);
    assert_non_null(strstr(message, "use import"));
    assert_int_equal(load("/no/such/file", message), -2);
    /* A blob that is not what its name says; a good one in the store would do instead. */
    remove_image("busybox");
    assert_int_equal(
        run("rm -rf %s/x && mkdir %s/x && tar -C %s/x -xf %s/saved.tar && cd %s/x && "
            "big=$(ls -S blobs/sha256 | head -1) && echo garbage >> blobs/sha256/$big && "
            "tar -cf %s .",
            fx.dir, fx.dir, fx.dir, fx.dir, fx.dir, path),
        0);
    assert_true(load(path, message) < 0);
    (void)snprintf(path, sizeof(path), "%s/saved.tar", fx.dir);
    assert_int_equal(load(path, message), 0);
}

/* --- Registry */

static bool start_registry(const char *auth)
{
    char config[160];

    if (registry_pid > 0) {
        kill(registry_pid, SIGTERM);
        waitpid(registry_pid, NULL, 0);
        registry_pid = 0;
    }
    if (run("command -v docker-registry >/dev/null") != 0)
        return false;
    (void)snprintf(registry_host, sizeof(registry_host), "127.0.0.1:%d",
                   20000 + (int)(getpid() % 20000));
    (void)snprintf(config, sizeof(config), "%s/registry.yml", fx.dir);
    assert_int_equal(run("mkdir -p %s/registry && cat > %s <<EOF\nversion: 0.1\nlog:\n  level: "
                         "error\nstorage:\n  filesystem:\n    rootdirectory: "
                         "%s/registry\nhttp:\n  addr: %s\n%s\nEOF",
                         fx.dir, config, fx.dir, registry_host, auth),
                     0);
    registry_pid = fork();
    if (registry_pid == 0) {
        (void)!freopen("/dev/null", "w", stdout);
        (void)!freopen("/dev/null", "w", stderr);
        execlp("docker-registry", "docker-registry", "serve", config, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        if (run("curl -s -o /dev/null http://%s/v2/", registry_host) == 0)
            return true;
        usleep(10000);
    }
    return false;
}

static void test_pull_from_a_registry(void **state)
{
    struct found_image before, f;
    char name[128], message[256];

    NEED_RUNTIME();
    if (!start_registry("")) {
        print_message("skipped: needs docker-registry\n");
        skip();
    }
    before = inspect("busybox");
    assert_int_equal(run("skopeo --insecure-policy copy -q --dest-tls-verify=false oci:%s/layout "
                         "docker://%s/team/web:1",
                         fx.dir, registry_host),
                     0);
    remove_image("busybox");
    (void)snprintf(name, sizeof(name), "%s/team/web:1", registry_host);
    f = pull(name, NULL);
    if (f.waited.err < 0)
        fail_msg("%s", f.waited.message);
    assert_string_equal(f.id, before.id);
    (void)snprintf(message, sizeof(message), "%s/team/web@%s", registry_host, f.manifest);
    assert_string_equal(inspect(message).id, before.id);
    (void)snprintf(name, sizeof(name), "%s/team/web:nosuch", registry_host);
    f = pull(name, NULL);
    assert_int_equal(f.waited.err, ERR_NOT_FOUND);
    assert_non_null(strstr(f.waited.message, "nosuch"));
    /* by digest and complete: the registry is not needed */
    kill(registry_pid, SIGTERM);
    waitpid(registry_pid, NULL, 0);
    registry_pid = 0;
    f = pull(message, NULL);
    assert_int_equal(f.waited.err, 0);
}

static void test_a_registry_that_wants_a_login(void **state)
{
    const struct registry_auth good = { .username = "ann", .password = "secret" };
    const struct registry_auth bad = { .username = "ann", .password = "wrong" };
    struct found_image f;
    char auth[256], name[128];

    NEED_RUNTIME();
    /* ann:secret, bcrypt */
    assert_int_equal(run("printf '%%s\\n' 'ann:%s' > %s/htpasswd",
                         "$2b$05$5fFjz.jclKoavdCV1bHeyujReQsTgvb2CKgVDDhtbZLjAtjUMQgi.", fx.dir),
                     0);
    (void)snprintf(auth, sizeof(auth), "auth:\n  htpasswd:\n    realm: here\n    path: %s/htpasswd",
                   fx.dir);
    if (!start_registry(auth)) {
        print_message("skipped: needs docker-registry\n");
        skip();
    }
    (void)snprintf(name, sizeof(name), "%s/team/web:1", registry_host);
    f = pull(name, NULL);
    assert_int_equal(f.waited.err, ERR_UNAUTHENTICATED);
    assert_non_null(strstr(f.waited.message, "credentials"));
    f = pull(name, &bad);
    assert_int_equal(f.waited.err, ERR_UNAUTHENTICATED);
    f = pull(name, &good);
    if (f.waited.err < 0)
        fail_msg("%s", f.waited.message);
}

static void on_missing(void *owner, int err, const char *message, const struct blob_need *needs,
                       size_t count)
{
    (void)needs;
    *(size_t *)((struct waited *)owner + 1) = count;
    on_waited(owner, err, message);
}

static void on_blob(void *owner, int err, const char *message, int fd, uint64_t size)
{
    if (fd >= 0)
        close(fd);
    assert_true(err < 0 || size > 0);
    on_waited(owner, err, message);
}

static void test_blobs_are_told_served_and_verified(void **state)
{
    struct {
        struct waited waited;
        size_t count;
    } missing = { .waited = { .fixture = &fx } };
    struct waited w = { .fixture = &fx };
    struct found_image f;
    struct blob_ingest *ingest;
    const char *hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    NEED_RUNTIME();
    fixture_import_busybox(&fx);
    f = inspect("busybox");
    runtime_image_missing(fx.rt, f.manifest, on_missing, &missing);
    assert_int_equal(wait_call(&missing.waited), 0);
    assert_int_equal(missing.count, 0);
    missing.waited = (struct waited){ .fixture = &fx };
    runtime_image_missing(fx.rt, hello, on_missing, &missing);
    assert_int_equal(wait_call(&missing.waited), 0);
    assert_int_equal(missing.count, 1);
    runtime_blob_open(fx.rt, hello, on_blob, &w);
    assert_int_equal(wait_call(&w), ERR_NOT_FOUND);
    assert_int_equal(runtime_blob_begin(fx.rt, hello, 5, &ingest), 0);
    w = (struct waited){ .fixture = &fx };
    runtime_blob_write(ingest, slice_of("hel", 3), on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    w = (struct waited){ .fixture = &fx };
    runtime_blob_commit(ingest, on_waited, &w); /* too early: another digest */
    assert_int_equal(wait_call(&w), ERR_CORRUPT);
    assert_int_equal(runtime_blob_begin(fx.rt, hello, 5, &ingest), 0);
    w = (struct waited){ .fixture = &fx };
    runtime_blob_write(ingest, slice_of("hello", 5), on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    w = (struct waited){ .fixture = &fx };
    runtime_blob_commit(ingest, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    w = (struct waited){ .fixture = &fx };
    runtime_blob_open(fx.rt, hello, on_blob, &w);
    assert_int_equal(wait_call(&w), 0);
}

static void test_an_image_in_use_is_not_removed(void **state)
{
    struct container_spec spec;
    struct waited w = { .fixture = &fx };

    NEED_RUNTIME();
    fixture_import_busybox(&fx);
    spec_init(&spec, "user", "true");
    runtime_container_create(fx.rt, &spec, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    fields_deinit(&container_spec_type, &spec);
    w = (struct waited){ .fixture = &fx };
    runtime_image_remove(fx.rt, "busybox", on_waited, &w);
    assert_int_equal(wait_call(&w), ERR_IN_USE);
    w = (struct waited){ .fixture = &fx };
    runtime_image_tag(fx.rt, "busybox", "other:2", on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    remove_image("busybox"); /* one of two names may go */
    assert_int_equal(inspect("other:2").waited.err, 0);
    w = (struct waited){ .fixture = &fx };
    runtime_container_remove(fx.rt, "user", REMOVE_STOPPED, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    remove_image("other:2");
}

#define TEST(name) cmocka_unit_test(test_##name)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_found_in_every_form),
        TEST(an_image_survives_save_remove_and_load),
        TEST(foreign_archives_load),
        TEST(broken_archives_are_refused_with_a_reason),
        TEST(pull_from_a_registry),
        TEST(a_registry_that_wants_a_login),
        TEST(blobs_are_told_served_and_verified),
        TEST(an_image_in_use_is_not_removed),
    };

    fx.insecure = insecure;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
