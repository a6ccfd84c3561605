#include "node/cli/spec_caps.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define CAP_NAME_MAX 64

static size_t find(const json_t *list, const char *name)
{
    size_t i = 0;

    while (i < json_array_size(list)) {
        const char *held = json_string_value(json_array_get(list, i));

        if (held != NULL && strcmp(held, name) == 0)
            break;
        i++;
    }
    return i;
}

static void take_away(json_t *list, const char *name)
{
    (void)json_array_remove(list, find(list, name)); /* nothing when it is not there */
}

/* "net_admin" is CAP_NET_ADMIN; ALL and RESET are no capabilities. */
static int normalise(const char *option, const char *text, char out[CAP_NAME_MAX])
{
    size_t len = strlen(text);
    bool prefixed = strncasecmp(text, "CAP_", 4) == 0;
    bool word = strcasecmp(text, "ALL") == 0 || strcasecmp(text, "RESET") == 0;

    if (len == 0 || len >= CAP_NAME_MAX - 4 ||
        text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")] != '\0')
        return spec_refuse(option, text, "give a capability such as NET_ADMIN");
    (void)snprintf(out, CAP_NAME_MAX, "%s%s", prefixed || word ? "" : "CAP_", text);
    for (char *c = out; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
    return 0;
}

/* What was given goes to `list` and away from `other`. */
static int apply(const struct args *a, const char *option, json_t *list, json_t *other)
{
    const struct str_list *given = args_list(a, option);

    for (size_t i = 0; i < given->count; i++) {
        char name[CAP_NAME_MAX];

        if (normalise(option, given->items[i], name) < 0)
            return ERR_INVALID;
        if (strcmp(name, "RESET") == 0) {
            (void)json_array_clear(list);
            continue;
        }
        take_away(other, name);
        if (find(list, name) == json_array_size(list))
            (void)json_array_append_new(list, json_string(name));
    }
    return 0;
}

int spec_caps_apply(const struct args *a, json_t *container)
{
    json_t *add, *drop;
    int rc;

    if (!args_given(a, "cap-add") && !args_given(a, "cap-drop"))
        return 0;
    add = spec_array(container, "CapabilityAdd");
    drop = spec_array(container, "CapabilityDrop");
    rc = apply(a, "cap-drop", drop, add);
    return rc == 0 ? apply(a, "cap-add", add, drop) : rc;
}
