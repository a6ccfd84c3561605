/* node/api/container_wait.c - POST /containers/ID/wait.
 *
 * The head of the answer goes out at once, as clients expect that start the container only then;
 * its body follows when what they wait for has happened. */
#include "node/api/container_wait.h"

#include <stdio.h>

#include "base/err.h"
#include "node/api/api_impl.h"

enum condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };

struct wait {
    char id[CONTAINER_ID_LEN_MAX + 1];
    enum condition condition;
};

static void answer(struct request *r, int exit_code, const char *error)
{
    json_t *why = error == NULL ? json_null() : json_pack("{s:s}", "Message", error);

    (void)stream_json(r, json_pack("{s:i,s:o}", "StatusCode", exit_code, "Error", why));
    stream_end(r);
}

/* False: answered. */
static bool parse_condition(struct request *r, enum condition *out)
{
    static const char *const names[] = { [WAIT_NOT_RUNNING] = "not-running",
                                         [WAIT_NEXT_EXIT] = "next-exit",
                                         [WAIT_REMOVED] = "removed" };
    const char *text = request_query(r, "condition");

    *out = WAIT_NOT_RUNNING;
    if (text == NULL || text[0] == '\0')
        return true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum condition)i;
            return true;
        }
    }
    reply_status(r, MHD_HTTP_BAD_REQUEST,
                 "invalid condition: \"%.64s\": there are not-running, next-exit and removed",
                 text);
    return false;
}

void handle_container_wait(struct request *r)
{
    const struct container_info *info = request_container(r);
    enum condition condition;
    struct wait *w;

    if (info == NULL || !parse_condition(r, &condition))
        return;
    w = request_state(r, sizeof(*w));
    if (w == NULL)
        return;
    (void)snprintf(w->id, sizeof(w->id), "%s", info->spec->id);
    w->condition = condition;
    if (stream_open(r, "application/json") && condition == WAIT_NOT_RUNNING &&
        (info->state == CONTAINER_CREATED || info->state == CONTAINER_EXITED))
        answer(r, info->exit_code, NULL);
}

static void tell(struct request *r, enum container_event_kind kind,
                 const struct container_info *info)
{
    const struct wait *w = r->state;
    bool for_removal = w->condition == WAIT_REMOVED;

    if (kind == (for_removal ? CONTAINER_EVENT_REMOVED : CONTAINER_EVENT_EXITED))
        answer(r, info->exit_code, NULL);
    else if (kind == CONTAINER_EVENT_REMOVED)
        answer(r, info->exit_code, "the container was removed before it ended");
}

void waits_on_container(struct api *api, enum container_event_kind kind,
                        const struct container_info *info)
{
    LIST_EACH_SAFE(it, &api->requests)
    {
        struct request *r = CONTAINER_OF(it, struct request, link);
        const struct wait *w = r->state;

        if (r->route != NULL && r->route->handle == handle_container_wait && r->stream.open &&
            !r->stream.ended && strcmp(w->id, info->spec->id) == 0)
            tell(r, kind, info);
    }
}
