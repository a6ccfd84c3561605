/* Saving images: an OCI layout in a tar, with the manifest.json that `docker load` of any age
 * reads. Blobs that images share are written once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>

#include "base/err.h"
#include "runtime/job.h"

struct save_job {
    struct job job;
    struct str_list names;
    int fd;
    runtime_done done;
    void *owner;
    struct archive *out;
    struct omap written; /* digests */
    json_t *index, *saved;
};

static int archive_fault(struct save_job *s)
{
    int err = archive_errno(s->out);

    return fault_set(&s->job.fault, err > 0 && err < 4096 ? -err : -EIO, "save: %s",
                     archive_error_string(s->out));
}

static int put_header(struct save_job *s, const char *name, uint64_t size)
{
    struct archive_entry *e = archive_entry_new();
    int rc;

    if (e == NULL)
        return fault_system(&s->job.fault, -ENOMEM, "save");
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, (la_int64_t)size);
    rc = archive_write_header(s->out, e) == ARCHIVE_OK ? 0 : archive_fault(s);
    archive_entry_free(e);
    return rc;
}

static int put_text(struct save_job *s, const char *name, const char *text)
{
    size_t len = strlen(text);
    int rc = put_header(s, name, len);

    if (rc == 0 && archive_write_data(s->out, text, len) != (la_ssize_t)len)
        rc = archive_fault(s);
    return rc;
}

static int copy_blob(struct save_job *s, int fd, uint64_t size)
{
    uint8_t *chunk = malloc(256 * KIB);
    int rc = chunk == NULL ? fault_system(&s->job.fault, -ENOMEM, "save") : 0;

    while (rc == 0 && size > 0) {
        ssize_t n = read(fd, chunk, MIN(size, 256 * KIB));

        if (n <= 0)
            rc = fault_set(&s->job.fault, n < 0 ? -errno : ERR_CORRUPT, "save: a blob ends early");
        else if (archive_write_data(s->out, chunk, (size_t)n) != n)
            rc = archive_fault(s);
        else
            size -= (uint64_t)n;
        if (rc == 0 && atomic_load(&s->job.rt->closing))
            rc = fault_set(&s->job.fault, ERR_CLOSED, "the runtime is closing");
    }
    free(chunk);
    return rc;
}

static int put_blob(struct save_job *s, const char *digest_text)
{
    struct path name = path_of("blobs/sha256/%s", digest_text + 7);
    struct digest digest = { "" };
    uint64_t size;
    int fd, rc;

    if (omap_get(&s->written, slice_of_str(digest_text)) != NULL)
        return 0;
    (void)!digest_parse(slice_of_str(digest_text), &digest); /* checked when it was parsed */
    rc = blob_open(&s->job.rt->images.blobs, &digest, &fd, &size);
    if (rc < 0)
        return fault_system(&s->job.fault, rc, "blob %s", digest_text);
    rc = omap_set(&s->written, slice_of_str(digest_text), s);
    rc = rc < 0 ? fault_system(&s->job.fault, rc, "save") : put_header(s, name.text, size);
    if (rc == 0)
        rc = copy_blob(s, fd, size);
    close(fd);
    return rc;
}

/* What both indexes say of the image. */
static int describe(struct save_job *s, const struct image *image, const struct manifest *m,
                    uint64_t manifest_size, const char *name)
{
    json_t *annotations = name == NULL ? json_object()
                                       : json_pack("{s:s, s:s}", "io.containerd.image.name", name,
                                                   "org.opencontainers.image.ref.name", name);
    json_t *layers = json_array();
    json_t *tags = name == NULL ? json_array() : json_pack("[s]", name);
    int rc = json_array_append_new(
        s->index, json_pack("{s:s, s:s, s:I, s:o}", "mediaType",
                            m->media_type == NULL ? MEDIA_OCI_MANIFEST : m->media_type, "digest",
                            image->manifest.text, "size", (json_int_t)manifest_size, "annotations",
                            annotations));

    for (size_t i = 0; rc == 0 && i < m->layers.count; i++)
        rc = json_array_append_new(layers,
                                   json_sprintf("blobs/sha256/%s", m->layers.items[i].digest + 7));
    if (rc == 0)
        rc = json_array_append_new(
            s->saved, json_pack("{s:o, s:o, s:o}", "Config",
                                json_sprintf("blobs/sha256/%s", digest_hex(&image->config_digest)),
                                "RepoTags", tags, "Layers", layers));
    return rc < 0 ? fault_system(&s->job.fault, -ENOMEM, "save") : 0;
}

