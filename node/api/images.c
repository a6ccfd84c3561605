/* node/api/images.c - /images and /distribution: what is in this host's store. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/auth.h"
#include "node/api/image_json.h"
#include "node/api/list_json.h"

/* --- List ----------------------------------------------------------------------------------- */

struct listing {
    json_t *list;
    struct filters filters;
};

static bool has_reference(const struct filters *f, const struct image_info *image)
{
    for (size_t i = 0; i < filters_count(f, "reference"); i++) {
        const char *pattern = filters_value(f, "reference", i);

        for (const char *const *name = image->names; *name != NULL; name++) {
            const char *familiar = image_familiar_name(*name);
            size_t repository = strcspn(familiar, ":");
            char bare[256];

            (void)snprintf(bare, sizeof(bare), "%.*s", (int)repository, familiar);
            if (fnmatch(pattern, familiar, FNM_PATHNAME) == 0 ||
                fnmatch(pattern, bare, FNM_PATHNAME) == 0)
                return true;
        }
    }
    return !filters_has(f, "reference");
}

/* Labels are only in the JSON. */
static bool has_labels(const struct filters *f, const json_t *summary)
{
    const json_t *labels = json_object_get(summary, "Labels");

    for (size_t i = 0; i < filters_count(f, "label"); i++) {
        const char *wanted = filters_value(f, "label", i);
        size_t len = strcspn(wanted, "=");
        const char *value = json_string_value(json_object_getn(labels, wanted, len));

        if (value == NULL || (wanted[len] == '=' && strcmp(value, wanted + len + 1) != 0))
            return false;
    }
    return true;
}

static void add_image(void *owner, const struct image_info *image)
{
    struct request *r = owner;
    struct listing *l = r->state;
    bool dangling = image->names[0] == NULL;
    json_t *json;

    if (l->list == NULL || !filters_exact(&l->filters, "dangling", dangling ? "true" : "false") ||
        !has_reference(&l->filters, image))
        return;
    json = image_summary_json(image);
    if (json != NULL && !has_labels(&l->filters, json)) {
        json_decref(json);
        return;
    }
    list_json_add(&l->list, json);
}

static void on_listed(void *owner, int err, const char *message)
{
    struct request *r = owner;
    struct listing *l = r->state;

    filters_deinit(&l->filters);
    reply_result_json(r, err, message, MHD_HTTP_OK, l->list);
}

void handle_image_list(struct request *r)
{
    static const char *const known[] = { "dangling", "label", "reference", NULL };
    struct runtime *rt = request_runtime(r);
    struct listing *l;

    if (rt == NULL)
        return;
    l = request_state(r, sizeof(*l));
    if (l == NULL || !request_filters(r, &l->filters, known))
        return;
    l->list = json_array();
    request_hold(r);
    runtime_image_list(rt, add_image, on_listed, r);
}

/* --- One image ------------------------------------------------------------------------------ */

static void on_inspected(struct request *r, int err, const char *message,
                         const struct image_info *image,
                         json_t *(*to_json)(const struct image_info *))
{
    char absent[MESSAGE_MAX];

    if (err == ERR_NOT_FOUND) { /* clients match on this to offer a pull */
        (void)snprintf(absent, sizeof(absent), "No such image: %s", r->args[0]);
        message = absent;
    }
    reply_result_json(r, err, message, MHD_HTTP_OK, err < 0 ? NULL : to_json(image));
}

static void on_detail(void *owner, int err, const char *message, const struct image_info *image)
{
    on_inspected(owner, err, message, image, image_detail_json);
}

static void on_history(void *owner, int err, const char *message, const struct image_info *image)
{
    on_inspected(owner, err, message, image, image_history_json);
}

static void inspect(struct request *r, runtime_image_done on_done)
{
    struct runtime *rt = request_runtime(r);

    if (rt == NULL)
        return;
    request_hold(r);
    runtime_image_inspect(rt, r->args[0], on_done, r);
}

void handle_image_inspect(struct request *r)
{
    inspect(r, on_detail);
}

void handle_image_history(struct request *r)
{
    inspect(r, on_history);
}

static void on_tagged(void *owner, int err, const char *message)
{
    reply_result_empty(owner, err, message, MHD_HTTP_CREATED);
}

void handle_image_tag(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    const char *repo = request_query(r, "repo"), *tag = request_query(r, "tag");
    char name[512];

    if (rt == NULL)
        return;
    if (repo == NULL || repo[0] == '\0') {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "repository name must have at least one component");
        return;
    }
    (void)snprintf(name, sizeof(name), "%s%s%s", repo, tag != NULL && tag[0] != '\0' ? ":" : "",
                   tag != NULL ? tag : "");
    request_hold(r);
    runtime_image_tag(rt, r->args[0], name, on_tagged, r);
}

/* --- Removal: what was said of it before is what can be told after -------------------------- */

struct untagging {
    json_t *told; /* the answer */
};

