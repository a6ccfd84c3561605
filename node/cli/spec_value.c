#include "node/cli/spec_value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/time_text.h"
#include "node/cli/spec_words.h"

int spec_refuse(const char *option, const char *text, const char *expected)
{
    (void)fprintf(stderr, "shoal: --%s %s: %s\n", option, text, expected);
    return ERR_INVALID;
}

/* --- Places */

/* The object that holds the last name of the path, which `*last` becomes. */
static json_t *holder(json_t *spec, const char *path, const char **last)
{
    const char *dot;

    while ((dot = strchr(path, '.')) != NULL) {
        size_t len = (size_t)(dot - path);
        json_t *child = json_object_getn(spec, path, len);

        if (!json_is_object(child)) {
            child = json_object();
            (void)json_object_setn_new(spec, path, len, child);
        }
        spec = child;
        path = dot + 1;
    }
    *last = path;
    return spec;
}

static json_t *container_at(json_t *spec, const char *path, json_type type)
{
    const char *last;
    json_t *parent = holder(spec, path, &last), *child = json_object_get(parent, last);

    if (child == NULL || json_typeof(child) != type) {
        child = type == JSON_OBJECT ? json_object() : json_array();
        (void)json_object_set_new(parent, last, child);
    }
    return child;
}

json_t *spec_object(json_t *spec, const char *path)
{
    return container_at(spec, path, JSON_OBJECT);
}

json_t *spec_array(json_t *spec, const char *path)
{
    return container_at(spec, path, JSON_ARRAY);
}

json_t *spec_at(json_t *spec, const char *path)
{
    const char *dot;

    while ((dot = strchr(path, '.')) != NULL) {
        spec = json_object_getn(spec, path, (size_t)(dot - path));
        path = dot + 1;
    }
    return json_object_get(spec, path);
}

void spec_put(json_t *spec, const char *path, json_t *value)
{
    const char *last;
    json_t *parent = holder(spec, path, &last);

    if (value == NULL)
        (void)json_object_del(parent, last);
    else
        (void)json_object_set_new(parent, last, value);
}

/* --- Values: NULL is a text that makes no sense */

static json_t *integer_of(const char *text, long long min)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    return errno != 0 || end == text || *end != '\0' || value < min ? NULL : json_integer(value);
}

static json_t *ratio_of(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    return end == text || *end != '\0' || isnan(value) || value < 0 || value > 1 ? NULL
                                                                                 : json_real(value);
}

static json_t *switch_of(const char *text)
{
    bool on = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    bool off = strcmp(text, "false") == 0 || strcmp(text, "0") == 0;

    return on || off ? json_boolean(on) : NULL;
}

static json_t *duration_of(const char *text)
{
    int64_t ns;

    return duration_parse(slice_of_str(text), &ns) < 0 || ns < 0 ? NULL : json_integer(ns);
}

static json_t *quantity_of(const char *text, int (*parse)(const char *, int64_t *))
{
    int64_t value;

    return parse(text, &value) < 0 ? NULL : json_integer(value);
}

static json_t *mode_of(const char *text)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    return *text < '0' || *text > '7' || *end != '\0' || mode > 07777 ? NULL
                                                                      : json_integer((int)mode);
}

static json_t *pair_of(const char *text)
{
    size_t len = strcspn(text, "=");
    json_t *pair = json_object();

    if (len > 0 && json_object_setn_new(pair, text, len,
                                        json_string(text[len] == '=' ? text + len + 1 : "")) == 0)
        return pair;
    json_decref(pair);
    return NULL;
}

static json_t *value_of(enum spec_kind kind, const char *text)
{
    switch (kind) {
    case SPEC_TEXT:
    case SPEC_MEMBER:
        return json_string(text);
    case SPEC_SWITCH:
        return switch_of(text);
    case SPEC_COUNT:
        return integer_of(text, 0);
    case SPEC_INTEGER:
        return integer_of(text, LLONG_MIN);
    case SPEC_RATIO:
        return ratio_of(text);
    case SPEC_DURATION:
        return duration_of(text);
    case SPEC_BYTES:
        return quantity_of(text, parse_bytes);
    case SPEC_CPUS:
        return quantity_of(text, parse_cpus);
    case SPEC_MODE:
        return mode_of(text);
    case SPEC_WORDS:
        return spec_words(text);
    case SPEC_PAIR:
        return pair_of(text);
    }
    return NULL;
}

static const char *expected_of(enum spec_kind kind)
{
    static const char *const expected[] = {
        [SPEC_TEXT] = "give text in UTF-8",
        [SPEC_SWITCH] = "give true or false",
        [SPEC_COUNT] = "give a number from 0",
        [SPEC_INTEGER] = "give a whole number",
        [SPEC_RATIO] = "give a number from 0 to 1, such as 0.25",
        [SPEC_DURATION] = "give a time such as 500ms, 10s or 1m30s",
        [SPEC_BYTES] = "give bytes such as 64m or 1.5g",
        [SPEC_CPUS] = "give processors such as 0.5",
        [SPEC_MODE] = "give an octal mode such as 0440",
        [SPEC_WORDS] = "a quote is not closed",
        [SPEC_MEMBER] = "give text in UTF-8",
        [SPEC_PAIR] = "give KEY=VALUE",
    };

    return expected[kind];
}

int spec_value_set(const struct spec_row *row, const char *text, json_t *spec,
                   const char **expected)
{
    json_t *value = value_of(row->kind, text);

    *expected = expected_of(row->kind);
    if (value == NULL)
        return ERR_INVALID;
    if (row->kind == SPEC_MEMBER) {
        (void)json_array_append_new(spec_array(spec, row->path), value);
    } else if (row->kind == SPEC_PAIR) {
        (void)json_object_update(spec_object(spec, row->path), value);
        json_decref(value);
    } else {
        spec_put(spec, row->path, value);
    }
    return 0;
}

int spec_values_apply(const struct spec_row *rows, const struct args *a, json_t *spec)
{
    for (const struct spec_row *row = rows; row->option != NULL; row++) {
        const struct str_list *given = args_list(a, row->option);

        for (size_t i = 0; i < given->count; i++) {
            const char *expected;

            if (spec_value_set(row, given->items[i], spec, &expected) < 0)
                return spec_refuse(row->option, given->items[i], expected);
        }
    }
    return 0;
}
