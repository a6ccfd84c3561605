#include "node/cli/spec_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* KEY alone stands for what we have under that name, and for nothing when we have none. */
static int read_variable(const struct spec_names *names, const char *option, const char *text,
                         json_t *out)
{
    const char *equals = strchr(text, '='), *value;
    json_t *variable;

    (void)names;
    if (equals == text || *text == '\0')
        return spec_refuse(option, text, "give KEY=VALUE");
    if (equals != NULL) {
        variable = json_string(text);
    } else {
        value = getenv(text);
        if (value == NULL)
            return 0;
        variable = json_sprintf("%s=%s", text, value);
    }
    return json_array_append_new(out, variable) < 0
               ? spec_refuse(option, text, "give text in UTF-8")
               : 0;
}

static bool has_key(const json_t *entry, const char *key, size_t len)
{
    const char *text = json_string_value(entry);

    return text != NULL && strncmp(text, key, len) == 0 && (text[len] == '=' || text[len] == '\0');
}

static bool is_same(const json_t *entry, const json_t *added)
{
    const char *text = json_string_value(added);

    return has_key(entry, text, strcspn(text, "="));
}

static bool is_named(const json_t *entry, const json_t *key)
{
    return has_key(entry, json_string_value(key), json_string_length(key));
}

const struct spec_entry spec_env_entry = { read_variable, is_same, NULL, is_named };

/* --- Files */

static int add_line(const char *path, size_t number, char *line, const struct spec_list *list,
                    json_t *spec)
{
    char *key = line + strspn(line, " \t");
    size_t len;

    key[strcspn(key, "\r\n")] = '\0';
    len = strcspn(key, "=");
    if (*key == '\0' || *key == '#')
        return 0;
    if (len == 0 || strcspn(key, " \t") < len) {
        (void)fprintf(stderr, "shoal: %s:%zu: a variable has a name without blanks: KEY=VALUE\n",
                      path, number);
        return ERR_INVALID;
    }
    return spec_list_add(list, NULL, list->option, key, spec);
}

static int read_file(const char *path, const struct spec_list *list, json_t *spec)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    int rc = 0;

    if (file == NULL)
        rc = -errno;
    for (size_t number = 1; rc == 0; number++) {
        errno = 0;
        if (getline(&line, &cap, file) < 0) {
            rc = -errno;
            break;
        }
        if (number == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
            (void)memmove(line, line + 3, strlen(line + 3) + 1); /* some editors mark UTF-8 so */
        rc = add_line(path, number, line, list, spec);
        if (rc < 0)
            goto out;
    }
    if (rc < 0)
        (void)fprintf(stderr, "shoal: --env-file %s: %s\n", path, err_text(rc));
out:
    free(line);
    if (file != NULL)
        (void)fclose(file); /* read only */
    return rc;
}

int spec_env_files(const struct args *a, const char *path, json_t *spec)
{
    const struct spec_list list = { "env-file", NULL, NULL, path, &spec_env_entry };
    const struct str_list *files = args_list(a, list.option);
    int rc = 0;

    for (size_t i = 0; i < files->count && rc == 0; i++)
        rc = read_file(files->items[i], &list, spec);
    return rc;
}
