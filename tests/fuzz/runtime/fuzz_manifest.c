/* What registries and archives send: manifests, indexes, image configs. What is accepted keeps
 * its promises, and any config makes an OCI config that is JSON, or a refusal with a reason. The
 * first byte chooses the parser. */
#include <stdint.h>

#include <jansson.h>

#include "base/check.h"
#include "runtime/manifest.h"
#include "runtime/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_manifest(struct slice text)
{
    struct digest digest;
    struct fault f = { "" };
    struct manifest m;

    if (manifest_parse(text, &m, &f) < 0) {
        CHECK(f.text[0] != '\0');
        return;
    }
    CHECK(manifest_is_index(&m) == (m.manifests.count > 0));
    for (size_t i = 0; i < m.layers.count; i++)
        CHECK(digest_parse(slice_of_str(m.layers.items[i].digest), &digest) == 0);
    (void)manifest_choose(&m, manifest_host_platform());
    fields_deinit(&manifest_type, &m);
}

static void check_config(struct slice text)
{
    char id[] = "c1", image[] = "web";
    const struct container_spec spec = { .id = id, .image = image };
    const struct user user = { .home = "/" };
    struct image_config config;
    struct fault f = { "" };
    struct buf out;
    struct spec_health health;
    const struct spec_input in = { .spec = &spec,
                                   .image = &config,
                                   .user = &user,
                                   .rootfs = "/r",
                                   .cgroup_path = "/c",
                                   .hosts_path = "/h",
                                   .resolv_path = "/v",
                                   .hostname_path = "/n" };

    if (image_config_parse(text, &config, &f) < 0) {
        CHECK(f.text[0] != '\0');
        return;
    }
    buf_init(&out, 64 * MIB);
    if (spec_config_json(&in, &out, &f) == 0) {
        json_t *json = json_loadb((const char *)out.ptr, out.len, JSON_REJECT_DUPLICATES, NULL);

        CHECK(json_is_object(json));
        CHECK(json_array_size(json_object_get(json_object_get(json, "process"), "args")) > 0);
        json_decref(json);
    } else {
        CHECK(f.text[0] != '\0');
    }
    if (spec_health_check(&spec, &config, &health))
        CHECK(health.test->count >= 2);
    buf_deinit(&out);
    fields_deinit(&image_config_type, &config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        check_manifest(slice_of(data + 1, len - 1));
    else
        check_config(slice_of(data + 1, len - 1));
    return 0;
}
