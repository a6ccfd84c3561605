#include "runtime/manifest.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

FIELDS_DEFINE(image_platform, IMAGE_PLATFORM_FIELDS);
FIELDS_DEFINE(descriptor, DESCRIPTOR_FIELDS);
FIELDS_DEFINE(manifest, MANIFEST_FIELDS);
FIELDS_DEFINE(image_set_mark, IMAGE_SET_MARK_FIELDS);
FIELDS_DEFINE(image_run, IMAGE_RUN_FIELDS);
FIELDS_DEFINE(image_rootfs, IMAGE_ROOTFS_FIELDS);
FIELDS_DEFINE(image_config, IMAGE_CONFIG_FIELDS);

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static int check_descriptor(const struct descriptor *d, const char *what, struct fault *f)
{
    struct digest digest;

    if (digest_parse(slice_of_str(d->digest), &digest) < 0)
        return fault_set(f, ERR_MALFORMED,
                         "manifest: %s: digest \"%.80s\": must be sha256: and 64 hex digits", what,
                         text_of(d->digest));
    return 0;
}

/* What registries call layers that are to be fetched from elsewhere, or that are no layers. */
static bool is_layer_type(const char *type)
{
    return type[0] == '\0' || strncmp(type, MEDIA_OCI_LAYER, strlen(MEDIA_OCI_LAYER)) == 0 ||
           strncmp(type, "application/vnd.docker.image.rootfs.diff.tar", 44) == 0;
}

static int check_manifest(const struct manifest *m, struct fault *f)
{
    int rc;

    if ((m->config != NULL) == (m->manifests.count > 0))
        return fault_set(f, ERR_MALFORMED,
                         "manifest: must have either a config (an image) or manifests (an index)");
    if (m->config != NULL) {
        rc = check_descriptor(m->config, "config", f);
        if (rc < 0)
            return rc;
        if (m->config->size > IMAGE_CONFIG_BYTES_MAX)
            return fault_set(f, ERR_TOO_LARGE, "manifest: config of %llu bytes: at most %llu",
                             (unsigned long long)m->config->size,
                             (unsigned long long)IMAGE_CONFIG_BYTES_MAX);
    }
    for (size_t i = 0; i < m->layers.count; i++) {
        rc = check_descriptor(&m->layers.items[i], "layer", f);
        if (rc < 0)
            return rc;
        if (!is_layer_type(text_of(m->layers.items[i].media_type)))
            return fault_set(f, ERR_UNSUPPORTED,
                             "manifest: layer of media type %s: not a file system layer that can "
                             "be unpacked here",
                             m->layers.items[i].media_type);
    }
    for (size_t i = 0; i < m->manifests.count; i++) {
        rc = check_descriptor(&m->manifests.items[i], "manifests", f);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int manifest_parse(struct slice text, struct manifest *out, struct fault *f)
{
    struct field_error error;
    int rc;

    rc = text.len > MANIFEST_BYTES_MAX
             ? ERR_TOO_LARGE
             : fields_from_json_text(&manifest_type, text, FIELDS_JSON_PLAIN, out, &error);
    if (rc == ERR_TOO_LARGE)
        return fault_set(f, rc, "manifest: larger or deeper than any real one");
    if (rc == -ENOMEM)
        return fault_system(f, rc, "manifest");
    if (rc < 0 && strstr(error.text, "schemaVersion") != NULL)
        return fault_set(f, ERR_UNSUPPORTED,
                         "manifest: schemaVersion must be 2; push the image again with a tool that "
                         "is younger than 2017");
    if (rc < 0)
        return fault_set(f, ERR_MALFORMED, "manifest: %s", error.text);
    rc = check_manifest(out, f);
    if (rc < 0)
        fields_deinit(&manifest_type, out);
    return rc;
}

const struct image_platform *manifest_host_platform(void)
{
    static char os[] = "linux";
#if defined(__x86_64__)
    static char architecture[] = "amd64", variant[] = "";
#elif defined(__aarch64__)
    static char architecture[] = "arm64", variant[] = "v8";
#elif defined(__riscv) && __riscv_xlen == 64
    static char architecture[] = "riscv64", variant[] = "";
#else
#error "name this architecture as Go does"
#endif
    static const struct image_platform host = { .architecture = architecture,
                                                .os = os,
                                                .variant = variant };

    return &host;
}

bool image_platform_matches(const char *os, const char *architecture)
{
    const struct image_platform *host = manifest_host_platform();

    return (text_of(os)[0] == '\0' || strcmp(os, host->os) == 0) &&
           (text_of(architecture)[0] == '\0' || strcmp(architecture, host->architecture) == 0);
}

const struct descriptor *manifest_choose(const struct manifest *index,
                                         const struct image_platform *host)
{
    const struct descriptor *any = NULL;

    for (size_t i = 0; i < index->manifests.count; i++) {
        const struct descriptor *d = &index->manifests.items[i];
        const struct image_platform *p = d->platform;

        if (p == NULL) { /* an index of one image says nothing about it */
            if (index->manifests.count == 1)
                return d;
            continue;
        }
        if (strcmp(text_of(p->os), host->os) != 0 ||
            strcmp(text_of(p->architecture), host->architecture) != 0)
            continue;
        if (strcmp(text_of(p->variant), text_of(host->variant)) == 0)
            return d;
        if (any == NULL)
            any = d;
    }
    return any;
}

int image_config_parse(struct slice text, struct image_config *out, struct fault *f)
{
    struct field_error error;
    struct digest digest;
    int rc;

    rc = text.len > IMAGE_CONFIG_BYTES_MAX
             ? ERR_TOO_LARGE
             : fields_from_json_text(&image_config_type, text, FIELDS_JSON_PLAIN, out, &error);
    if (rc == ERR_TOO_LARGE)
        return fault_set(f, rc, "image config: larger or deeper than any real one");
    if (rc < 0)
        return fault_set(f, rc == -ENOMEM ? rc : ERR_MALFORMED, "image config: %s",
                         rc == -ENOMEM ? err_text(rc) : error.text);
    for (size_t i = 0; i < out->rootfs.diff_ids.count; i++) {
        if (digest_parse(slice_of_str(out->rootfs.diff_ids.items[i]), &digest) < 0) {
            rc = fault_set(f, ERR_MALFORMED, "image config: rootfs.diff_ids[%zu]: not a digest", i);
            fields_deinit(&image_config_type, out);
            return rc;
        }
    }
    return 0;
}
