/* init, join, leave, token, ca, update. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time_text.h"
#include "node/cli/command.h"

static const struct option_def init_options[] = {
    { "advertise-addr", 0, OPTION_TEXT, "ADDR", "where other nodes reach this one" },
    { "availability", 0, OPTION_TEXT, "STATE", "active, pause or drain" },
    { "default-addr-pool", 0, OPTION_LIST, "CIDR", "pool that networks are cut from" },
    { "default-addr-pool-mask-length", 0, OPTION_TEXT, "BITS", "size of such a network (24)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def join_options[] = {
    { "token", 0, OPTION_TEXT, "TOKEN", "printed by `shoal token` on a manager" },
    { "advertise-addr", 0, OPTION_TEXT, "ADDR", "where other nodes reach this one" },
    { "availability", 0, OPTION_TEXT, "STATE", "active, pause or drain" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def leave_options[] = {
    { "force", 'f', OPTION_FLAG, NULL, "also a manager" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def token_options[] = {
    { "quiet", 'q', OPTION_FLAG, NULL, "the token alone" },
    { "rotate", 0, OPTION_FLAG, NULL, "make a new one; the old one is refused from then on" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def ca_options[] = {
    { "rotate", 0, OPTION_FLAG, NULL, "make a new root; every node gets a certificate of it" },
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait for the nodes" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def update_options[] = {
    { "cert-expiry", 0, OPTION_TEXT, "TIME", "validity of certificates of nodes (2160h)" },
    { "gossip-key-period", 0, OPTION_TEXT, "TIME", "how often the key of gossip changes (12h)" },
    { "task-history-limit", 0, OPTION_TEXT, "N", "tasks kept of each slot (5)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static void print_join_command(struct invocation *in, const char *role, const char *token)
{
    json_t *info = get_json(in, "/info");
    const json_t *managers = at(info, "Swarm.RemoteManagers");
    const char *node = text_at(info, "Swarm.NodeID"), *addr = "";

    for (size_t i = 0; i < json_array_size(managers); i++)
        if (strcmp(text_at(json_array_get(managers, i), "NodeID"), node) == 0 || *addr == '\0')
            addr = text_at(json_array_get(managers, i), "Addr");
    (void)printf("To add a %s, run this on it:\n\n    shoal join --token %s %s\n\n", role, token,
                 addr);
    json_decref(info);
}

static int run_init(struct invocation *in)
{
    const struct str_list *pools = args_list(&in->args, "default-addr-pool");
    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:o, s:i, s:{}}", "ListenAddr", "", "AdvertiseAddr",
        args_text(&in->args, "advertise-addr", ""), "Availability",
        args_text(&in->args, "availability", ""), "DefaultAddrPool", texts_of(pools), "SubnetSize",
        (int)strtol(args_text(&in->args, "default-addr-pool-mask-length", "24"), NULL, 10), "Spec");
    json_t *id = NULL, *swarm;
    int status = call(in, "POST", body, &id, "/swarm/init");

    json_decref(body);
    if (exit_of(status) != EXIT_OK)
        return EXIT_ERROR;
    (void)printf("Cluster initialised: this node (%s) is its first manager.\n\n",
                 json_string_value(id) == NULL ? "" : json_string_value(id));
    swarm = get_json(in, "/swarm");
    if (swarm != NULL) {
        print_join_command(in, "worker", text_at(swarm, "JoinTokens.Worker"));
        (void)printf("`shoal token manager` prints how to add a manager.\n");
    }
    json_decref(swarm);
    json_decref(id);
    return EXIT_OK;
}

static int run_join(struct invocation *in)
{
    json_t *remotes = json_array(), *body, *info;
    int status;

    if (!args_given(&in->args, "token")) {
        (void)fputs("shoal: join needs --token: `shoal token worker` on a manager prints it\n",
                    stderr);
        json_decref(remotes);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < in->args.count; i++)
        (void)json_array_append_new(remotes, json_string(in->args.positional[i]));
    body = json_pack("{s:s, s:s, s:s, s:s, s:o}", "ListenAddr", "", "AdvertiseAddr",
                     args_text(&in->args, "advertise-addr", ""), "Availability",
                     args_text(&in->args, "availability", ""), "JoinToken",
                     args_text(&in->args, "token", ""), "RemoteAddrs", remotes);
    status = call(in, "POST", body, NULL, "/swarm/join");
    json_decref(body);
    if (exit_of(status) != EXIT_OK)
        return EXIT_ERROR;
    info = get_json(in, "/info");
    (void)printf("This node joined the cluster as node %s.\n", text_at(info, "Swarm.NodeID"));
    json_decref(info);
    return EXIT_OK;
}

static int run_leave(struct invocation *in)
{
    int status = call(in, "POST", NULL, NULL, "/swarm/leave%s",
                      args_flag(&in->args, "force") ? "?force=1" : "");

    if (exit_of(status) == EXIT_OK)
        (void)puts("This node left the cluster.");
    return exit_of(status);
}

static int rotate(struct invocation *in, const char *role)
{
    json_t *swarm = get_json(in, "/swarm");
    int status;

    if (swarm == NULL)
        return EXIT_ERROR;
    status =
        call(in, "POST", at(swarm, "Spec"), NULL, "/swarm/update?version=%lld&rotate%sToken=true",
             (long long)number_at(swarm, "Version.Index"),
             strcmp(role, "manager") == 0 ? "Manager" : "Worker");
    json_decref(swarm);
    return exit_of(status);
}

static int run_token(struct invocation *in)
{
    const char *role = in->args.positional[0];
    json_t *swarm;
    const char *token;

    if (strcmp(role, "worker") != 0 && strcmp(role, "manager") != 0) {
        (void)fprintf(stderr, "shoal: token %s: there are tokens for worker and for manager\n",
                      role);
        return EXIT_USAGE;
    }
    if (args_flag(&in->args, "rotate") && rotate(in, role) != EXIT_OK)
        return EXIT_ERROR;
    swarm = get_json(in, "/swarm");
    if (swarm == NULL)
        return EXIT_ERROR;
    token =
        text_at(swarm, strcmp(role, "manager") == 0 ? "JoinTokens.Manager" : "JoinTokens.Worker");
    if (args_flag(&in->args, "quiet"))
        (void)puts(token);
    else
        print_join_command(in, role, token);
    json_decref(swarm);
    return EXIT_OK;
}

/* --- The authority's root */

