/* node/cli/spec_health.h - How a container's health is checked, of services and of containers. */
#ifndef NODE_CLI_SPEC_HEALTH_H
#define NODE_CLI_SPEC_HEALTH_H

#include "node/cli/spec_value.h"

/* A table of options has these in one row. */
#define SPEC_HEALTH_OPTIONS                                                                        \
    { "health-cmd", 0, OPTION_TEXT, "COMMAND", "says whether it is well; empty: as the image" },   \
        { "health-interval", 0, OPTION_TEXT, "TIME", "between checks" },                           \
        { "health-timeout", 0, OPTION_TEXT, "TIME", "a check that takes longer has failed" },      \
        { "health-retries", 0, OPTION_TEXT, "N", "failures in a row until it is unhealthy" },      \
        { "health-start-period", 0, OPTION_TEXT, "TIME", "in which failures do not count" },       \
        { "health-start-interval", 0, OPTION_TEXT, "TIME", "between checks in the start period" }, \
    {                                                                                              \
        "no-healthcheck", 0, OPTION_FLAG, NULL, "no checks, not even the image's"                  \
    }

/* Changes "Healthcheck" of `container`.  ERR_INVALID: it has been printed why */
NODISCARD int spec_health_apply(const struct args *a, json_t *container);

#endif /* NODE_CLI_SPEC_HEALTH_H */
