#include "node/cli/spec_health.h"

#include <string.h>

#include "base/err.h"

static const struct spec_row rows[] = {
    { "health-interval", SPEC_DURATION, "Healthcheck.Interval" },
    { "health-timeout", SPEC_DURATION, "Healthcheck.Timeout" },
    { "health-retries", SPEC_COUNT, "Healthcheck.Retries" },
    { "health-start-period", SPEC_DURATION, "Healthcheck.StartPeriod" },
    { "health-start-interval", SPEC_DURATION, "Healthcheck.StartInterval" },
    { NULL, SPEC_TEXT, NULL },
};

static bool any_given(const struct args *a)
{
    bool given = args_given(a, "health-cmd");

    for (const struct spec_row *row = rows; row->option != NULL; row++)
        given |= args_given(a, row->option);
    return given;
}

static bool is_off(json_t *container)
{
    const char *first =
        json_string_value(json_array_get(spec_at(container, "Healthcheck.Test"), 0));

    return first != NULL && strcmp(first, "NONE") == 0;
}

int spec_health_apply(const struct args *a, json_t *container)
{
    const char *command = args_text(a, "health-cmd", NULL);
    bool given = any_given(a);

    if (args_flag(a, "no-healthcheck")) {
        if (given)
            return spec_refuse("no-healthcheck", "true", "not together with --health-..");
        spec_put(container, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
        return 0;
    }
    if (!given)
        return 0;
    if (is_off(container)) /* to say how it is checked is to say that it is */
        spec_put(container, "Healthcheck.Test", NULL);
    if (command != NULL)
        spec_put(container, "Healthcheck.Test",
                 command[0] == '\0' ? NULL : json_pack("[s, s]", "CMD-SHELL", command));
    return spec_values_apply(rows, a, container);
}