#define POLL_NS 200000000

/* How far a rotation is. `waiting` names the nodes that hold it up. */
static size_t count_renewed(const json_t *swarm, const json_t *nodes, char *waiting, size_t len)
{
    const char *root = text_at(swarm, "TLSInfo.TrustRoot");
    size_t renewed = 0, used = 0;

    waiting[0] = '\0';
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *n = json_array_get(nodes, i);

        if (strcmp(text_at(n, "Description.TLSInfo.TrustRoot"), root) == 0)
            renewed++;
        else if (used < len)
            used +=
                (size_t)snprintf(waiting + used, len - used, "%s%s (%s)", used == 0 ? "" : ", ",
                                 text_at(n, "Description.Hostname"), text_at(n, "Status.State"));
    }
    return renewed;
}

/* Prints what has changed. Returns EXIT_OK when it is over, EXIT_ERROR, or -1: go on. */
static int look_at_rotation(struct invocation *in, char *said, size_t len)
{
    json_t *swarm = get_json(in, "/swarm");
    json_t *nodes = swarm == NULL ? NULL : get_json(in, "/nodes");
    char waiting[512], line[640];
    int status = -1;

    if (nodes == NULL) {
        json_decref(swarm);
        return EXIT_ERROR;
    }
    (void)snprintf(line, sizeof(line), "%zu of %zu nodes have a certificate of the new root",
                   count_renewed(swarm, nodes, waiting, sizeof(waiting)), json_array_size(nodes));
    if (waiting[0] != '\0')
        (void)snprintf(line + strlen(line), sizeof(line) - strlen(line), "; waiting for %.500s",
                       waiting);
    if (strcmp(line, said) != 0)
        (void)puts(line);
    (void)fflush(stdout); /* people watch it */
    (void)snprintf(said, len, "%s", line);
    if (!json_is_true(at(swarm, "RootRotationInProgress")))
        status = EXIT_OK;
    json_decref(nodes);
    json_decref(swarm);
    return status;
}

static int wait_for_rotation(struct invocation *in)
{
    const struct timespec pause = { .tv_nsec = POLL_NS };
    char said[640] = "";
    int status;

    while ((status = look_at_rotation(in, said, sizeof(said))) == -1)
        (void)nanosleep(&pause, NULL); /* a signal ends the program anyhow */
    return status;
}

