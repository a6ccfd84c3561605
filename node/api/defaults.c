/* node/api/defaults.c - See defaults.h. */
#include "node/api/defaults.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

/* The object at `name`, made when it is absent. NULL: out of memory. */
static json_t *child(json_t *object, const char *name)
{
    json_t *c = json_object_get(object, name);

    if (json_is_object(c))
        return c;
    return json_object_set_new(object, name, json_object()) < 0 ? NULL
                                                                : json_object_get(object, name);
}

static int add(json_t *object, const char *name, json_t *value)
{
    if (object == NULL || value == NULL || json_object_get(object, name) != NULL) {
        json_decref(value);
        return object == NULL || value == NULL ? -ENOMEM : 0;
    }
    return json_object_set_new(object, name, value) < 0 ? -ENOMEM : 0;
}

static int add_update(json_t *spec, const char *name)
{
    json_t *u = child(spec, name);

    if (add(u, "Parallelism", json_integer(1)) < 0 ||
        add(u, "FailureAction", json_string("pause")) < 0 ||
        add(u, "Monitor", json_integer(5 * SECOND)) < 0 ||
        add(u, "MaxFailureRatio", json_integer(0)) < 0 ||
        add(u, "Order", json_string("stop-first")) < 0)
        return -ENOMEM;
    return 0;
}

int defaults_insert(json_t *service)
{
    json_t *spec = child(service, "Spec");
    json_t *task = spec == NULL ? NULL : child(spec, "TaskTemplate");
    json_t *container = task == NULL ? NULL : child(task, "ContainerSpec");
    json_t *restart = task == NULL ? NULL : child(task, "RestartPolicy");
    json_t *mode = spec == NULL ? NULL : json_object_get(spec, "Mode");
    json_t *endpoint = spec == NULL ? NULL : child(spec, "EndpointSpec");
    const char *condition =
        json_object_get(mode, "ReplicatedJob") != NULL || json_object_get(mode, "GlobalJob") != NULL
            ? "on-failure"
            : "any";

    if (add(container, "StopGracePeriod", json_integer(10 * SECOND)) < 0 ||
        add(container, "DNSConfig", json_object()) < 0 ||
        add(restart, "Condition", json_string(condition)) < 0 ||
        add(restart, "Delay", json_integer(5 * SECOND)) < 0 ||
        add(restart, "MaxAttempts", json_integer(0)) < 0 ||
        add(task, "Resources", json_object()) < 0 || add(task, "Placement", json_object()) < 0 ||
        add(task, "Runtime", json_string("container")) < 0 ||
        add(endpoint, "Mode", json_string("vip")) < 0)
        return -ENOMEM;
    if (strcmp(condition, "any") != 0)
        return 0; /* jobs are not updated bit by bit */
    return add_update(spec, "UpdateConfig") < 0 || add_update(spec, "RollbackConfig") < 0 ? -ENOMEM
                                                                                          : 0;
}
