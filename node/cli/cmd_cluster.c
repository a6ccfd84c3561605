/* init, join, leave, token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const struct command cluster_commands[] = {
    { "init", "", "make a new cluster with this node as its first manager", init_options, 0, 0,
      false, run_init },
    { "join", "ADDR:PORT..", "become a node of a cluster", join_options, 1, 16, false, run_join },
    { "leave", "", "stop this node's tasks and leave the cluster", leave_options, 0, 0, false,
      run_leave },
    { "token", "worker|manager", "show how another node joins", token_options, 1, 1, false,
      run_token },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
