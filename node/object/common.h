/* node/object/common.h - What several object types share.
 *
 * JSON names are those of the Docker Engine API; a NULL name is ours alone and never
 * leaves the cluster. Tags are forever. */
#ifndef NODE_OBJECT_COMMON_H
#define NODE_OBJECT_COMMON_H

#include "base/fields.h"

/* Bounds of one object. No object holds an unbounded list. */
#define OBJECT_NAME_LEN_MAX 63
#define OBJECT_TEXT_LEN_MAX 4096
#define OBJECT_LABELS_MAX   256
#define OBJECT_LIST_MAX     1024

/* The raft index of the entry that last changed the object; 0 = never stored. */
#define VERSION_FIELDS(X, S) X(S, 1, U64, ANY, index, "Index", ALWAYS)
FIELDS_STRUCT(version, VERSION_FIELDS);

/* How every object begins, so that code which serves all of them can use struct object. */
#define OBJECT_HEAD_FIELDS(X, S)                         \
    X(S, 1, ID, ANY, id, "ID", REQUIRED)                 \
    X(S, 2, STRUCT, version, version, "Version", ALWAYS) \
    X(S, 3, TIME, ANY, created_at, "CreatedAt", ALWAYS)  \
    X(S, 4, TIME, ANY, updated_at, "UpdatedAt", ALWAYS)
FIELDS_STRUCT(object, OBJECT_HEAD_FIELDS);

/* A driver by name, with options: logging, networks, address management. */
#define DRIVER_FIELDS(X, S)                                        \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), name, "Name", OPTIONAL) \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), options, "Options", OPTIONAL)
FIELDS_STRUCT(driver, DRIVER_FIELDS);

#define PLATFORM_FIELDS(X, S)                                     \
    X(S, 1, STR, LEN(32), architecture, "Architecture", OPTIONAL) \
    X(S, 2, STR, LEN(32), os, "OS", OPTIONAL)
FIELDS_STRUCT(platform, PLATFORM_FIELDS);

#define NAMED_RESOURCE_FIELDS(X, S)                                \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), kind, "Kind", REQUIRED) \
    X(S, 2, STR, LEN(256), value, "Value", REQUIRED)
FIELDS_STRUCT(named_resource, NAMED_RESOURCE_FIELDS);

#define DISCRETE_RESOURCE_FIELDS(X, S)                             \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), kind, "Kind", REQUIRED) \
    X(S, 2, I64, RANGE(0, INT64_MAX), value, "Value", REQUIRED)
FIELDS_STRUCT(discrete_resource, DISCRETE_RESOURCE_FIELDS);

/* One of the two: a GPU by its name, or three SSDs. */
#define GENERIC_RESOURCE_FIELDS(X, S)                                  \
    X(S, 1, OPT, named_resource, named, "NamedResourceSpec", OPTIONAL) \
    X(S, 2, OPT, discrete_resource, discrete, "DiscreteResourceSpec", OPTIONAL)
FIELDS_STRUCT(generic_resource, GENERIC_RESOURCE_FIELDS);

#define RESOURCES_FIELDS(X, S)                                               \
    X(S, 1, I64, RANGE(0, INT64_MAX), nano_cpus, "NanoCPUs", OPTIONAL)       \
    X(S, 2, I64, RANGE(0, INT64_MAX), memory_bytes, "MemoryBytes", OPTIONAL) \
    X(S, 3, LIST, OF(generic_resource, OBJECT_LIST_MAX), generic, "GenericResources", OPTIONAL)
FIELDS_STRUCT(resources, RESOURCES_FIELDS);

/* --- Published ports: of a service, and of a task with host mode. */
#define PORT_PROTOCOL_LIST(E) \
    E(PORT_TCP, 0, "tcp")     \
    E(PORT_UDP, 1, "udp")
FIELDS_ENUM(port_protocol, PORT_PROTOCOL_LIST);

#define PUBLISH_MODE_LIST(E)                                  \
    E(PUBLISH_INGRESS, 0, "ingress") /* open on every node */ \
    E(PUBLISH_HOST, 1, "host")       /* open on the task's own node */
FIELDS_ENUM(publish_mode, PUBLISH_MODE_LIST);

#define PORT_FIELDS(X, S)                                                                       \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), name, "Name", OPTIONAL)                              \
    X(S, 2, ENUM, port_protocol, protocol, "Protocol", ALWAYS)                                  \
    X(S, 3, U32, RANGE(1, 65535), target_port, "TargetPort", REQUIRED)                          \
    X(S, 4, U32, RANGE(0, 65535), published_port, "PublishedPort", OPTIONAL) /* 0 = any free */ \
    X(S, 5, ENUM, publish_mode, publish_mode, "PublishMode", ALWAYS)
FIELDS_STRUCT(port, PORT_FIELDS);

/* A service's or task's wish to be on a network. */
#define NETWORK_TARGET_FIELDS(X, S)                                                                \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), target, "Target", REQUIRED) /* id, or name in a spec */ \
    X(S, 2, LIST_STR, COUNT(64), aliases, "Aliases", OPTIONAL)                                     \
    X(S, 3, MAP_STR, COUNT(OBJECT_LABELS_MAX), driver_opts, "DriverOpts", OPTIONAL)
FIELDS_STRUCT(network_target, NETWORK_TARGET_FIELDS);

#endif /* NODE_OBJECT_COMMON_H */
