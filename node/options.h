/* node/options.h - What `shoal daemon` was told on its command line. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/log.h"

#define OPTIONS_PATH_MAX   3072
#define OPTIONS_CGROUP_MAX 200 /* what runtime_open takes */

struct options {
    const char *state_dir; /* survives reboots */
    const char *run_dir;   /* tmpfs */
    const char *socket;    /* of the API */
    const char *hostname;  /* NULL = the machine's */
    const char *listen;    /* links: "0.0.0.0:2377" */
    const char *gossip;    /* "0.0.0.0:7946" */
    const char *advertise; /* address without port that others reach; NULL = chosen */
    unsigned data_port;    /* sealed container traffic, udp */
    const char *oci_runtime;
    const char *cgroup_parent; /* of every container; NULL = the runtime's choice */
    bool shut_down;            /* be no daemon: stop all containers */
    enum log_level log_level;
    enum log_format log_format;
};

/* Borrows from argv. Prints usage or what is wrong by itself.
 *   returns 0: run; 1: --help was answered, exit 0; ERR_INVALID: exit 2 */
NODISCARD int options_parse(int argc, char **argv, struct options *out);

#endif /* NODE_OPTIONS_H */
