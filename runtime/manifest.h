/* runtime/manifest.h - Manifests, indexes and configs of images: OCI image-spec v1.1 and Docker's
 * schema 2, which say the same in two vocabularies.
 *
 * What is read here comes from registries and archives, so it is checked whole: after a success
 * every digest is well-formed, every size bounded, every layer of a kind that can be unpacked. */
#ifndef RUNTIME_MANIFEST_H
#define RUNTIME_MANIFEST_H

#include "base/buf.h"
#include "base/fields.h"
#include "runtime/container_spec.h"
#include "runtime/digest.h"
#include "runtime/fault.h"
#include "runtime/limits.h"

#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER       "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"

#define IMAGE_PLATFORM_FIELDS(X, S)                             \
    X(S, 1, STR, LEN(64), architecture, "architecture", ALWAYS) \
    X(S, 2, STR, LEN(64), os, "os", ALWAYS)                     \
    X(S, 3, STR, LEN(64), variant, "variant", OPTIONAL)
FIELDS_STRUCT(image_platform, IMAGE_PLATFORM_FIELDS);

#define DESCRIPTOR_FIELDS(X, S)                                                     \
    X(S, 1, STR, LEN(256), media_type, "mediaType", OPTIONAL)                       \
    X(S, 2, STR, LEN(DIGEST_TEXT_LEN, DIGEST_TEXT_LEN), digest, "digest", REQUIRED) \
    X(S, 3, U64, RANGE(0, BLOB_BYTES_MAX), size, "size", ALWAYS)                    \
    X(S, 4, OPT, image_platform, platform, "platform", OPTIONAL)                    \
    X(S, 5, MAP_STR, COUNT(256), annotations, "annotations", OPTIONAL)
FIELDS_STRUCT(descriptor, DESCRIPTOR_FIELDS);

/* An image manifest (config and layers) or an index (manifests); never both. */
#define MANIFEST_FIELDS(X, S)                                                  \
    X(S, 1, U32, RANGE(2, 2), schema_version, "schemaVersion", REQUIRED)       \
    X(S, 2, STR, LEN(256), media_type, "mediaType", OPTIONAL)                  \
    X(S, 3, OPT, descriptor, config, "config", OPTIONAL)                       \
    X(S, 4, LIST, OF(descriptor, LAYER_COUNT_MAX), layers, "layers", OPTIONAL) \
    X(S, 5, LIST, OF(descriptor, INDEX_ENTRY_COUNT_MAX), manifests, "manifests", OPTIONAL)
FIELDS_STRUCT(manifest, MANIFEST_FIELDS);

/*   ERR_MALFORMED, ERR_UNSUPPORTED (Docker schema 1, artifacts, foreign layers), -ENOMEM */
NODISCARD int manifest_parse(struct slice text, struct manifest *out, struct fault *f);
static inline bool manifest_is_index(const struct manifest *m)
{
    return m->config == NULL;
}

/* The entry of an index for this host: exact variant first, then any of the architecture, in the
 * index's order. NULL: none. */
const struct descriptor *manifest_choose(const struct manifest *index,
                                         const struct image_platform *host);
/* The platform this program was built for. */
const struct image_platform *manifest_host_platform(void);
bool image_platform_matches(const char *os, const char *architecture);

/* How the bytes of a layer are packed is found by looking at them, not by its media type. */

/* A key of a set: {"/data": {}} in JSON. */
#define IMAGE_SET_MARK_FIELDS(X, S) X(S, 1, BOOL, ANY, unused, "-", OPTIONAL)
FIELDS_STRUCT(image_set_mark, IMAGE_SET_MARK_FIELDS);

#define IMAGE_RUN_FIELDS(X, S)                                                     \
    X(S, 1, STR, LEN(256), user, "User", OPTIONAL)                                 \
    X(S, 2, LIST_STR, COUNT(65536), env, "Env", OPTIONAL)                          \
    X(S, 3, LIST_STR, COUNT(4096), entrypoint, "Entrypoint", OPTIONAL)             \
    X(S, 4, LIST_STR, COUNT(65536), cmd, "Cmd", OPTIONAL)                          \
    X(S, 5, STR, LEN(CONTAINER_PATH_LEN_MAX), working_dir, "WorkingDir", OPTIONAL) \
    X(S, 6, STR, LEN(32), stop_signal, "StopSignal", OPTIONAL)                     \
    X(S, 7, OPT, container_health_check, health_check, "Healthcheck", OPTIONAL)    \
    X(S, 8, LIST_STR, COUNT(64), shell, "Shell", OPTIONAL)                         \
    X(S, 9, MAP, OF(image_set_mark, 1024), volumes, "Volumes", OPTIONAL)           \
    X(S, 10, MAP_STR, COUNT(65536), labels, "Labels", OPTIONAL)                    \
    X(S, 11, MAP, OF(image_set_mark, 4096), exposed_ports, "ExposedPorts", OPTIONAL)
FIELDS_STRUCT(image_run, IMAGE_RUN_FIELDS);

#define IMAGE_ROOTFS_FIELDS(X, S)               \
    X(S, 1, STR, LEN(64), type, "type", ALWAYS) \
    X(S, 2, LIST_STR, COUNT_LEN(LAYER_COUNT_MAX, DIGEST_TEXT_LEN), diff_ids, "diff_ids", ALWAYS)
FIELDS_STRUCT(image_rootfs, IMAGE_ROOTFS_FIELDS);

#define IMAGE_CONFIG_FIELDS(X, S)                                      \
    X(S, 1, STR, LEN(64), architecture, "architecture", ALWAYS)        \
    X(S, 2, STR, LEN(64), os, "os", ALWAYS)                            \
    X(S, 3, STR, LEN(64), variant, "variant", OPTIONAL)                \
    X(S, 4, STR, LEN(64), created, "created", OPTIONAL) /* RFC 3339 */ \
    X(S, 5, STRUCT, image_run, config, "config", OPTIONAL)             \
    X(S, 6, STRUCT, image_rootfs, rootfs, "rootfs", ALWAYS)
FIELDS_STRUCT(image_config, IMAGE_CONFIG_FIELDS);

NODISCARD int image_config_parse(struct slice text, struct image_config *out, struct fault *f);

#endif /* RUNTIME_MANIFEST_H */
