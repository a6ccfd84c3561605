/* Options of service create and update, one a line: whatever they say, they are refused or make a
 * spec of names that the API knows. What values the API takes is for it to judge. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "node/cli/service_spec.h"
#include "node/object/service.h"

#define LINES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static json_t *find(void *ctx, const char *collection, const char *name)
{
    (void)ctx;
    (void)collection;
    return json_pack("{s:s, s:s, s:{s:s}}", "ID", "id", "Id", "id", "Spec", "Name", name);
}

static json_t *new_spec(void)
{
    return json_pack("{s:{s:{s:s}}}", "TaskTemplate", "ContainerSpec", "Image", "web:1");
}

static json_t *apply(char **argv, int argc, bool update, json_t *spec)
{
    static const struct spec_names names = { find, NULL };
    struct field_error err = { "" };
    struct args args;
    int rc = args_parse(&args, update ? service_update_options : service_create_options, argc, argv,
                        false, &err);

    if (rc == 0)
        rc = (update ? service_spec_update : service_spec_create)(&args, &names, spec);
    args_deinit(&args);
    if (rc == 0)
        return spec;
    json_decref(spec);
    return NULL;
}

static void check_names(json_t *json)
{
    struct field_error err = { "" };
    struct service_spec spec;

    if (fields_from_json(&service_spec_type, json, FIELDS_JSON_STRICT, &spec, &err) == 0)
        fields_deinit(&service_spec_type, &spec);
    else
        CHECK(strstr(err.text, ": has no field \"") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static FILE *quiet;
    char *text = malloc(len + 1), *argv[LINES_MAX], *save = NULL, *line;
    int argc = 0;

    if (quiet == NULL)
        quiet = fopen("/dev/null", "w");
    CHECK(quiet != NULL && text != NULL);
    stderr = quiet; /* each refusal is printed; a fuzzer's own words go to the descriptor */
    memcpy(text, data, len);
    text[len] = '\0';
    for (line = strtok_r(text, "\n", &save); line != NULL && argc < LINES_MAX;
         line = strtok_r(NULL, "\n", &save))
        if (strstr(line, "env-file") == NULL) /* nothing of this machine is read */
            argv[argc++] = line;
    for (int update = 0; update < 2; update++) {
        json_t *spec = apply(argv, argc, update != 0, new_spec());

        if (spec != NULL)
            check_names(spec);
        json_decref(spec);
    }
    free(text);
    return 0;
}
