/* Volumes of this node. */
#include <stdio.h>

#include "node/cli/command.h"

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def create_options[] = {
    { "label", 'l', OPTION_LIST, "KEY=VALUE", "a label" },
    { "opt", 'o', OPTION_LIST, "KEY=VALUE", "type, device and o of a mount" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def prune_options[] = {
    { "all", 'a', OPTION_FLAG, NULL, "also those with a name" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int run_create(struct invocation *in)
{
    json_t *body =
        json_pack("{s:s,s:o,s:o}", "Name", in->args.count > 0 ? in->args.positional[0] : "",
                  "Labels", pairs_of(args_list(&in->args, "label")), "DriverOpts",
                  pairs_of(args_list(&in->args, "opt")));
    json_t *created = NULL;
    int result = exit_of(call(in, "POST", body, &created, "/volumes/create"));

    if (result == EXIT_OK)
        (void)puts(text_at(created, "Name"));
    json_decref(body);
    json_decref(created);
    return result;
}

static int run_list(struct invocation *in)
{
    static const char *const titles[] = { "NAME", "DRIVER", "MOUNTPOINT", NULL };
    json_t *answer = get_json(in, "/volumes");
    const json_t *volumes = at(answer, "Volumes");
    struct listing t;

    if (answer == NULL)
        return EXIT_ERROR;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *v = json_array_get(volumes, i);

        listing_add(&t, text_at(v, "Name"));
        listing_add(&t, text_at(v, "Driver"));
        listing_add(&t, text_at(v, "Mountpoint"));
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(answer);
    return EXIT_OK;
}

static int run_inspect(struct invocation *in)
{
    return inspect_each(in, "/volumes");
}

static int run_remove(struct invocation *in)
{
    return remove_each(in, "/volumes", "");
}

static int run_prune(struct invocation *in)
{
    return prune(in, "/volumes/prune", "VolumesDeleted", args_flag(&in->args, "all") ? "all" : NULL,
                 "true");
}

const struct command volume_commands[] = {
    { "volume create", "[NAME]", "make a volume", create_options, 0, 1, false, run_create },
    { "volume ls", "", "list the volumes of this node", list_options, 0, 0, false, run_list },
    { "volume inspect", "VOLUME..", "show all that is known of volumes", no_options, 1, 64, false,
      run_inspect },
    { "volume rm", "VOLUME..", "remove volumes that no container refers to", no_options, 1, 64,
      false, run_remove },
    { "volume prune", "", "remove nameless volumes that no container refers to", prune_options, 0,
      0, false, run_prune },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
