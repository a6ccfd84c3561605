/* Networks. */
#include <stdio.h>
#include <string.h>

#include "node/cli/command.h"
#include "node/cli/spec_value.h"

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def create_options[] = {
    { "driver", 'd', OPTION_TEXT, "DRIVER", "overlay" },
    { "subnet", 0, OPTION_LIST, "CIDR", "instead of one from the pool; one of IPv4, one of IPv6" },
    { "gateway", 0, OPTION_LIST, "ADDRESS", "in the subnet, instead of its first address" },
    { "internal", 0, OPTION_FLAG, NULL, "no way out of the cluster" },
    { "ipv6", 0, OPTION_FLAG, NULL, "also IPv6 addresses" },
    { "attachable", 0, OPTION_FLAG, NULL, "accepted for compatibility" },
    { "opt", 'o', OPTION_LIST, "KEY=VALUE", "encrypted=false carries it in clear" },
    { "label", 0, OPTION_LIST, "KEY=VALUE", "label of the network" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* The subnet of the same family that has no gateway yet. */
static json_t *subnet_of(json_t *configs, const char *gateway)
{
    bool wants_ip6 = strchr(gateway, ':') != NULL;

    for (size_t i = 0; i < json_array_size(configs); i++) {
        json_t *config = json_array_get(configs, i);
        bool is_ip6 = strchr(text_at(config, "Subnet"), ':') != NULL;

        if (json_object_get(config, "Gateway") == NULL && is_ip6 == wants_ip6)
            return config;
    }
    return NULL;
}

static int set_subnets(const struct args *a, json_t *body)
{
    const struct str_list *subnets = args_list(a, "subnet"), *gateways = args_list(a, "gateway");

    if (subnets->count > 0)
        spec_put(body, "IPAM.Driver", json_string("default"));
    for (size_t i = 0; i < subnets->count; i++)
        (void)json_array_append_new(spec_array(body, "IPAM.Config"),
                                    json_pack("{s:s}", "Subnet", subnets->items[i]));
    for (size_t i = 0; i < gateways->count; i++) {
        json_t *config = subnet_of(spec_at(body, "IPAM.Config"), gateways->items[i]);

        if (config == NULL)
            return spec_refuse("gateway", gateways->items[i],
                               "give the --subnet that it is in, and one gateway for each");
        spec_put(config, "Gateway", json_string(gateways->items[i]));
    }
    return 0;
}

static int run_create(struct invocation *in)
{
    const struct args *a = &in->args;
    json_t *body = json_pack(
        "{s:s, s:s, s:b, s:b, s:b, s:o, s:o}", "Name", a->positional[0], "Driver",
        args_text(a, "driver", "overlay"), "Internal", args_flag(a, "internal"), "EnableIPv6",
        args_flag(a, "ipv6"), "Attachable", args_flag(a, "attachable"), "Options",
        pairs_of(args_list(a, "opt")), "Labels", pairs_of(args_list(a, "label")));
    json_t *answer = NULL;
    int result = set_subnets(a, body) < 0 ? EXIT_USAGE : EXIT_OK;

    if (result == EXIT_OK)
        result = exit_of(call(in, "POST", body, &answer, "/networks/create"));
    if (result == EXIT_OK)
        (void)puts(text_at(answer, "Id"));
    json_decref(body);
    json_decref(answer);
    return result;
}

static int run_list(struct invocation *in)
{
    static const char *const titles[] = { "ID", "NAME", "DRIVER", "SUBNET", "ENCRYPTED", NULL };
    json_t *networks = get_json(in, "/networks");
    struct listing t;

    if (networks == NULL)
        return EXIT_ERROR;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(networks); i++) {
        const json_t *n = json_array_get(networks, i);
        const char *encrypted = text_at(n, "Options.encrypted");

        if (strcmp(text_at(n, "Scope"), "swarm") != 0)
            continue;
        listing_addf(&t, "%.12s", text_at(n, "Id"));
        listing_add(&t, text_at(n, "Name"));
        listing_add(&t, text_at(n, "Driver"));
        listing_add(&t, text_at(json_array_get(at(n, "IPAM.Config"), 0), "Subnet"));
        listing_add(&t, strcmp(encrypted, "false") == 0 ? "no" : "yes");
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(networks);
    return EXIT_OK;
}

static int run_inspect(struct invocation *in)
{
    return inspect_each(in, "/networks");
}

static int run_remove(struct invocation *in)
{
    return remove_each(in, "/networks", "");
}

const struct command network_commands[] = {
    { "network create", "NAME", "make a network that spans the cluster, encrypted", create_options,
      1, 1, false, run_create },
    { "network ls", "", "list the networks", list_options, 0, 0, false, run_list },
    { "network inspect", "NETWORK..", "show all that is known of networks", no_options, 1, 64,
      false, run_inspect },
    { "network rm", "NETWORK..", "remove networks", no_options, 1, 64, false, run_remove },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
