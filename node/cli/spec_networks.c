/* Networks to join: "NAME", or "name=NAME,alias=ALIAS". A spec holds their ids. */
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_list.h"
#include "node/cli/spec_parts.h"

static const struct spec_row parts[] = {
    { "name", SPEC_TEXT, "Target" },
    { "alias", SPEC_MEMBER, "Aliases" },
    { NULL, SPEC_TEXT, NULL },
};

/* "host" is no network of the cluster, and has no id. */
static int resolve(const struct spec_names *names, json_t *target)
{
    const char *name = json_string_value(json_object_get(target, "Target"));
    json_t *network;

    if (strcmp(name, "host") == 0)
        return 0;
    network = names->find(names->ctx, "networks", name);
    if (network == NULL)
        return ERR_NOT_FOUND;
    (void)json_object_set(target, "Target", json_object_get(network, "Id"));
    json_decref(network);
    return 0;
}

static int read_network(const struct spec_names *names, const char *option, const char *text,
                        json_t *out)
{
    json_t *target = json_object();
    int rc = 0;

    if (strchr(text, '=') == NULL)
        (void)json_object_set_new(target, "Target", json_string(text));
    else
        rc = spec_parts_read(option, text, parts, target);
    if (rc == 0 && json_object_get(target, "Target") == NULL)
        rc = spec_refuse(option, text, "give NAME or name=NAME,alias=ALIAS");
    if (rc == 0)
        rc = resolve(names, target);
    (void)json_array_append_new(out, target);
    return rc;
}

static bool is_same(const json_t *entry, const json_t *added)
{
    return json_equal(json_object_get(entry, "Target"), json_object_get(added, "Target")) != 0;
}

const struct spec_entry spec_network_entry = { read_network, is_same, read_network, is_same };
