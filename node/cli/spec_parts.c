#include "node/cli/spec_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_words.h"

static const struct spec_row *find_row(const struct spec_row *rows, const char *part, size_t len)
{
    while (rows->option != NULL &&
           (strlen(rows->option) != len || strncmp(rows->option, part, len) != 0))
        rows++;
    return rows->option == NULL ? NULL : rows;
}

/* "unknown part 'colour=red': there are type, source, .." */
static int refuse_unknown(const char *option, const char *text, const struct spec_row *rows,
                          const char *part)
{
    char why[512];
    int len = snprintf(why, sizeof(why), "unknown part '%.64s': there are", part);

    for (; rows->option != NULL && len > 0 && (size_t)len < sizeof(why); rows++)
        len += snprintf(why + len, sizeof(why) - (size_t)len, " %s%s", rows->option,
                        rows[1].option == NULL ? "" : ",");
    return spec_refuse(option, text, why);
}

static int read_part(const char *option, const char *text, const struct spec_row *rows,
                     const char *part, json_t *object)
{
    size_t len = strcspn(part, "=");
    const struct spec_row *row = find_row(rows, part, len);
    const char *value = "true", *expected;
    char why[192];

    if (row == NULL)
        return refuse_unknown(option, text, rows, part);
    if (part[len] == '=') {
        value = part + len + 1;
    } else if (row->kind != SPEC_SWITCH) {
        (void)snprintf(why, sizeof(why), "%s needs a value: %s=..", row->option, row->option);
        return spec_refuse(option, text, why);
    }
    if (spec_value_set(row, value, object, &expected) == 0)
        return 0;
    (void)snprintf(why, sizeof(why), "%s: %s", row->option, expected);
    return spec_refuse(option, text, why);
}

int spec_parts_read(const char *option, const char *text, const struct spec_row *rows,
                    json_t *object)
{
    json_t *parts = spec_commas(text);
    int rc = parts == NULL ? spec_refuse(option, text, "a quote is not closed") : 0;

    for (size_t i = 0; i < json_array_size(parts) && rc == 0; i++)
        rc = read_part(option, text, rows, json_string_value(json_array_get(parts, i)), object);
    json_decref(parts);
    return rc;
}
