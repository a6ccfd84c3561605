/* node/api/volumes.c - /volumes and /system/df: what else is on this host. */
#include "base/err.h"
#include "base/time_text.h"
#include "node/api/api_impl.h"
#include "node/api/container_json.h"
#include "node/api/image_json.h"
#include "node/api/list_json.h"
#include "node/api/map_json.h"
#include "node/api/messages.h"

static json_t *volume_json(const struct volume_info *v)
{
    static const struct str_map none;
    char created[TIME_TEXT_MAX];

    time_format(v->created, created);
    return json_pack("{s:s,s:s,s:o,s:s,s:s,s:o,s:s}", "CreatedAt", created, "Driver", v->driver,
                     "Labels", map_json(v->labels == NULL ? &none : v->labels), "Mountpoint",
                     v->mountpoint, "Name", v->name, "Options",
                     map_json(v->options == NULL ? &none : v->options), "Scope", "local");
}

/* --- List ----------------------------------------------------------------------------------- */

struct listing {
    json_t *list;
    struct filters filters;
};

static void add_volume(void *owner, const struct volume_info *v)
{
    struct request *r = owner;
    struct listing *l = r->state;
    const struct filters *f = &l->filters;

    if (l->list == NULL || !filters_part(f, "name", v->name) ||
        !filters_exact(f, "driver", v->driver) ||
        !filters_exact(f, "dangling", v->container_count > 0 ? "false" : "true") ||
        (v->labels != NULL && !filters_labels(f, "label", v->labels)))
        return;
    list_json_add(&l->list, volume_json(v));
}

static void on_listed(void *owner, int err, const char *message)
{
    struct request *r = owner;
    struct listing *l = r->state;

    filters_deinit(&l->filters);
    reply_result_json(r, err, message, MHD_HTTP_OK,
                      json_pack("{s:o,s:[]}", "Volumes", l->list, "Warnings"));
}

void handle_volume_list(struct request *r)
{
    static const char *const known[] = { "dangling", "driver", "label", "name", NULL };
    struct runtime *rt = request_runtime(r);
    struct listing *l = rt != NULL ? request_state(r, sizeof(*l)) : NULL;

    if (l == NULL || !request_filters(r, &l->filters, known))
        return;
    l->list = json_array();
    request_hold(r);
    runtime_volume_list(rt, add_volume, on_listed, r);
}

/* --- One volume ----------------------------------------------------------------------------- */

static void on_created(void *owner, int err, const char *message, const struct volume_info *v)
{
    reply_result_json(owner, err, message, MHD_HTTP_CREATED, err < 0 ? NULL : volume_json(v));
}

static void on_inspected(void *owner, int err, const char *message, const struct volume_info *v)
{
    reply_result_json(owner, err, message, MHD_HTTP_OK, err < 0 ? NULL : volume_json(v));
}

void handle_volume_create(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    struct volume_create msg = { 0 };

    if (rt == NULL || !request_parse(r, &volume_create_type, &msg))
        return;
    if (msg.driver != NULL && msg.driver[0] != '\0' && strcmp(msg.driver, "local") != 0) {
        reply_status(r, MHD_HTTP_NOT_FOUND, "volume driver %s not found: there is \"local\"",
                     msg.driver);
    } else {
        request_hold(r);
        runtime_volume_create(rt, msg.name != NULL && msg.name[0] != '\0' ? msg.name : NULL,
                              &msg.labels, &msg.options, on_created, r);
    }
    fields_deinit(&volume_create_type, &msg);
}

void handle_volume_inspect(struct request *r)
{
    struct runtime *rt = request_runtime(r);

    if (rt == NULL)
        return;
    request_hold(r);
    runtime_volume_inspect(rt, r->args[0], on_inspected, r);
}

static void on_removed(void *owner, int err, const char *message)
{
    reply_result_empty(owner, err, message, MHD_HTTP_NO_CONTENT);
}

void handle_volume_remove(struct request *r)
{
    struct runtime *rt = request_runtime(r);

    if (rt == NULL)
        return;
    request_hold(r);
    runtime_volume_remove(rt, r->args[0], on_removed, r);
}

/* --- /system/df ----------------------------------------------------------------------------- */

struct usage {
    json_t *images, *containers, *volumes;
    json_int_t layers_size;
    wall_ns now;
};

static void use_container(void *owner, const struct container_info *info)
{
    struct usage *u = owner;

    list_json_add(&u->containers, container_summary_json(info, u->now));
}

static void use_image(void *owner, const struct image_info *image)
{
    struct request *r = owner;
    struct usage *u = r->state;
    json_t *json = image_summary_json(image);

    u->layers_size += (json_int_t)image->size;
    (void)json_object_set_new(json, "Containers", json_integer((json_int_t)image->container_count));
    (void)json_object_set_new(json, "SharedSize", json_integer(0));
    list_json_add(&u->images, json);
}

static void use_volume(void *owner, const struct volume_info *v)
{
    struct request *r = owner;
    struct usage *u = r->state;
    json_t *json = volume_json(v);

    /* -1: its size is not known without walking through it. */
    (void)json_object_set_new(
        json, "UsageData", json_pack("{s:i,s:i}", "Size", -1, "RefCount", (int)v->container_count));
    list_json_add(&u->volumes, json);
}

static void on_used(void *owner, int err, const char *message)
{
    struct request *r = owner;
    struct usage *u = r->state;
    json_t *json =
        json_pack("{s:I,s:o,s:o,s:o,s:[]}", "LayersSize", u->layers_size, "Images", u->images,
                  "Containers", u->containers, "Volumes", u->volumes, "BuildCache");

    reply_result_json(r, err, message, MHD_HTTP_OK, json);
}

static void on_images_used(void *owner, int err, const char *message)
{
    struct request *r = owner;

    if (err < 0)
        on_used(r, err, message);
    else
        runtime_volume_list(r->api->cfg.runtime, use_volume, on_used, r);
}

void handle_df(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    struct usage *u = rt != NULL ? request_state(r, sizeof(*u)) : NULL;

    if (u == NULL)
        return;
    u->now = api_wall_now();
    u->images = json_array();
    u->containers = json_array();
    u->volumes = json_array();
    runtime_container_list(rt, use_container, u);
    request_hold(r);
    runtime_image_list(rt, use_image, on_images_used, r);
}
