/* The pure parts: names of images, users, signals, capabilities, manifests, challenges, logs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "runtime/caps.h"
#include "runtime/logfile.h"
#include "runtime/manifest.h"
#include "runtime/reference.h"
#include "runtime/refusal.h"
#include "runtime/registry.h"
#include "runtime/userdb.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_refusals_have_dockers_exit_codes(void **state)
{
    static const struct {
        const char *words;
        int exit_code;
    } cases[] = {
        { "executable file `web` not found in $PATH: No such file or directory", 127 },
        { "open executable: Permission denied", 126 },
        { "open executable: Not a directory", 126 },
        { "unable to start container process: exec: \"web\": executable file not found in $PATH",
          127 },
        { "unable to start container process: exec: \"/web\": stat /web: no such file or directory",
          127 },
        { "unable to start container process: exec: \"/etc\": is a directory", 126 },
        { "exec failed: unable to start container process: exec: \"/etc\": permission denied",
          126 },
        { "mount `/x` to `/y`: No such file or directory", 128 },
        { "volume back: not found", 128 },
        { "", 128 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  \"%s\"\n", cases[i].words);
        assert_int_equal(refusal_exit_code(cases[i].words), cases[i].exit_code);
    }
}

static void test_references_are_completed_as_docker_does(void **state)
{
    static const struct {
        const char *text, *full; /* NULL: refused */
    } cases[] = {
        { "web", "docker.io/library/web:latest" },
        { "web:1.2", "docker.io/library/web:1.2" },
        { "team/web", "docker.io/team/web:latest" },
        { "localhost/web", "localhost/web:latest" },
        { "host:5000/a/b_c/d__e.f:tag", "host:5000/a/b_c/d__e.f:tag" },
        { "[::1]:5000/web", "[::1]:5000/web:latest" },
        { "web@sha256:" HEX64, "docker.io/library/web@sha256:" HEX64 },
        { "web:1@sha256:" HEX64, "docker.io/library/web@sha256:" HEX64 },
        { "index.docker.io/web", "docker.io/library/web:latest" },
        { "", NULL },
        { "Web", NULL },
        { "web:", NULL },
        { "web:-x", NULL },
        { "web@sha256:123", NULL },
        { "a//b", NULL },
        { "../etc", NULL },
        { "web tag", NULL },
        { "a___b", NULL },
        { "-web", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char full[REFERENCE_TEXT_MAX];
        struct reference r;
        struct fault f;
        int rc = reference_parse(cases[i].text, &r, &f);

        print_message("  \"%s\"\n", cases[i].text);
        assert_int_equal(rc, cases[i].full == NULL ? ERR_INVALID : 0);
        if (rc < 0)
            continue;
        reference_format(&r, full);
        assert_string_equal(full, cases[i].full);
    }
}

static void test_users_are_looked_up_in_the_image(void **state)
{
    const struct slice passwd = slice_of_str("root:x:0:0:root:/root:/bin/sh\n"
                                             "broken line\n"
                                             "web:x:1000:1001::/home/web:/bin/sh");
    const struct slice group = slice_of_str("root:x:0:\nweb:x:1001:\nextra:x:2000:db,web\n");
    static const struct {
        const char *text;
        int err;
        uint32_t uid, gid;
        size_t groups;
        const char *home;
    } cases[] = {
        { "", 0, 0, 0, 0, "/root" },
        { "web", 0, 1000, 1001, 1, "/home/web" },
        { "1000", 0, 1000, 1001, 1, "/home/web" },
        { "web:root", 0, 1000, 0, 0, "/home/web" },
        { "4242", 0, 4242, 0, 0, "/" },
        { "4242:extra", 0, 4242, 2000, 0, "/" },
        { "nobody", ERR_INVALID, 0, 0, 0, "" },
        { "web:nogroup", ERR_INVALID, 0, 0, 0, "" },
        { "4294967295", ERR_INVALID, 0, 0, 0, "" }, /* means "no change" to the kernel */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct str_list none = { 0 };
        struct user u;
        struct fault f;

        print_message("  \"%s\"\n", cases[i].text);
        assert_int_equal(user_resolve(cases[i].text, &none, passwd, group, &u, &f), cases[i].err);
        if (cases[i].err < 0)
            continue;
        assert_int_equal(u.uid, cases[i].uid);
        assert_int_equal(u.gid, cases[i].gid);
        assert_int_equal(u.group_count, cases[i].groups);
        assert_string_equal(u.home, cases[i].home);
    }
}

