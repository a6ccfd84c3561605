#include "node/control/constraint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "overlaynet/ip.h"

static struct slice trim(struct slice s)
{
    while (s.len > 0 && isspace(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && isspace(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool is_known_key(const char *key)
{
    static const char *const keys[] = { "node.id",   "node.hostname",    "node.ip",
                                        "node.role", "node.platform.os", "node.platform.arch" };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return strncmp(key, "node.labels.", 12) == 0 || strncmp(key, "engine.labels.", 14) == 0;
}

int constraint_parse(const char *text, struct constraint *out, struct field_error *err)
{
    const char *equal = strstr(text, "=="), *unequal = strstr(text, "!=");
    const char *at = equal != NULL && (unequal == NULL || equal < unequal) ? equal : unequal;
    struct slice key, value;

    if (at != NULL && strlen(text) < CONSTRAINT_LEN_MAX) {
        key = trim(slice_of(text, (size_t)(at - text)));
        value = trim(slice_of_str(at + 2));
        (void)snprintf(out->key, sizeof(out->key), "%.*s", (int)key.len, (const char *)key.ptr);
        (void)snprintf(out->value, sizeof(out->value), "%.*s", (int)value.len,
                       (const char *)value.ptr);
        out->equal = at == equal;
        if (is_known_key(out->key) && value.len > 0)
            return 0;
    }
    if (err != NULL)
        (void)snprintf(err->text, sizeof(err->text),
                       "invalid placement constraint '%.100s': expected node.<key> ==|!= value",
                       text);
    return ERR_INVALID;
}

static bool equal_fold(const char *a, const char *b)
{
    while (*a != '\0' && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

/* Docker says x86_64 or amd64, aarch64 or arm64: the same machine. */
static const char *canonical_arch(const char *arch)
{
    if (equal_fold(arch, "amd64"))
        return "x86_64";
    if (equal_fold(arch, "arm64"))
        return "aarch64";
    return arch;
}

static bool is_at(const char *value, const char *address)
{
    const char *colon = address == NULL ? NULL : strrchr(address, ':');
    struct ip_prefix prefix;
    struct ip_addr addr;

    if (address == NULL)
        return false;
    if (colon != NULL && strchr(address, ':') != colon)
        colon = NULL; /* a bare IPv6 address */
    if (ip_parse(slice_of(address, colon != NULL ? (size_t)(colon - address) : strlen(address)),
                 &addr) < 0)
        return false;
    if (ip_prefix_parse(slice_of_str(value), &prefix) == 0)
        return ip_prefix_has(&prefix, &addr);
    return equal_fold(value, address) ||
           (colon != NULL && strlen(value) == (size_t)(colon - address) &&
            strncmp(value, address, strlen(value)) == 0);
}

static const char *value_of(const struct constraint *c, const struct node *n)
{
    if (strcmp(c->key, "node.id") == 0)
        return n->id.text;
    if (strcmp(c->key, "node.hostname") == 0)
        return n->description.hostname;
    if (strcmp(c->key, "node.role") == 0)
        return enum_text(&node_role_names, (int)n->spec.role);
    if (strcmp(c->key, "node.platform.os") == 0)
        return n->description.platform.os;
    if (strcmp(c->key, "node.platform.arch") == 0)
        return n->description.platform.architecture;
    if (strncmp(c->key, "node.labels.", 12) == 0)
        return str_map_get(&n->spec.labels, c->key + 12);
    return str_map_get(&n->description.engine.labels, c->key + 14);
}

bool constraint_holds(const struct constraint *c, const struct node *n)
{
    const char *value;
    bool same;

    if (strcmp(c->key, "node.ip") == 0) {
        same = is_at(c->value, n->status.addr);
    } else {
        value = value_of(c, n);
        if (value == NULL)
            value = "";
        same = strcmp(c->key, "node.platform.arch") == 0
                   ? equal_fold(canonical_arch(c->value), canonical_arch(value))
                   : equal_fold(c->value, value);
    }
    return same == c->equal;
}

const char *constraints_refusing(const struct str_list *constraints, const struct node *n)
{
    for (size_t i = 0; i < constraints->count; i++) {
        struct constraint c;

        if (constraint_parse(constraints->items[i], &c, NULL) < 0 || !constraint_holds(&c, n))
            return constraints->items[i];
    }
    return NULL;
}

bool constraints_hold(const struct str_list *constraints, const struct node *n)
{
    return constraints_refusing(constraints, n) == NULL;
}
