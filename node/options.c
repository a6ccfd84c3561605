#include "node/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "node/journal.h"

static const char usage[] =
    "usage: shoal daemon [OPTIONS]\n"
    "\n"
    "Runs a node. It is in no cluster until `shoal init` or `shoal join`.\n"
    "\n"
    "  --state-dir DIR      what survives reboots (/var/lib/shoal)\n"
    "  --run-dir DIR        sockets, mounts, namespaces (/run/shoal)\n"
    "  --socket PATH        the API's socket (<run-dir>/shoal.sock)\n"
    "  --hostname NAME      instead of the machine's\n"
    "  --listen ADDR:PORT   links between nodes, tcp (0.0.0.0:2377)\n"
    "  --gossip ADDR:PORT   membership, udp (0.0.0.0:7946)\n"
    "  --advertise ADDR     where other nodes reach this one (the only address, else asked for)\n"
    "  --data-port PORT     sealed container traffic, udp (7947)\n"
    "  --oci-runtime NAME   crun, runc or a path (crun)\n"
    "  --cgroup-parent PATH below which containers get their cgroups (/shoal)\n"
    "  --shut-down          run no node: stop all its containers, and its daemon\n"
    "  --log-level LEVEL    debug, info, warn, error (info)\n"
    "  --log-format FORMAT  text, json (text)\n";

enum option_id {
    OPT_STATE_DIR = 1,
    OPT_RUN_DIR,
    OPT_SOCKET,
    OPT_HOSTNAME,
    OPT_LISTEN,
    OPT_GOSSIP,
    OPT_ADVERTISE,
    OPT_DATA_PORT,
    OPT_OCI_RUNTIME,
    OPT_CGROUP_PARENT,
    OPT_SHUT_DOWN,
    OPT_LOG_LEVEL,
    OPT_LOG_FORMAT,
    OPT_HELP,
};

static int parse_port(const char *text, unsigned *out)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (*end != '\0' || port == 0 || port > 65535) {
        (void)fprintf(stderr, "shoal: --data-port %s: a port is 1 to 65535\n", text);
        return ERR_INVALID;
    }
    *out = (unsigned)port;
    return 0;
}

static int parse_level(const char *text, enum log_level *out)
{
    for (enum log_level level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_OFF; level++)
        if (strcmp(text, log_level_name(level)) == 0) {
            *out = level;
            return 0;
        }
    (void)fprintf(stderr, "shoal: --log-level %s: use debug, info, warn or error\n", text);
    return ERR_INVALID;
}

static int parse_format(const char *text, enum log_format *out)
{
    *out = strcmp(text, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    if (strcmp(text, "json") == 0 || strcmp(text, "text") == 0)
        return 0;
    (void)fprintf(stderr, "shoal: --log-format %s: use text or json\n", text);
    return ERR_INVALID;
}

static int check_path(const char *name, const char *path, size_t max)
{
    if (path[0] == '/' && strlen(path) < max)
        return 0;
    (void)fprintf(stderr, "shoal: %s %s: give an absolute path of less than %zu bytes\n", name,
                  path, max);
    return ERR_INVALID;
}

static int take(struct options *o, int id, const char *value)
{
    switch (id) {
    case OPT_STATE_DIR:
        o->state_dir = value;
        return 0;
    case OPT_RUN_DIR:
        o->run_dir = value;
        return 0;
    case OPT_SOCKET:
        o->socket = value;
        return 0;
    case OPT_HOSTNAME:
        o->hostname = value;
        return 0;
    case OPT_LISTEN:
        o->listen = value;
        return 0;
    case OPT_GOSSIP:
        o->gossip = value;
        return 0;
    case OPT_ADVERTISE:
        o->advertise = value;
        return 0;
    case OPT_DATA_PORT:
        return parse_port(value, &o->data_port);
    case OPT_OCI_RUNTIME:
        o->oci_runtime = value;
        return 0;
    case OPT_CGROUP_PARENT:
        o->cgroup_parent = value;
        return check_path("--cgroup-parent", value, OPTIONS_CGROUP_MAX);
    case OPT_SHUT_DOWN:
        o->shut_down = true;
        return 0;
    case OPT_LOG_LEVEL:
        return parse_level(value, &o->log_level);
    case OPT_LOG_FORMAT:
        return parse_format(value, &o->log_format);
    case OPT_HELP:
        (void)fputs(usage, stdout);
        return 1;
    default:
        (void)fputs(usage, stderr);
        return ERR_INVALID;
    }
}

int options_parse(int argc, char **argv, struct options *out)
{
    static const struct option longs[] = {
        { "state-dir", required_argument, NULL, OPT_STATE_DIR },
        { "run-dir", required_argument, NULL, OPT_RUN_DIR },
        { "socket", required_argument, NULL, OPT_SOCKET },
        { "hostname", required_argument, NULL, OPT_HOSTNAME },
        { "listen", required_argument, NULL, OPT_LISTEN },
        { "gossip", required_argument, NULL, OPT_GOSSIP },
        { "advertise", required_argument, NULL, OPT_ADVERTISE },
        { "data-port", required_argument, NULL, OPT_DATA_PORT },
        { "oci-runtime", required_argument, NULL, OPT_OCI_RUNTIME },
        { "cgroup-parent", required_argument, NULL, OPT_CGROUP_PARENT },
        { "shut-down", no_argument, NULL, OPT_SHUT_DOWN },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "log-format", required_argument, NULL, OPT_LOG_FORMAT },
        { "help", no_argument, NULL, OPT_HELP },
        { NULL, 0, NULL, 0 },
    };
    static char default_socket[OPTIONS_PATH_MAX + 32];
    int id, rc;

    *out = (struct options){ .state_dir = "/var/lib/shoal",
                             .run_dir = "/run/shoal",
                             .listen = "0.0.0.0:2377",
                             .gossip = "0.0.0.0:7946",
                             .data_port = 7947,
                             .log_level = LOG_LEVEL_INFO,
                             .log_format = journal_reads(STDERR_FILENO) ? LOG_FORMAT_JOURNAL
                                                                        : LOG_FORMAT_TEXT };
    optind = 1;
    while ((id = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        rc = take(out, id, optarg);
        if (rc != 0)
            return rc;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "shoal: daemon takes no argument '%s'\n", argv[optind]);
        return ERR_INVALID;
    }
    rc = check_path("--state-dir", out->state_dir, OPTIONS_PATH_MAX);
    if (rc == 0)
        rc = check_path("--run-dir", out->run_dir, OPTIONS_PATH_MAX);
    if (out->socket == NULL) {
        (void)snprintf(default_socket, sizeof(default_socket), "%s/shoal.sock", out->run_dir);
        out->socket = default_socket;
    }
    return rc == 0 ? check_path("--socket", out->socket, OPTIONS_PATH_MAX) : rc;
}