static void test_signals(void **state)
{
    int n;

    (void)state;
    assert_int_equal(container_signal_parse("SIGTERM", &n), 0);
    assert_int_equal(n, 15);
    assert_int_equal(container_signal_parse("kill", &n), 0);
    assert_int_equal(n, 9);
    assert_int_equal(container_signal_parse("37", &n), 0);
    assert_int_equal(n, 37);
    assert_int_equal(container_signal_parse("RTMIN+3", &n), 0);
    assert_int_equal(n, 37);
    assert_int_equal(container_signal_parse("0", &n), ERR_INVALID);
    assert_int_equal(container_signal_parse("65", &n), ERR_INVALID);
    assert_int_equal(container_signal_parse("SIGNONE", &n), ERR_INVALID);
    assert_int_equal(container_signal_parse("RTMAX-99", &n), ERR_INVALID);
}

static cap_set caps_of(const char *add, const char *drop)
{
    struct str_list a = { 0 }, d = { 0 };
    const char *unknown;
    cap_set set = 0;

    assert_int_equal(add == NULL ? 0 : str_list_append(&a, add), 0);
    assert_int_equal(drop == NULL ? 0 : str_list_append(&d, drop), 0);
    assert_int_equal(cap_set_of(&a, &d, &set, &unknown), 0);
    str_list_clear(&a);
    str_list_clear(&d);
    return set;
}

static void test_capabilities(void **state)
{
    (void)state;
    assert_int_equal(caps_of(NULL, NULL), 0xa80425fb);
    assert_int_equal(caps_of("net_admin", NULL), 0xa80425fb | 1 << 12);
    assert_int_equal(caps_of("NET_ADMIN", "ALL"), 1 << 12);
    assert_int_equal(caps_of("ALL", "CAP_CHOWN"), (UINT64_C(1) << CAP_COUNT) - 2);
    assert_int_equal(caps_of(NULL, "ALL"), 0);
}

#define CONFIG      "\"config\":{\"digest\":\"sha256:" HEX64 "\",\"size\":5}"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" HEX64 "\",\"size\":7}"

static void test_manifests_are_checked_whole(void **state)
{
    static const struct {
        const char *why, *text;
        int err;
    } cases[] = {
        { "an image",
          "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER(MEDIA_OCI_LAYER "+gzip") "]}", 0 },
        { "an index", "{\"schemaVersion\":2,\"manifests\":[" LAYER("x") "]}", 0 },
        { "both", "{\"schemaVersion\":2," CONFIG ",\"manifests\":[" LAYER("x") "]}",
          ERR_MALFORMED },
        { "neither", "{\"schemaVersion\":2}", ERR_MALFORMED },
        { "schema 1", "{\"schemaVersion\":1,\"fsLayers\":[]}", ERR_UNSUPPORTED },
        { "a layer that is elsewhere",
          "{\"schemaVersion\":2," CONFIG
          ",\"layers\":[" LAYER("application/vnd.example.artifact") "]}",
          ERR_UNSUPPORTED },
        { "a digest that is a path",
          "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:../../../../../../../../../../../"
          "../"
          "../../../../../../../../etc/x\",\"size\":5}}",
          ERR_MALFORMED },
        { "no JSON", "]", ERR_MALFORMED },
        { "cut off", "{\"schemaVersion\":2," CONFIG, ERR_MALFORMED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct manifest m;
        struct fault f = { "" };
        int rc = manifest_parse(slice_of_str(cases[i].text), &m, &f);

        print_message("  %s: %s\n", cases[i].why, f.text);
        assert_int_equal(rc, cases[i].err);
        if (rc == 0)
            fields_deinit(&manifest_type, &m);
    }
}

static void test_index_gives_the_manifest_of_the_platform(void **state)
{
    static const char text[] =
        "{\"schemaVersion\":2,\"manifests\":["
        "{\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"platform\":{\"os\":\"linux\","
        "\"architecture\":\"arm64\",\"variant\":\"v7\"}},"
        "{\"digest\":\"sha256:" HEX64 "\",\"size\":2,\"platform\":{\"os\":\"linux\","
        "\"architecture\":\"arm64\",\"variant\":\"v8\"}},"
        "{\"digest\":\"sha256:" HEX64
        "\",\"size\":3,\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}}]}";
    char os[] = "linux", arm[] = "arm64", v8[] = "v8", v9[] = "v9", s390[] = "s390x";
    const struct image_platform exact = { arm, os, v8 }, near = { arm, os, v9 },
                                none = { s390, os, NULL };
    struct manifest m;
    struct fault f;

    (void)state;
    assert_int_equal(manifest_parse(slice_of_str(text), &m, &f), 0);
    assert_int_equal(manifest_choose(&m, &exact)->size, 2);
    assert_int_equal(manifest_choose(&m, &near)->size, 1);
    assert_null(manifest_choose(&m, &none));
    fields_deinit(&manifest_type, &m);
}

