/* An image out of nothing but a root file system: the tar becomes its one layer, and config and
 * manifest are written for it. The layer is unpacked first, because the config holds its diff id.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time_text.h"
#include "runtime/archive_in.h"
#include "runtime/archive_members.h"
#include "runtime/limits.h"

static int put_config(struct image_store *store, const struct image_config *config,
                      struct archive_member *out)
{
    struct buf text;
    int rc;

    buf_init(&text, IMAGE_CONFIG_BYTES_MAX);
    rc = fields_to_json_text(&image_config_type, config, FIELDS_JSON_PLAIN, &text);
    out->size = text.len;
    if (rc == 0)
        rc = blob_put(&store->blobs, buf_slice(&text), &out->digest);
    buf_deinit(&text);
    return rc;
}

static int make_config(const char *run_config, const struct digest *diff_id, wall_ns now,
                       struct image_config *out, struct fault *f)
{
    const struct image_platform *host = manifest_host_platform();
    struct field_error error;
    char created[TIME_TEXT_MAX];
    int rc = 0;

    time_format(now, created);
    if (run_config != NULL) {
        rc = fields_from_json_text(&image_run_type, slice_of_str(run_config), FIELDS_JSON_PLAIN,
                                   &out->config, &error);
        if (rc < 0)
            return fault_set(f, ERR_INVALID, "config: %s", error.text);
    }
    rc |= str_set(&out->architecture, host->architecture);
    rc |= str_set(&out->os, host->os);
    rc |= str_set(&out->variant, host->variant);
    rc |= str_set(&out->created, created);
    rc |= str_set(&out->rootfs.type, "layers");
    rc |= str_list_append(&out->rootfs.diff_ids, diff_id->text);
    return rc < 0 ? fault_system(f, -ENOMEM, "import") : 0;
}

static int store_layer(struct archive_members *all, int fd, struct archive_member *out)
{
    const struct archive_member *layer;
    int rc = archive_take_fd(all, "layer", fd);

    if (rc == 0)
        rc = archive_require_member(all, "layer", &layer);
    if (rc == 0)
        *out = *layer;
    return rc;
}

static int unpack_layer(struct archive_members *all, const struct archive_member *layer,
                        struct digest *diff_id)
{
    struct layer_unpack unpacked = { 0 };
    struct layer published;
    uint64_t size;
    int fd, rc;

    rc = blob_open(&all->store->blobs, &layer->digest, &fd, &size);
    if (rc < 0)
        return fault_system(all->f, rc, "import");
    rc = layer_unpack(&all->store->layers, fd, NULL, all->progress->cancel, &unpacked, all->f);
    close(fd);
    if (rc < 0)
        return fault_prefix(all->f, rc, "import");
    *diff_id = layer_unpack_diff_id(&unpacked);
    rc = layer_finish(&all->store->layers, &unpacked, NULL, 0, all->f);
    if (rc == 0)
        rc = layer_store_sync(&all->store->layers, all->f);
    if (rc == 0)
        return layer_publish(&all->store->layers, &unpacked, diff_id, &published, all->f);
    layer_unpack_abort(&all->store->layers, &unpacked);
    return rc;
}

static int import_image(struct archive_members *all, int fd, const char *name,
                        const char *run_config, wall_ns now, struct image *out)
{
    struct manifest m = { .schema_version = 2 };
    struct image_config config = { 0 };
    struct archive_member layer = { 0 }, config_member = { 0 };
    struct digest diff_id = { "" }, digest;
    struct descriptor *d;
    int rc = store_layer(all, fd, &layer);

    if (rc == 0)
        rc = unpack_layer(all, &layer, &diff_id);
    if (rc == 0)
        rc = make_config(run_config, &diff_id, now, &config, all->f);
    if (rc < 0)
        goto out;
    m.config = calloc(1, sizeof(*m.config));
    d = LIST_ADD(&m.layers);
    rc = m.config == NULL || d == NULL ? -ENOMEM : put_config(all->store, &config, &config_member);
    if (rc == 0)
        rc = str_set(&m.media_type, MEDIA_OCI_MANIFEST);
    if (rc == 0)
        rc = archive_describe_member(m.config, MEDIA_OCI_CONFIG, &config_member);
    if (rc == 0)
        rc = archive_describe_member(d, archive_layer_media_type(all, &layer.digest), &layer);
    rc = rc < 0 ? fault_system(all->f, rc, "import") : archive_put_manifest(all, &m, &digest);
    if (rc == 0)
        rc = image_set_name(all->store, name, &digest, &config_member.digest, NULL, all->f);
    if (rc == 0)
        rc = image_open(all->store, &digest, out, all->f);
out:
    fields_deinit(&manifest_type, &m);
    fields_deinit(&image_config_type, &config);
    return rc;
}

int archive_import(struct image_store *store, int fd, const char *name, const char *config,
                   wall_ns now, const struct image_progress *progress, struct image *out,
                   struct fault *f)
{
    struct archive_members members;
    struct blob_use use;
    int rc;

    f->text[0] = '\0';
    archive_members_init(&members, store, progress, f);
    blob_use_begin(&store->blobs, &use);
    rc = import_image(&members, fd, name, config, now, out);
    blob_use_end(&store->blobs, &use);
    archive_members_deinit(&members);
    return rc;
}
