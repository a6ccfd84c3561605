#include "node/cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time_text.h"

int exit_of(int status)
{
    return status > 0 && status < 400 ? EXIT_OK : EXIT_ERROR;
}

int call(struct invocation *in, const char *method, const json_t *body, json_t **out,
         const char *format, ...)
{
    char path[PATH_MAX_LEN];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return client_call(in->client, method, path, body, out);
}

json_t *get_json(struct invocation *in, const char *format, ...)
{
    char path[PATH_MAX_LEN];
    json_t *out = NULL;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return client_call(in->client, "GET", path, NULL, &out) < 400 ? out : NULL;
}

const json_t *at(const json_t *object, const char *path)
{
    while (object != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        char key[64];

        (void)snprintf(key, sizeof(key), "%.*s", (int)len, path);
        object = json_object_get(object, key);
        path += len + (path[len] == '.');
    }
    return object;
}

const char *text_at(const json_t *object, const char *path)
{
    const char *text = json_string_value(at(object, path));

    return text == NULL ? "" : text;
}

json_int_t number_at(const json_t *object, const char *path)
{
    return json_integer_value(at(object, path));
}

json_t *pairs_of(const struct str_list *list)
{
    json_t *object = json_object();

    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        char key[512];

        (void)snprintf(
            key, sizeof(key), "%.*s",
            (int)(equals == NULL ? strlen(list->items[i]) : (size_t)(equals - list->items[i])),
            list->items[i]);
        (void)json_object_set_new(object, key, json_string(equals == NULL ? "" : equals + 1));
    }
    return object;
}

json_t *texts_of(const struct str_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(array, json_string(list->items[i]));
    return array;
}

enum listing_format format_of(const struct invocation *in)
{
    if (args_flag(&in->args, "quiet"))
        return LISTING_QUIET;
    return strcmp(args_text(&in->args, "format", "table"), "json") == 0 ? LISTING_JSON
                                                                        : LISTING_ALIGNED;
}

int print_inspected(json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(4));

    if (text == NULL)
        return EXIT_ERROR;
    (void)puts(text);
    free(text);
    return EXIT_OK;
}

const char *ago(const char *time_text, char *out, size_t len)
{
    static const struct {
        long seconds;
        const char *name;
    } units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
    struct timespec now;
    wall_ns then;
    long age;

    out[0] = '\0';
    if (time_parse(slice_of_str(time_text), &then) < 0 || then <= 0)
        return out;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    age = (long)now.tv_sec - (long)(then / INT64_C(1000000000));
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (age >= units[i].seconds) {
            (void)snprintf(out, len, "%ld %s%s ago", age / units[i].seconds, units[i].name,
                           age / units[i].seconds == 1 ? "" : "s");
            return out;
        }
    (void)snprintf(out, len, "just now");
    return out;
}

int remove_each(struct invocation *in, const char *path_prefix, const char *suffix)
{
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        char *name = client_escape(in->client, in->args.positional[i]);
        int status = call(in, "DELETE", NULL, NULL, "%s/%s%s", path_prefix, name, suffix);

        free(name);
        if (exit_of(status) == EXIT_OK)
            (void)puts(in->args.positional[i]);
        else
            result = EXIT_ERROR;
    }
    return result;
}

int inspect_each(struct invocation *in, const char *path_prefix)
{
    json_t *all = json_array();
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        char *name = client_escape(in->client, in->args.positional[i]);
        json_t *one = get_json(in, "%s/%s", path_prefix, name);

        free(name);
        if (one == NULL)
            result = EXIT_ERROR;
        else
            (void)json_array_append_new(all, one);
    }
    if (json_array_size(all) > 0)
        (void)print_inspected(all);
    json_decref(all);
    return result;
}

int prune(struct invocation *in, const char *path, const char *list, const char *filter,
          const char *value)
{
    json_t *filters = filter == NULL ? json_object() : json_pack("{s:[s]}", filter, value);
    char *text = json_dumps(filters, JSON_COMPACT);
    char *query = text == NULL ? NULL : client_escape(in->client, text);
    json_t *answer = NULL, *gone;
    size_t i;
    int result =
        exit_of(call(in, "POST", NULL, &answer, "%s?filters=%s", path, query == NULL ? "" : query));

    json_array_foreach(at(answer, list), i, gone)(void) puts(json_string_value(gone));
    json_decref(answer);
    json_decref(filters);
    free(text);
    free(query);
    return result;
}