static void test_challenges(void **state)
{
    struct auth_challenge c = { 0 };

    (void)state;
    registry_parse_challenge(
        slice_of_str(
            " Bearer "
            "realm=\"https://auth.test/token\",service=\"reg\",scope=\"repository:a/b:pull,push\""),
        &c);
    assert_true(c.is_bearer);
    assert_string_equal(c.realm, "https://auth.test/token");
    assert_string_equal(c.service, "reg");
    assert_string_equal(c.scope, "repository:a/b:pull,push");
    memset(&c, 0, sizeof(c));
    registry_parse_challenge(slice_of_str("Basic realm=x"), &c);
    assert_true(c.is_basic);
    memset(&c, 0, sizeof(c));
    registry_parse_challenge(slice_of_str("Bearer realm=\"unclosed"), &c);
    assert_string_equal(c.realm, "unclosed");
}

static void test_log_lines(void **state)
{
    struct log_record r;

    (void)state;
    assert_int_equal(log_parse(slice_of_str("2026-11-23T01:02:03.5+00:00 stderr P part"), &r), 0);
    assert_int_equal(r.source, STREAM_STDERR);
    assert_true(r.partial);
    assert_int_equal(r.text.len, 4);
    assert_int_equal(r.time % 1000000000, 500000000);
    assert_int_equal(log_parse(slice_of_str("2026-11-23T01:02:03.5+00:00 stdout F "), &r), 0);
    assert_int_equal(r.text.len, 0);
    assert_int_equal(log_parse(slice_of_str("nonsense"), &r), ERR_MALFORMED);
    assert_int_equal(log_parse(slice_of_str("2026-11-23T01:02:03Z stdin F x"), &r), ERR_MALFORMED);
    assert_int_equal(log_parse(slice_of(NULL, 0), &r), ERR_MALFORMED);
}

static void test_specs_are_checked_beyond_the_table(void **state)
{
    static const struct {
        const char *field;
        const char *json;
    } cases[] = {
        { "ID", "{\"ID\":\"../x\",\"Image\":\"i\"}" },
        { "Name", "{\"ID\":\"a\",\"Image\":\"i\",\"Name\":\"-x\"}" },
        { "Dir", "{\"ID\":\"a\",\"Image\":\"i\",\"Dir\":\"rel\"}" },
        { "StopSignal", "{\"ID\":\"a\",\"Image\":\"i\",\"StopSignal\":\"SIGWHAT\"}" },
        { "Hosts[0]", "{\"ID\":\"a\",\"Image\":\"i\",\"Hosts\":[\"1.2.3.4 a\\n6.6.6.6 b\"]}" },
        { "Mounts[0].Target",
          "{\"ID\":\"a\",\"Image\":\"i\",\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/\"}]}" },
        { "Mounts[0].Target", "{\"ID\":\"a\",\"Image\":\"i\",\"Mounts\":[{\"Type\":\"tmpfs\","
                              "\"Target\":\"/a/../..\"}]}" },
        { "Mounts[0].Source",
          "{\"ID\":\"a\",\"Image\":\"i\",\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/v\","
          "\"Source\":\"../etc\"}]}" },
        { "Mounts[1].Target",
          "{\"ID\":\"a\",\"Image\":\"i\",\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\"},"
          "{\"Type\":\"tmpfs\",\"Target\":\"/t\"}]}" },
        { "CapAdd", "{\"ID\":\"a\",\"Image\":\"i\",\"CapAdd\":[\"FLY\"]}" },
        { "Ulimits[0].Name",
          "{\"ID\":\"a\",\"Image\":\"i\",\"Ulimits\":[{\"Name\":\"x\",\"Soft\":1,\"Hard\":1}]}" },
        { "Limits.MemoryBytes",
          "{\"ID\":\"a\",\"Image\":\"i\",\"Limits\":{\"MemoryBytes\":4096}}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct container_spec spec;
        struct field_error err = { "" };

        assert_int_equal(fields_from_json_text(&container_spec_type, slice_of_str(cases[i].json),
                                               FIELDS_JSON_STRICT, &spec, &err),
                         0);
        assert_int_equal(container_spec_validate(&spec, &err), ERR_INVALID);
        print_message("  %s\n", err.text);
        assert_int_equal(strncmp(err.text, cases[i].field, strlen(cases[i].field)), 0);
        fields_deinit(&container_spec_type, &spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_have_dockers_exit_codes),
        cmocka_unit_test(test_references_are_completed_as_docker_does),
        cmocka_unit_test(test_users_are_looked_up_in_the_image),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_manifests_are_checked_whole),
        cmocka_unit_test(test_index_gives_the_manifest_of_the_platform),
        cmocka_unit_test(test_challenges),
        cmocka_unit_test(test_log_lines),
        cmocka_unit_test(test_specs_are_checked_beyond_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
