/* What is said of an image, put together from its config, its manifest, its layers and the names
 * that lead to it. What cannot be found out is left empty or 0, so that an image that lost a layer
 * can still be seen, and removed. */
#include "runtime/image_describe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/time_text.h"
#include "runtime/limits.h"

void image_description_free(struct image_description *d)
{
    if (d == NULL)
        return;
    fields_deinit(&image_config_type, &d->config);
    buf_deinit(&d->config_text);
    str_list_clear(&d->names);
    str_list_clear(&d->repo_digests);
    free((void *)(uintptr_t)d->info.names);
    free((void *)(uintptr_t)d->info.repo_digests);
    free(d);
}

static const char *const *array_of(const struct str_list *list)
{
    const char **array = calloc(list->count + 1, sizeof(*array));

    for (size_t i = 0; array != NULL && i < list->count; i++)
        array[i] = list->items[i];
    return (const char *const *)array;
}

static int collect_names(struct image_store *store, struct image_description *d)
{
    struct image_references refs;
    int rc = image_references_copy(store, &refs);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        const char *name = refs.names.items[i].key;

        if (name[0] == '@' || strcmp(refs.names.items[i].value.manifest, d->manifest.text) != 0)
            continue;
        rc = str_list_append(strchr(name, '@') != NULL ? &d->repo_digests : &d->names, name);
    }
    fields_deinit(&image_references_type, &refs);
    return rc;
}

static uint64_t blob_sizes(struct image_store *store, const struct digest *manifest)
{
    struct manifest m;
    struct fault ignored;
    struct buf text;
    uint64_t total = 0;

    buf_init(&text, MANIFEST_BYTES_MAX);
    if (blob_read(&store->blobs, manifest, &text, &ignored) == 0 &&
        manifest_parse(buf_slice(&text), &m, &ignored) == 0) {
        total = text.len + (m.config != NULL ? m.config->size : 0);
        for (size_t i = 0; i < m.layers.count; i++)
            total += m.layers.items[i].size;
        fields_deinit(&manifest_type, &m);
    }
    buf_deinit(&text);
    return total;
}

static void fill_info(struct image_store *store, struct image_description *d,
                      const struct image *image)
{
    struct image_info *i = &d->info;
    const char *created = d->config.created;

    i->id = d->id.text;
    i->manifest_digest = d->manifest.text;
    i->names = array_of(&d->names);
    i->repo_digests = array_of(&d->repo_digests);
    i->config = (const char *)d->config_text.ptr;
    i->architecture = d->config.architecture == NULL ? "" : d->config.architecture;
    i->os = d->config.os == NULL ? "" : d->config.os;
    i->variant = d->config.variant == NULL ? "" : d->config.variant;
    if (created == NULL || time_parse(slice_of_str(created), &i->created) < 0)
        i->created = 0;
    for (size_t k = 0; k < image->layer_count; k++)
        i->size += image->layers[k].bytes;
    i->blob_size = blob_sizes(store, &d->manifest);
}

int image_describe(struct image_store *store, struct image *image, struct image_description **out,
                   struct fault *f)
{
    struct image_description *d = calloc(1, sizeof(*d));
    struct fault ignored;
    int rc = d == NULL ? -ENOMEM : 0;

    if (rc == 0) {
        d->id = image->config_digest;
        d->manifest = image->manifest;
        buf_init(&d->config_text, IMAGE_CONFIG_BYTES_MAX + 1);
        rc = blob_read(&store->blobs, &d->id, &d->config_text, f);
    }
    if (rc == 0)
        rc = buf_append_byte(&d->config_text, '\0');
    if (rc == 0)
        rc = collect_names(store, d);
    if (rc == 0) {
        (void)!image_find_layers(store, image, &ignored); /* a size that is unknown is 0 */
        d->config = image->config;
        image->config = (struct image_config){ 0 };
        fill_info(store, d, image);
        if (d->info.names == NULL || d->info.repo_digests == NULL)
            rc = -ENOMEM;
    }
    if (rc < 0) {
        image_description_free(d);
        return f->text[0] != '\0' ? rc : fault_system(f, rc, "image");
    }
    *out = d;
    return 0;
}

void image_count_users(const struct runtime *rt, struct image_description *d)
{
    LIST_EACH(it, &rt->containers)
    {
        const struct container *c = CONTAINER_OF(it, struct container, link);

        d->info.container_count +=
            c->record.image_id != NULL && strcmp(c->record.image_id, d->id.text) == 0;
    }
}