/* The name as it is in full, or NULL when the image was named by its id. */
static const char *full_name(const char *text, char out[REFERENCE_TEXT_MAX])
{
    struct reference ref;
    struct fault ignored;
    size_t hex = strspn(text, "0123456789abcdef");

    if (strncmp(text, "sha256:", 7) == 0 || text[hex] == '\0' ||
        reference_parse(text, &ref, &ignored) < 0 || ref.tag[0] == '\0')
        return NULL;
    reference_format(&ref, out);
    return out;
}

static int save_one(struct save_job *s, const char *text)
{
    struct image_store *store = &s->job.rt->images;
    char name[REFERENCE_TEXT_MAX];
    struct manifest m = { 0 };
    struct image image;
    struct buf bytes;
    int rc = image_resolve(store, text, &image, &s->job.fault);

    if (rc < 0)
        return rc;
    buf_init(&bytes, MANIFEST_BYTES_MAX);
    rc = blob_read(&store->blobs, &image.manifest, &bytes, &s->job.fault);
    if (rc == 0)
        rc = manifest_parse(buf_slice(&bytes), &m, &s->job.fault);
    if (rc == 0)
        rc = describe(s, &image, &m, bytes.len, full_name(text, name));
    if (rc == 0)
        rc = put_blob(s, image.manifest.text);
    if (rc == 0)
        rc = put_blob(s, image.config_digest.text);
    for (size_t i = 0; rc == 0 && i < m.layers.count; i++)
        rc = put_blob(s, m.layers.items[i].digest);
    buf_deinit(&bytes);
    fields_deinit(&manifest_type, &m);
    image_deinit(&image);
    return rc;
}

static int put_json(struct save_job *s, const char *name, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    int rc = text == NULL ? fault_system(&s->job.fault, -ENOMEM, "save") : put_text(s, name, text);

    free(text);
    return rc;
}

static int save_all(struct save_job *s)
{
    json_t *index;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->names.count; i++)
        rc = save_one(s, s->names.items[i]);
    if (rc == 0)
        rc = put_text(s, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    if (rc == 0)
        rc = put_json(s, "manifest.json", s->saved);
    if (rc < 0)
        return rc;
    index = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
                      "manifests", s->index);
    rc = put_json(s, "index.json", index);
    json_decref(index);
    if (rc == 0 && archive_write_close(s->out) != ARCHIVE_OK)
        rc = archive_fault(s);
    return rc;
}

static int run_save(struct job *job)
{
    struct save_job *s = CONTAINER_OF(job, struct save_job, job);
    struct blob_use use;
    int rc;

    s->out = archive_write_new();
    s->index = json_array();
    s->saved = json_array();
    if (s->out == NULL || s->index == NULL || s->saved == NULL ||
        archive_write_set_format_pax_restricted(s->out) != ARCHIVE_OK ||
        archive_write_open_fd(s->out, s->fd) != ARCHIVE_OK)
        return fault_system(&job->fault, -ENOMEM, "save");
    blob_use_begin(&job->rt->images.blobs, &use);
    rc = save_all(s);
    blob_use_end(&job->rt->images.blobs, &use);
    return rc;
}

static void report_save(struct job *job)
{
    struct save_job *s = CONTAINER_OF(job, struct save_job, job);

    archive_write_free(s->out);
    json_decref(s->index);
    json_decref(s->saved);
    omap_deinit(&s->written);
    str_list_clear(&s->names);
    close(s->fd);
    s->done(s->owner, job->err, job_message(job));
    free(s);
}

void runtime_image_save(struct runtime *rt, const char *const *names, int fd, runtime_done done,
                        void *owner)
{
    struct save_job *s = job_new(rt, sizeof(*s), run_save, report_save);

    omap_init(&s->written);
    s->fd = fd;
    s->done = done;
    s->owner = owner;
    for (size_t i = 0; names[i] != NULL && s->job.err == 0; i++) {
        if (str_list_append(&s->names, names[i]) < 0)
            s->job.err = fault_system(&s->job.fault, -ENOMEM, "save");
    }
    job_start(&s->job, WORK_SLOW);
}
