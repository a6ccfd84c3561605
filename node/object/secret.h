/* node/object/secret.h - Secrets and configs: bytes that tasks get as files. */
#ifndef NODE_OBJECT_SECRET_H
#define NODE_OBJECT_SECRET_H

#include "node/object/common.h"

#define SECRET_DATA_LEN_MAX (500 * 1024)
#define CONFIG_DATA_LEN_MAX (1000 * 1024)

/* Data is written by clients and never given back to them. */
#define SECRET_SPEC_FIELDS(X, S)                                             \
    X(S, 1, STR, LEN(1, 64), name, "Name", REQUIRED)                         \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", ALWAYS)     \
    X(S, 3, BYTES, LEN(SECRET_DATA_LEN_MAX), data, "Data", SECRET(OPTIONAL)) \
    X(S, 4, OPT, driver, driver, "Driver", OPTIONAL)                         \
    X(S, 5, OPT, driver, templating, "Templating", OPTIONAL)
FIELDS_STRUCT(secret_spec, SECRET_SPEC_FIELDS);

#define SECRET_FIELDS(X, S)  \
    OBJECT_HEAD_FIELDS(X, S) \
    X(S, 5, STRUCT, secret_spec, spec, "Spec", ALWAYS)
FIELDS_STRUCT(secret, SECRET_FIELDS);

#define CONFIG_SPEC_FIELDS(X, S)                                         \
    X(S, 1, STR, LEN(1, 64), name, "Name", REQUIRED)                     \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", ALWAYS) \
    X(S, 3, BYTES, LEN(CONFIG_DATA_LEN_MAX), data, "Data", OPTIONAL)     \
    X(S, 4, OPT, driver, templating, "Templating", OPTIONAL)
FIELDS_STRUCT(config_spec, CONFIG_SPEC_FIELDS);

#define CONFIG_FIELDS(X, S)  \
    OBJECT_HEAD_FIELDS(X, S) \
    X(S, 5, STRUCT, config_spec, spec, "Spec", ALWAYS)
FIELDS_STRUCT(config, CONFIG_FIELDS);

#endif /* NODE_OBJECT_SECRET_H */