static void on_removed(void *owner, int err, const char *message)
{
    struct request *r = owner;
    struct untagging *s = r->state;

    reply_result_json(r, err, message, MHD_HTTP_OK, s->told);
}

static size_t name_count(const struct image_info *image)
{
    size_t n = 0;

    while (image->names[n] != NULL)
        n++;
    return n;
}

static void on_found(void *owner, int err, const char *message, const struct image_info *image)
{
    struct request *r = owner;
    struct untagging *s = r->state;
    bool by_id;

    if (request_is_over(r) || err < 0) {
        on_inspected(r, err, message, image, image_detail_json);
        return;
    }
    by_id = strncmp(r->args[0], "sha256:", 7) == 0 ||
            strncmp(r->args[0], image->id + 7, strlen(r->args[0])) == 0;
    s->told = json_array();
    for (const char *const *name = image->names; by_id && *name != NULL; name++)
        list_json_add(&s->told, json_pack("{s:s}", "Untagged", image_familiar_name(*name)));
    if (!by_id)
        list_json_add(&s->told, json_pack("{s:s}", "Untagged", r->args[0]));
    if (by_id || name_count(image) <= 1)
        list_json_add(&s->told, json_pack("{s:s}", "Deleted", image->id));
    runtime_image_remove(r->api->cfg.runtime, r->args[0], on_removed, r);
}

void handle_image_remove(struct request *r)
{
    struct runtime *rt = request_runtime(r);

    if (rt == NULL || request_state(r, sizeof(struct untagging)) == NULL)
        return;
    request_hold(r);
    runtime_image_inspect(rt, r->args[0], on_found, r);
}

static void on_pruned(void *owner, int err, const char *message, uint64_t count, uint64_t freed)
{
    (void)count;
    reply_result_json(
        owner, err, message, MHD_HTTP_OK,
        json_pack("{s:[],s:I}", "ImagesDeleted", "SpaceReclaimed", (json_int_t)freed));
}

void handle_image_prune(struct request *r)
{
    static const char *const known[] = { "dangling", NULL };
    struct runtime *rt = request_runtime(r);
    struct filters f;
    bool unused;

    if (rt == NULL || !request_filters(r, &f, known))
        return;
    unused = filters_has(&f, "dangling") &&
             (filters_exact(&f, "dangling", "false") || filters_exact(&f, "dangling", "0"));
    filters_deinit(&f);
    request_hold(r);
    runtime_image_prune(rt, unused ? PRUNE_UNUSED : PRUNE_DANGLING, on_pruned, r);
}

/* --- What a reference means ----------------------------------------------------------------- */

static json_t *distribution_json(const struct distribution_info *info)
{
    json_t *platforms = json_array();

    for (const char *const *p = info->platforms; p != NULL && *p != NULL; p++) {
        size_t os = strcspn(*p, "/");
        const char *arch = (*p)[os] == '/' ? *p + os + 1 : "";

        list_json_add(&platforms, json_pack("{s:s%,s:s%}", "os", *p, os, "architecture", arch,
                                            strcspn(arch, "/")));
    }
    return json_pack("{s:{s:s,s:s,s:I},s:o}", "Descriptor", "mediaType", info->media_type, "digest",
                     info->digest, "size", (json_int_t)info->size, "Platforms", platforms);
}

static void on_distribution(void *owner, int err, const char *message,
                            const struct distribution_info *info)
{
    reply_result_json(owner, err, message, MHD_HTTP_OK, err < 0 ? NULL : distribution_json(info));
}

/* Clients ask this to pin a service's image to a digest. An image that was loaded here has no
 * digest that other nodes could ask for: they find it by name at their peers. */
static void on_local(void *owner, int err, const char *message, const struct image_info *image)
{
    struct request *r = owner;
    struct registry_auth auth;
    const char *digest;

    (void)message;
    if (request_is_over(r)) {
        request_release(r);
        return;
    }
    if (err < 0) {
        json_t *held = auth_parse(request_header(r, "X-Registry-Auth"), &auth);

        runtime_image_distribution(r->api->cfg.runtime, r->args[0], &auth, on_distribution, r);
        json_decref(held);
        return;
    }
    digest = image->repo_digests[0] != NULL ? strchr(image->repo_digests[0], '@') : NULL;
    if (digest == NULL)
        reply_status(r, MHD_HTTP_NOT_FOUND, "image %s was loaded here and has no registry digest",
                     r->args[0]);
    else
        reply_json(r, MHD_HTTP_OK,
                   json_pack("{s:{s:s,s:s,s:I},s:[{s:s,s:s}]}", "Descriptor", "mediaType",
                             "application/vnd.oci.image.manifest.v1+json", "digest", digest + 1,
                             "size", (json_int_t)0, "Platforms", "architecture",
                             image->architecture, "os", image->os));
    request_release(r);
}

void handle_distribution(struct request *r)
{
    inspect(r, on_local);
}
