/* What runs here, and what this node is. */
#include <stdio.h>
#include <string.h>

#include "node/cli/command.h"
#include "node/cli/logs.h"

static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
const struct option_def ps_options[] = {
    { "all", 'a', OPTION_FLAG, NULL, "also those that do not run" },
    LIST_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

int run_ps(struct invocation *in)
{
    static const char *const titles[] = { "ID", "NAME", "IMAGE", "STATUS", NULL };
    json_t *all = get_json(in, "/containers/json%s", args_flag(&in->args, "all") ? "?all=1" : "");
    struct listing t;

    if (all == NULL)
        return EXIT_ERROR;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i);
        const char *name = json_string_value(json_array_get(at(c, "Names"), 0));

        listing_addf(&t, "%.12s", text_at(c, "Id"));
        listing_add(&t, name == NULL ? "" : name[0] == '/' ? name + 1 : name);
        listing_add(&t, text_at(c, "Image"));
        listing_add(&t, text_at(c, "Status"));
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(all);
    return EXIT_OK;
}

static int run_info(struct invocation *in)
{
    json_t *info = get_json(in, "/info");
    int result;

    if (info == NULL)
        return EXIT_ERROR;
    result = print_inspected(info);
    json_decref(info);
    return result;
}

static int run_version(struct invocation *in)
{
    json_t *version = get_json(in, "/version");

    if (version == NULL)
        return EXIT_ERROR;
    (void)printf("shoal %s (API %s)\n", text_at(version, "Version"),
                 text_at(version, "ApiVersion"));
    json_decref(version);
    return EXIT_OK;
}

static int run_logs(struct invocation *in)
{
    return logs_run(in, "/containers");
}

static bool print_line(void *ctx, const uint8_t *bytes, size_t len)
{
    (void)ctx;
    (void)fwrite(bytes, 1, len, stdout);
    (void)fflush(stdout);
    return true;
}

static int run_events(struct invocation *in)
{
    return exit_of(client_stream(in->client, "/events", print_line, NULL));
}

const struct command system_commands[] = {
    { "ps", "", "list the containers of this node", ps_options, 0, 0, false, run_ps },
    { "logs", "CONTAINER", "show what a container of this node prints", logs_options, 1, 1, false,
      run_logs },
    { "events", "", "show what happens, as it happens", no_options, 0, 0, false, run_events },
    { "info", "", "show what this node is", no_options, 0, 0, false, run_info },
    { "version", "", "show the versions of node and API", no_options, 0, 0, false, run_version },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
