#include "node/cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static size_t find_name(const struct option_def *defs, const char *name, size_t len)
{
    size_t i = 0;

    while (defs[i].name != NULL &&
           (strlen(defs[i].name) != len || strncmp(defs[i].name, name, len) != 0))
        i++;
    return i;
}

static size_t find_letter(const struct option_def *defs, char letter)
{
    size_t i = 0;

    while (defs[i].name != NULL && defs[i].letter != letter)
        i++;
    return i;
}

static int take(struct args *a, size_t option, const char *value)
{
    CHECK(option < ARGS_OPTIONS_MAX);
    if (a->defs[option].kind != OPTION_LIST)
        str_list_clear(&a->values[option]); /* the last one counts */
    return str_list_append(&a->values[option], value);
}

/* The value of an option: behind '=', else the next argument. */
static int take_value(struct args *a, size_t option, const char *attached, int argc, char **argv,
                      int *i, struct field_error *err)
{
    const struct option_def *def = &a->defs[option];

    if (def->kind == OPTION_FLAG)
        return take(a, option, attached == NULL ? "true" : attached);
    if (attached == NULL && *i + 1 >= argc) {
        (void)snprintf(err->text, sizeof(err->text), "--%s needs a value: %s", def->name,
                       def->placeholder);
        return ERR_INVALID;
    }
    return take(a, option, attached != NULL ? attached : argv[++*i]);
}

/* Where a list can only be changed, who gives it as a whole is told how. */
static int refuse_unknown(const struct args *a, const char *name, size_t len,
                          struct field_error *err)
{
    char add[64];
    int shown = (int)MIN(len, 50);

    (void)snprintf(add, sizeof(add), "%.*s-add", shown, name);
    if (a->defs[find_name(a->defs, add, strlen(add))].name != NULL)
        (void)snprintf(err->text, sizeof(err->text),
                       "unknown option --%.*s: --%s and --%.*s-rm change one at a time", shown,
                       name, add, shown, name);
    else
        (void)snprintf(err->text, sizeof(err->text), "unknown option --%.*s", shown, name);
    return ERR_INVALID;
}

static int take_long(struct args *a, int argc, char **argv, int *i, struct field_error *err)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
    size_t option = find_name(a->defs, name, len);

    if (strcmp(name, "help") == 0) {
        a->help = true;
        return 0;
    }
    if (a->defs[option].name == NULL)
        return refuse_unknown(a, name, len, err);
    return take_value(a, option, equals == NULL ? NULL : equals + 1, argc, argv, i, err);
}

static int take_short(struct args *a, int argc, char **argv, int *i, struct field_error *err)
{
    const char *letters = argv[*i] + 1;
    int rc = 0;

    for (; *letters != '\0' && rc == 0; letters++) {
        size_t option = find_letter(a->defs, *letters);

        if (*letters == 'h' && a->defs[option].name == NULL) {
            a->help = true;
            continue;
        }
        if (a->defs[option].name == NULL) {
            (void)snprintf(err->text, sizeof(err->text), "unknown option -%c", *letters);
            return ERR_INVALID;
        }
        if (a->defs[option].kind == OPTION_FLAG) {
            rc = take(a, option, "true");
            continue;
        }
        return take_value(a, option, letters[1] != '\0' ? letters + 1 : NULL, argc, argv, i, err);
    }
    return rc;
}

int args_parse(struct args *a, const struct option_def *defs, int argc, char **argv,
               bool stop_at_first, struct field_error *err)
{
    bool only_arguments = false;
    int rc = 0;

    *a = (struct args){ .defs = defs };
    for (int i = 0; i < argc && rc == 0; i++) {
        if (only_arguments || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (a->count == ARGS_MAX)
                return ERR_TOO_LARGE;
            a->positional[a->count++] = argv[i];
            only_arguments = only_arguments || stop_at_first;
        } else if (strcmp(argv[i], "--") == 0) {
            only_arguments = true;
        } else if (argv[i][1] == '-') {
            rc = take_long(a, argc, argv, &i, err);
        } else {
            rc = take_short(a, argc, argv, &i, err);
        }
    }
    return rc;
}

void args_deinit(struct args *a)
{
    for (size_t i = 0; i < ARGS_OPTIONS_MAX; i++)
        str_list_clear(&a->values[i]);
}

const struct str_list *args_list(const struct args *a, const char *name)
{
    size_t option = find_name(a->defs, name, strlen(name));

    CHECK(a->defs[option].name != NULL);
    return &a->values[option];
}

bool args_given(const struct args *a, const char *name)
{
    return args_list(a, name)->count > 0;
}

bool args_flag(const struct args *a, const char *name)
{
    const struct str_list *values = args_list(a, name);

    return values->count > 0 && strcmp(values->items[0], "false") != 0;
}

const char *args_text(const struct args *a, const char *name, const char *otherwise)
{
    const struct str_list *values = args_list(a, name);

    return values->count > 0 ? values->items[0] : otherwise;
}

/* --- Quantities */

int parse_bytes(const char *text, int64_t *out)
{
    static const char units[] = "bkmgt";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end == '\0' ? units : strchr(units, *end | 0x20);

    if (end == text || unit == NULL || value < 0 ||
        (*end != '\0' && end[1] != '\0' && strcasecmp(end + 1, "b") != 0 &&
         strcasecmp(end + 1, "ib") != 0))
        return ERR_INVALID;
    for (const char *u = units; u < unit; u++)
        value *= 1024;
    if (value > 9e18)
        return ERR_INVALID;
    *out = (int64_t)value;
    return 0;
}

int parse_cpus(const char *text, int64_t *out)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || value < 0 || value > 1e6)
        return ERR_INVALID;
    *out = (int64_t)(value * 1e9 + 0.5);
    return 0;
}
