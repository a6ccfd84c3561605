#include "node/object/log_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define FILES_MAX 1000

/* "10m" as Docker writes sizes. 0: not a size. */
static uint64_t parse_size(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = *end == 'k' || *end == 'K'   ? 10
                     : *end == 'm' || *end == 'M' ? 20
                     : *end == 'g' || *end == 'G' ? 30
                                                  : 0;

    if (end == text || text[0] < '0' || text[0] > '9' || n > UINT64_MAX >> 31 ||
        end[shift != 0] != '\0')
        return 0;
    return (uint64_t)n << shift;
}

/* 0: not a number of files. */
static uint32_t parse_count(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    return text[0] < '0' || text[0] > '9' || *end != '\0' || n > FILES_MAX ? 0 : (uint32_t)n;
}

/* Of json-file: what it adds to a line, or how it stores it. */
static bool is_harmless(const char *name)
{
    static const char *const names[] = { "compress", "env",          "env-regex",
                                         "labels",   "labels-regex", "max-buffer-size",
                                         "mode",     "tag" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int read_option(const char *name, const char *value, struct log_options *out,
                       struct field_error *err)
{
    if (strcmp(name, "max-size") == 0) {
        out->file_bytes_max = parse_size(value);
        if (out->file_bytes_max != 0)
            return 0;
        (void)snprintf(err->text, sizeof(err->text), "log option max-size '%.32s': give 10m",
                       value);
        return ERR_INVALID;
    }
    if (strcmp(name, "max-file") == 0) {
        out->file_count_max = parse_count(value);
        if (out->file_count_max != 0)
            return 0;
        (void)snprintf(err->text, sizeof(err->text), "log option max-file '%.32s': 1 to %d", value,
                       FILES_MAX);
        return ERR_INVALID;
    }
    if (is_harmless(name))
        return 0;
    (void)snprintf(err->text, sizeof(err->text),
                   "unknown log option '%.32s': there are max-size and max-file", name);
    return ERR_INVALID;
}

int log_options_read(const char *driver, const struct str_map *options, struct log_options *out,
                     struct field_error *err)
{
    int rc = 0;

    *out = (struct log_options){ 0 };
    if (driver == NULL || driver[0] == '\0')
        driver = "json-file";
    out->none = strcmp(driver, "none") == 0;
    if (!out->none && strcmp(driver, "json-file") != 0 && strcmp(driver, "local") != 0) {
        (void)snprintf(err->text, sizeof(err->text),
                       "log driver '%.32s' is not supported: there are json-file, local and none",
                       driver);
        return ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < options->count && rc == 0; i++)
        rc = read_option(options->items[i].key, options->items[i].value, out, err);
    return rc;
}
