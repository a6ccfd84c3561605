#include "support_spec.h"

#include <stdlib.h>

#include "node/cli/spec_words.h"
#include "tests/support/unit.h"

#define WORDS_MAX 32

static json_t *find(void *ctx, const char *collection, const char *name)
{
    char id[64];

    (void)ctx;
    (void)collection;
    if (strcmp(name, "nosuch") == 0)
        return NULL;
    (void)snprintf(id, sizeof(id), "%s-id", name);
    return json_pack("{s:s, s:s, s:{s:s}}", "ID", id, "Id", id, "Spec", "Name", name);
}

const struct spec_names support_names = { find, NULL };

json_t *support_spec(const char *before, const char *line, bool update)
{
    json_t *spec = json_loads(before, 0, NULL), *words = spec_words(line), *word;
    char *argv[WORDS_MAX];
    struct field_error err;
    struct args args;
    size_t i;
    int rc;

    assert_non_null(spec);
    assert_non_null(words);
    assert_true(json_array_size(words) <= WORDS_MAX);
    json_array_foreach(words, i, word) argv[i] = strdup(json_string_value(word));
    if (args_parse(&args, update ? service_update_options : service_create_options,
                   (int)json_array_size(words), argv, false, &err) < 0)
        fail_msg("%s: %s", line, err.text);
    rc = (update ? service_spec_update : service_spec_create)(&args, &support_names, spec);
    args_deinit(&args);
    for (i = 0; i < json_array_size(words); i++)
        free(argv[i]);
    json_decref(words);
    if (rc == 0)
        return spec;
    json_decref(spec);
    return NULL;
}

char *support_spec_text(const char *before, const char *line, bool update)
{
    json_t *spec = support_spec(before, line, update);
    char *text = spec == NULL ? NULL : json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);

    json_decref(spec);
    return text;
}
