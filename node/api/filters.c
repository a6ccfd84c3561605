/* node/api/filters.c - See filters.h. Both forms become lists, so that the rest knows only one. */
#include "node/api/filters.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static bool is_known(const char *const *known, const char *key)
{
    for (; *known != NULL; known++) {
        if (strcmp(*known, key) == 0)
            return true;
    }
    return false;
}

/* {"a":true,"b":false} or ["a"] to ["a"]. NULL: *rc says why. */
static json_t *values_of(json_t *given, int *rc)
{
    json_t *list = json_array(), *value;
    const char *name;
    size_t i;

    *rc = list == NULL ? -ENOMEM : 0;
    if (json_is_object(given)) {
        json_object_foreach(given, name, value)
        {
            if (!json_is_boolean(value))
                *rc = ERR_INVALID;
            else if (json_is_true(value) && json_array_append_new(list, json_string(name)) < 0)
                *rc = -ENOMEM;
        }
    } else if (json_is_array(given)) {
        json_array_foreach(given, i, value)
        {
            if (!json_is_string(value))
                *rc = ERR_INVALID;
            else if (json_array_append(list, value) < 0)
                *rc = -ENOMEM;
        }
    } else {
        *rc = ERR_INVALID;
    }
    if (*rc == 0 && json_array_size(list) > FILTERS_VALUES_MAX)
        *rc = ERR_INVALID;
    if (*rc == 0)
        return list;
    json_decref(list);
    return NULL;
}

int filters_parse(const char *text, const char *const *known, struct filters *out,
                  struct field_error *err)
{
    json_t *given = NULL, *value;
    const char *key;
    int rc = 0;

    *out = (struct filters){ 0 };
    if (text == NULL || text[0] == '\0')
        return 0;
    if (strlen(text) <= FILTERS_TEXT_LEN_MAX)
        given = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(given) || json_object_size(given) > FILTERS_MAX) {
        (void)snprintf(err->text, sizeof(err->text),
                       "invalid filter: filters must be a JSON map of keys to values, of at most "
                       "%d keys and %d bytes",
                       FILTERS_MAX, FILTERS_TEXT_LEN_MAX);
        json_decref(given);
        return ERR_INVALID;
    }
    out->map = json_object();
    if (out->map == NULL)
        rc = -ENOMEM;
    json_object_foreach(given, key, value)
    {
        json_t *list;

        if (rc < 0)
            break;
        if (!is_known(known, key)) {
            (void)snprintf(err->text, sizeof(err->text), "invalid filter '%.200s'", key);
            rc = ERR_INVALID;
            break;
        }
        list = values_of(value, &rc);
        if (rc == ERR_INVALID)
            (void)snprintf(err->text, sizeof(err->text),
                           "invalid filter '%.200s': its values must be a map or a list", key);
        if (rc == 0 && json_array_size(list) > 0 && json_object_set(out->map, key, list) < 0)
            rc = -ENOMEM;
        json_decref(list);
    }
    json_decref(given);
    if (rc < 0)
        filters_deinit(out);
    return rc;
}

void filters_deinit(struct filters *f)
{
    json_decref(f->map);
    f->map = NULL;
}

bool filters_has(const struct filters *f, const char *key)
{
    return filters_count(f, key) > 0;
}

size_t filters_count(const struct filters *f, const char *key)
{
    return json_array_size(json_object_get(f->map, key));
}

const char *filters_value(const struct filters *f, const char *key, size_t i)
{
    return json_string_value(json_array_get(json_object_get(f->map, key), i));
}

/* Whether any value of `key` satisfies `test` against `value`. */
static bool any(const struct filters *f, const char *key, const char *value,
                bool (*test)(const char *wanted, const char *value))
{
    size_t count = filters_count(f, key);

    for (size_t i = 0; i < count; i++) {
        if (test(filters_value(f, key, i), value != NULL ? value : ""))
            return true;
    }
    return count == 0;
}

static bool is_equal(const char *wanted, const char *value)
{
    return strcmp(wanted, value) == 0;
}

static bool is_prefix(const char *wanted, const char *value)
{
    return strncmp(wanted, value, strlen(wanted)) == 0;
}

static bool is_part(const char *wanted, const char *value)
{
    return strstr(value, wanted) != NULL;
}

bool filters_exact(const struct filters *f, const char *key, const char *value)
{
    return any(f, key, value, is_equal);
}

bool filters_prefix(const struct filters *f, const char *key, const char *value)
{
    return any(f, key, value, is_prefix);
}

bool filters_part(const struct filters *f, const char *key, const char *value)
{
    return any(f, key, value, is_part);
}

static bool has_label(const struct str_map *labels, const char *wanted)
{
    size_t len = strcspn(wanted, "=");

    for (size_t i = 0; i < labels->count; i++) {
        const struct str_map_item *l = &labels->items[i];

        if (strlen(l->key) == len && memcmp(l->key, wanted, len) == 0)
            return wanted[len] == '\0' || strcmp(wanted + len + 1, l->value) == 0;
    }
    return false;
}

bool filters_labels(const struct filters *f, const char *key, const struct str_map *labels)
{
    size_t count = filters_count(f, key);

    for (size_t i = 0; i < count; i++) {
        if (!has_label(labels, filters_value(f, key, i)))
            return false;
    }
    return true;
}
