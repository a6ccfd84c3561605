/* node/cli/service_spec.h - A service's spec, as options describe it.
 *
 * The options are shared by create, which fills an empty spec, and by update, which changes
 * only what was given. */
#ifndef NODE_CLI_SERVICE_SPEC_H
#define NODE_CLI_SERVICE_SPEC_H

#include "node/cli/command.h"

#define SERVICE_SPEC_OPTIONS                                                                       \
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait until it runs" },                             \
        { "replicas", 0, OPTION_TEXT, "N",                                                         \
          "how many tasks; of a job, how often it is to complete" },                               \
        { "max-concurrent", 0, OPTION_TEXT, "N", "how many tasks of a job run at a time" },        \
        { "env", 'e', OPTION_LIST, "KEY=VALUE", "environment" },                                   \
        { "label", 'l', OPTION_LIST, "KEY=VALUE", "label of the service" },                        \
        { "container-label", 0, OPTION_LIST, "KEY=VALUE", "label of its containers" },             \
        { "publish", 'p', OPTION_LIST, "[HOSTPORT:]PORT[/udp]", "open a port on every node" },     \
        { "network", 0, OPTION_LIST, "NAME", "join a network" },                                   \
        { "mount", 0, OPTION_LIST, "type=..,source=..,target=..", "mount a volume or directory" }, \
        { "secret", 0, OPTION_LIST, "NAME", "a secret as /run/secrets/NAME" },                     \
        { "config", 0, OPTION_LIST, "NAME", "a config as /NAME" },                                 \
        { "constraint", 0, OPTION_LIST, "KEY==VALUE", "only on such nodes" },                      \
        { "placement-pref", 0, OPTION_LIST, "spread=KEY", "spread over values of a label" },       \
        { "replicas-max-per-node", 0, OPTION_TEXT, "N", "at most so many on a node" },             \
        { "limit-cpu", 0, OPTION_TEXT, "CPUS", "at most" },                                        \
        { "limit-memory", 0, OPTION_TEXT, "BYTES", "at most" },                                    \
        { "reserve-cpu", 0, OPTION_TEXT, "CPUS", "only where so much is free" },                   \
        { "reserve-memory", 0, OPTION_TEXT, "BYTES", "only where so much is free" },               \
        { "restart-condition", 0, OPTION_TEXT, "WHEN", "any, on-failure or none" },                \
        { "restart-delay", 0, OPTION_TEXT, "TIME", "before a restart" },                           \
        { "restart-max-attempts", 0, OPTION_TEXT, "N", "then give up" },                           \
        { "update-parallelism", 0, OPTION_TEXT, "N", "tasks updated at once; 0: all" },            \
        { "update-delay", 0, OPTION_TEXT, "TIME", "between them" },                                \
        { "update-order", 0, OPTION_TEXT, "ORDER", "stop-first or start-first" },                  \
        { "update-monitor", 0, OPTION_TEXT, "TIME", "how long a new task is watched" },            \
        { "update-failure-action", 0, OPTION_TEXT, "WHAT", "pause, continue or rollback" },        \
        { "health-cmd", 0, OPTION_TEXT, "COMMAND", "says whether a task is well" },                \
        { "health-interval", 0, OPTION_TEXT, "TIME", "between checks" },                           \
        { "stop-grace-period", 0, OPTION_TEXT, "TIME", "before a task is killed" },                \
        { "hostname", 0, OPTION_TEXT, "NAME", "of its containers" },                               \
        { "user", 'u', OPTION_TEXT, "USER", "who runs the command" },                              \
        { "workdir", 'w', OPTION_TEXT, "DIR", "where it runs" },                                   \
        { "read-only", 0, OPTION_FLAG, NULL, "the root file system cannot be written" },           \
    {                                                                                              \
        "endpoint-mode", 0, OPTION_TEXT, "MODE", "vip or dnsrr"                                    \
    }

/* The object at `key`, made if it is not there. Borrowed. */
json_t *spec_child(json_t *object, const char *key);

/* What an option says replaces the text at `key`; nothing happens when it was not given. */
void spec_set_text(const struct args *a, const char *option, json_t *object, const char *key);

/* The mode that `--mode` names, in a spec that has none.  ERR_INVALID: it has been printed why */
NODISCARD int service_spec_set_mode(const struct args *a, json_t *spec);

/* Changes `spec` by the options that were given. Secrets and configs are looked up by name.
 *   ERR_INVALID, ERR_NOT_FOUND: it has been printed why */
NODISCARD int service_spec_apply(struct invocation *in, json_t *spec);

#endif /* NODE_CLI_SERVICE_SPEC_H */
