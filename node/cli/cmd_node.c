/* Nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/command.h"

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def remove_options[] = {
    { "force", 'f', OPTION_FLAG, NULL, "also a node that is not down" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct option_def update_options[] = {
    { "availability", 0, OPTION_TEXT, "STATE", "active, pause or drain" },
    { "role", 0, OPTION_TEXT, "ROLE", "worker or manager" },
    { "label-add", 0, OPTION_LIST, "KEY=VALUE", "set a label" },
    { "label-rm", 0, OPTION_LIST, "KEY", "remove a label" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int run_list(struct invocation *in)
{
    static const char *const titles[] = {
        "ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ADDRESS", NULL
    };
    json_t *nodes = get_json(in, "/nodes"), *info;
    struct listing t;

    if (nodes == NULL)
        return EXIT_ERROR;
    info = get_json(in, "/info");
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *n = json_array_get(nodes, i);
        bool self = strcmp(text_at(n, "ID"), text_at(info, "Swarm.NodeID")) == 0;
        const char *reach = text_at(n, "ManagerStatus.Reachability");

        listing_addf(&t, "%s%s", text_at(n, "ID"),
                     self && format_of(in) == LISTING_ALIGNED ? " *" : "");
        listing_add(&t, text_at(n, "Description.Hostname"));
        listing_add(&t, text_at(n, "Status.State"));
        listing_add(&t, text_at(n, "Spec.Availability"));
        listing_add(&t, json_is_true(at(n, "ManagerStatus.Leader")) ? "leader" : reach);
        listing_add(&t, text_at(n, "Status.Addr"));
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(info);
    json_decref(nodes);
    return EXIT_OK;
}

static int run_inspect(struct invocation *in)
{
    return inspect_each(in, "/nodes");
}

static int run_remove(struct invocation *in)
{
    return remove_each(in, "/nodes", args_flag(&in->args, "force") ? "?force=1" : "");
}

/* Reads the node, lets `change` alter its spec, writes it back at the same version. */
static int update_node(struct invocation *in, const char *name,
                       void (*change)(struct invocation *in, json_t *spec))
{
    char *escaped = client_escape(in->client, name);
    json_t *node = get_json(in, "/nodes/%s", escaped);
    json_t *spec = json_object_get(node, "Spec");
    int status;

    free(escaped);
    if (spec == NULL) {
        json_decref(node);
        return EXIT_ERROR;
    }
    change(in, spec);
    status = call(in, "POST", spec, NULL, "/nodes/%s/update?version=%lld", text_at(node, "ID"),
                  (long long)number_at(node, "Version.Index"));
    json_decref(node);
    if (exit_of(status) == EXIT_OK)
        (void)puts(name);
    return exit_of(status);
}

static void change_by_options(struct invocation *in, json_t *spec)
{
    const struct str_list *removed = args_list(&in->args, "label-rm");
    json_t *labels = json_object_get(spec, "Labels"), *added;

    if (!json_is_object(labels)) {
        labels = json_object();
        (void)json_object_set_new(spec, "Labels", labels);
    }
    added = pairs_of(args_list(&in->args, "label-add"));
    (void)json_object_update(labels, added);
    json_decref(added);
    for (size_t i = 0; i < removed->count; i++)
        (void)json_object_del(labels, removed->items[i]);
    if (args_given(&in->args, "availability"))
        (void)json_object_set_new(spec, "Availability",
                                  json_string(args_text(&in->args, "availability", "")));
    if (args_given(&in->args, "role"))
        (void)json_object_set_new(spec, "Role", json_string(args_text(&in->args, "role", "")));
}

static int run_update(struct invocation *in)
{
    return update_node(in, in->args.positional[0], change_by_options);
}

static void make_manager(struct invocation *in, json_t *spec)
{
    (void)in;
    (void)json_object_set_new(spec, "Role", json_string("manager"));
}

static void make_worker(struct invocation *in, json_t *spec)
{
    (void)in;
    (void)json_object_set_new(spec, "Role", json_string("worker"));
}

static int update_each(struct invocation *in, void (*change)(struct invocation *, json_t *))
{
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++)
        if (update_node(in, in->args.positional[i], change) != EXIT_OK)
            result = EXIT_ERROR;
    return result;
}

static int run_promote(struct invocation *in)
{
    return update_each(in, make_manager);
}

static int run_demote(struct invocation *in)
{
    return update_each(in, make_worker);
}

const struct command node_commands[] = {
    { "node ls", "", "list the nodes", list_options, 0, 0, false, run_list },
    { "node inspect", "NODE..", "show all that is known of nodes", no_options, 1, 64, false,
      run_inspect },
    { "node update", "NODE", "change availability, role or labels", update_options, 1, 1, false,
      run_update },
    { "node promote", "NODE..", "make nodes managers", no_options, 1, 64, false, run_promote },
    { "node demote", "NODE..", "make managers workers", no_options, 1, 64, false, run_demote },
    { "node rm", "NODE..", "remove nodes that are down", remove_options, 1, 64, false, run_remove },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
