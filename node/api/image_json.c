/* node/api/image_json.c - See image_json.h. The config blob is JSON that somebody else wrote: what
 * is not there or of another kind is left empty. */
#include "node/api/image_json.h"

#include <string.h>

#include "base/time_text.h"
#include "node/api/list_json.h"

#define LIBRARY "docker.io/library/"
#define HUB     "docker.io/"

const char *image_familiar_name(const char *full)
{
    if (strncmp(full, LIBRARY, sizeof(LIBRARY) - 1) == 0)
        return full + sizeof(LIBRARY) - 1;
    if (strncmp(full, HUB, sizeof(HUB) - 1) == 0)
        return full + sizeof(HUB) - 1;
    return full;
}

json_t *image_names_json(const char *const *names)
{
    json_t *list = json_array();

    for (; names != NULL && *names != NULL; names++)
        list_json_add(&list, json_string(image_familiar_name(*names)));
    return list;
}

/* The config blob; JSON null where it is no JSON. */
static json_t *config_of(const struct image_info *image)
{
    json_t *config = image->config != NULL ? json_loads(image->config, 0, NULL) : NULL;

    return config != NULL ? config : json_null();
}

/* A new reference to a member, or null. */
static json_t *member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    return value != NULL ? json_incref(value) : json_null();
}

static const char *text_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

json_t *image_summary_json(const struct image_info *image)
{
    json_t *config = config_of(image);
    json_t *json = json_pack(
        "{s:I,s:I,s:s,s:o,s:s,s:o,s:o,s:i,s:I,s:I}", "Containers", (json_int_t)-1, "Created",
        (json_int_t)(image->created / (wall_ns)NS_PER_S), "Id", image->id, "Labels",
        member(json_object_get(config, "config"), "Labels"), "ParentId", "", "RepoDigests",
        image_names_json(image->repo_digests), "RepoTags", image_names_json(image->names),
        "SharedSize", -1, "Size", (json_int_t)image->size, "VirtualSize", (json_int_t)image->size);

    json_decref(config);
    return json;
}

json_t *image_detail_json(const struct image_info *image)
{
    char created[TIME_TEXT_MAX], never[TIME_TEXT_MAX];
    json_t *config = config_of(image), *json;

    time_format(image->created, created);
    time_format(0, never);
    json = json_pack(
        "{s:s,s:o,s:o,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:I,s:I,s:{s:s,s:n},s:{s:s,s:o},s:{s:s}}",
        "Id", image->id, "RepoTags", image_names_json(image->names), "RepoDigests",
        image_names_json(image->repo_digests), "Parent", "", "Comment",
        text_member(config, "comment"), "Created", created, "Author", text_member(config, "author"),
        "Config", member(config, "config"), "Architecture", image->architecture, "Variant",
        image->variant != NULL ? image->variant : "", "Os", image->os, "Size",
        (json_int_t)image->size, "VirtualSize", (json_int_t)image->size, "GraphDriver", "Name",
        "overlayfs", "Data", "RootFS", "Type", "layers", "Layers",
        member(json_object_get(config, "rootfs"), "diff_ids"), "Metadata", "LastTagTime", never);
    json_decref(config);
    return json;
}

json_t *image_history_json(const struct image_info *image)
{
    json_t *config = config_of(image), *list = json_array();
    json_t *history = json_object_get(config, "history");

    for (size_t i = json_array_size(history); i-- > 0;) { /* newest first */
        const json_t *step = json_array_get(history, i);
        const char *created = text_member(step, "created");
        wall_ns at = 0;

        (void)!time_parse(slice_of_str(created), &at); /* 0 when it is no time */
        list_json_add(&list, json_pack("{s:s,s:I,s:s,s:n,s:i,s:s}", "Id", "<missing>", "Created",
                                       (json_int_t)(at / (wall_ns)NS_PER_S), "CreatedBy",
                                       text_member(step, "created_by"), "Tags", "Size", 0,
                                       "Comment", text_member(step, "comment")));
    }
    json_decref(config);
    return list;
}
