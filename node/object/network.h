/* node/object/network.h - A network that containers of several hosts share. */
#ifndef NODE_OBJECT_NETWORK_H
#define NODE_OBJECT_NETWORK_H

#include "node/object/common.h"

#define SUBNET_CONFIG_FIELDS(X, S)                       \
    X(S, 1, STR, LEN(64), subnet, "Subnet", OPTIONAL)    \
    X(S, 2, STR, LEN(64), ip_range, "IPRange", OPTIONAL) \
    X(S, 3, STR, LEN(64), gateway, "Gateway", OPTIONAL)  \
    X(S, 4, MAP_STR, COUNT(64), auxiliary, "AuxiliaryAddresses", OPTIONAL)
FIELDS_STRUCT(subnet_config, SUBNET_CONFIG_FIELDS);

#define IPAM_OPTIONS_FIELDS(X, S)                                                  \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), driver, "Driver", OPTIONAL)             \
    X(S, 2, LIST, OF(subnet_config, OBJECT_LIST_MAX), configs, "Config", OPTIONAL) \
    X(S, 3, MAP_STR, COUNT(OBJECT_LABELS_MAX), options, "Options", OPTIONAL)
FIELDS_STRUCT(ipam_options, IPAM_OPTIONS_FIELDS);

#define NETWORK_SPEC_FIELDS(X, S)                                                    \
    X(S, 1, STR, LEN(1, OBJECT_NAME_LEN_MAX), name, "Name", REQUIRED)                \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", OPTIONAL)           \
    X(S, 3, STR, LEN(OBJECT_NAME_LEN_MAX), driver, "Driver", OPTIONAL) /* overlay */ \
    X(S, 4, MAP_STR, COUNT(OBJECT_LABELS_MAX), options, "Options", OPTIONAL)         \
    X(S, 5, BOOL, ANY, enable_ipv6, "EnableIPv6", OPTIONAL)                          \
    X(S, 6, BOOL, ANY, internal, "Internal", OPTIONAL)                               \
    X(S, 7, BOOL, ANY, attachable, "Attachable", OPTIONAL)                           \
    X(S, 8, BOOL, ANY, ingress, "Ingress", OPTIONAL)                                 \
    X(S, 9, OPT, ipam_options, ipam, "IPAM", OPTIONAL)                               \
    X(S, 10, STR, LEN(16), scope, "Scope", OPTIONAL)                                 \
    X(S, 11, BOOL, ANY, check_duplicate, "CheckDuplicate", OPTIONAL)
FIELDS_STRUCT(network_spec, NETWORK_SPEC_FIELDS);

#define NETWORK_FIELDS(X, S)                                                                     \
    OBJECT_HEAD_FIELDS(X, S)                                                                     \
    X(S, 5, STRUCT, network_spec, spec, "Spec", ALWAYS)                                          \
    X(S, 6, U32, RANGE(0, 16777215), vni, NULL, OPTIONAL)                                        \
    X(S, 7, LIST, OF(subnet_config, OBJECT_LIST_MAX), subnets, NULL,                             \
      OPTIONAL)                                        /* as allocated: always with a gateway */ \
    X(S, 8, BOOL, ANY, encrypted, NULL, OPTIONAL)      /* unless switched off by an option */    \
    X(S, 9, U32, RANGE(0, 65535), mtu, NULL, OPTIONAL) /* inner; 0 = from the path */            \
    X(S, 10, BOOL, ANY, pending_delete, NULL, OPTIONAL)
FIELDS_STRUCT(network, NETWORK_FIELDS);

#endif /* NODE_OBJECT_NETWORK_H */