static int ask_for_rotation(struct invocation *in)
{
    json_t *swarm = get_json(in, "/swarm"), *ca;
    int status;

    if (swarm == NULL)
        return EXIT_ERROR;
    ca = json_object_get(json_object_get(swarm, "Spec"), "CAConfig");
    (void)json_object_set_new(ca, "ForceRotate", json_integer(number_at(ca, "ForceRotate") + 1));
    status = call(in, "POST", at(swarm, "Spec"), NULL, "/swarm/update?version=%lld",
                  (long long)number_at(swarm, "Version.Index"));
    json_decref(swarm);
    return exit_of(status);
}

static int show_root(struct invocation *in)
{
    json_t *swarm = get_json(in, "/swarm");
    char said[640] = "";
    int status = EXIT_OK;

    if (swarm == NULL)
        return EXIT_ERROR;
    (void)fputs(text_at(swarm, "TLSInfo.TrustRoot"), stdout);
    if (json_is_true(at(swarm, "RootRotationInProgress"))) {
        (void)puts("\nThe root is being rotated:");
        status = look_at_rotation(in, said, sizeof(said)) == EXIT_ERROR ? EXIT_ERROR : EXIT_OK;
    }
    json_decref(swarm);
    return status;
}

static int run_ca(struct invocation *in)
{
    int status;

    if (!args_flag(&in->args, "rotate"))
        return show_root(in);
    status = ask_for_rotation(in);
    if (status != EXIT_OK || args_flag(&in->args, "detach"))
        return status;
    status = wait_for_rotation(in);
    if (status == EXIT_OK)
        (void)puts("The old root is not trusted any more; join tokens have changed with it.");
    return status;
}

/* --- Settings */

static int usage(const char *option, const char *text)
{
    (void)fprintf(stderr, "shoal: --%s %s: write a length of time such as 12h\n", option, text);
    return EXIT_USAGE;
}

static int change_settings(struct invocation *in, json_t *spec)
{
    const char *expiry = args_text(&in->args, "cert-expiry", NULL);
    const char *history = args_text(&in->args, "task-history-limit", NULL);
    int64_t ns;

    if (expiry != NULL) {
        if (duration_parse(slice_of_str(expiry), &ns) < 0)
            return usage("cert-expiry", expiry);
        (void)json_object_set_new(json_object_get(spec, "CAConfig"), "NodeCertExpiry",
                                  json_integer(ns));
    }
    if (history != NULL)
        (void)json_object_set_new(json_object_get(spec, "Orchestration"),
                                  "TaskHistoryRetentionLimit",
                                  json_integer(strtoll(history, NULL, 10)));
    return EXIT_OK;
}

/* The period is no setting of Docker's, and has a request of its own. */
static int post_settings(struct invocation *in, const char *query)
{
    json_t *swarm = get_json(in, "/swarm");
    json_t *spec = json_object_get(swarm, "Spec");
    int status;

    if (swarm == NULL)
        return EXIT_ERROR;
    status = change_settings(in, spec);
    if (status == EXIT_OK)
        status = exit_of(call(in, "POST", spec, NULL, "/swarm/update?version=%lld%s",
                              (long long)number_at(swarm, "Version.Index"), query));
    json_decref(swarm);
    return status;
}

static int run_update(struct invocation *in)
{
    const char *period = args_text(&in->args, "gossip-key-period", NULL);
    char query[128];
    int64_t ns;
    int status;

    if (period != NULL && duration_parse(slice_of_str(period), &ns) < 0)
        return usage("gossip-key-period", period);
    status = post_settings(in, "");
    if (status != EXIT_OK || period == NULL)
        return status;
    (void)snprintf(query, sizeof(query), "&gossipKeyPeriod=%.64s", period);
    return post_settings(in, query);
}

const struct command cluster_commands[] = {
    { "init", "", "make a new cluster with this node as its first manager", init_options, 0, 0,
      false, run_init },
    { "join", "ADDR:PORT..", "become a node of a cluster", join_options, 1, 16, false, run_join },
    { "leave", "", "stop this node's tasks and leave the cluster", leave_options, 0, 0, false,
      run_leave },
    { "token", "worker|manager", "show how another node joins", token_options, 1, 1, false,
      run_token },
    { "ca", "", "show the root of the cluster's authority, or change it", ca_options, 0, 0, false,
      run_ca },
    { "update", "", "change settings of the cluster", update_options, 0, 0, false, run_update },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
