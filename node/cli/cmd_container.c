/* Containers of this node, whether a service's or on their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/command.h"
#include "node/cli/logs.h"
#include "runtime/runtime.h"

#define STATE_DIR_DEFAULT "/var/lib/shoal"

static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };

/* POST /containers/NAME/<action>?<query>; what it answers, or NULL. */
static int act_on(struct invocation *in, const char *name, const char *action, const char *query,
                  json_t **out)
{
    char *escaped = client_escape(in->client, name);
    int status = call(in, "POST", NULL, out, "/containers/%s/%s%s", escaped == NULL ? "" : escaped,
                      action, query);

    free(escaped);
    return exit_of(status);
}

/* --- Logs, also without a daemon */

static const struct option_def container_logs_options[] = {
    LOGS_OPTIONS,
    { "offline", 0, OPTION_FLAG, NULL, "read the files; for when the daemon is down" },
    { "state-dir", 0, OPTION_TEXT, "DIR", "then, where the daemon keeps them (/var/lib/shoal)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static void print_record(void *owner, enum stream_source source, wall_ns time, struct slice text,
                         bool partial)
{
    (void)owner;
    (void)time;
    (void)partial;
    (void)fwrite(text.ptr, 1, text.len, source == STREAM_STDERR ? stderr : stdout);
}

static int run_offline(struct invocation *in)
{
    const char *tail = args_text(&in->args, "tail", "all");
    struct logs_options options = { .tail = LOGS_TAIL_ALL };
    char message[RUNTIME_MESSAGE_MAX], dir[PATH_MAX_LEN];

    if (strcmp(tail, "all") != 0)
        options.tail = strtoull(tail, NULL, 10);
    (void)snprintf(dir, sizeof(dir), "%.900s/runtime",
                   args_text(&in->args, "state-dir", STATE_DIR_DEFAULT));
    if (runtime_logs_offline(dir, in->args.positional[0], &options, print_record, NULL, message) ==
        0)
        return EXIT_OK;
    (void)fprintf(stderr, "shoal: %s\n", message);
    return EXIT_ERROR;
}

static int run_logs(struct invocation *in)
{
    return args_flag(&in->args, "offline") ? run_offline(in) : logs_run(in, "/containers");
}

/* --- The others */

static int act_on_each(struct invocation *in, const char *action, const char *query)
{
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        if (act_on(in, in->args.positional[i], action, query, NULL) == EXIT_OK)
            (void)puts(in->args.positional[i]);
        else
            result = EXIT_ERROR;
    }
    return result;
}

static const struct option_def stop_options[] = {
    { "time", 't', OPTION_TEXT, "SECONDS", "before it is killed" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int run_stop(struct invocation *in)
{
    char query[64];

    (void)snprintf(query, sizeof(query), "?t=%.20s", args_text(&in->args, "time", ""));
    return act_on_each(in, "stop", query);
}

static int run_restart(struct invocation *in)
{
    char query[64];

    (void)snprintf(query, sizeof(query), "?t=%.20s", args_text(&in->args, "time", ""));
    return act_on_each(in, "restart", query);
}

static const struct option_def kill_options[] = {
    { "signal", 's', OPTION_TEXT, "SIGNAL", "instead of KILL" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int run_kill(struct invocation *in)
{
    char query[64];

    (void)snprintf(query, sizeof(query), "?signal=%.32s", args_text(&in->args, "signal", "KILL"));
    return act_on_each(in, "kill", query);
}

static int run_pause(struct invocation *in)
{
    return act_on_each(in, "pause", "");
}

static int run_unpause(struct invocation *in)
{
    return act_on_each(in, "unpause", "");
}

static int run_wait(struct invocation *in)
{
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        json_t *end = NULL;

        if (act_on(in, in->args.positional[i], "wait", "", &end) == EXIT_OK)
            (void)printf("%d\n", (int)number_at(end, "StatusCode"));
        else
            result = EXIT_ERROR;
        json_decref(end);
    }
    return result;
}

static const struct option_def prune_options[] = {
    { "until", 0, OPTION_TEXT, "TIME", "only what ended before, or so long ago: 24h" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct option_def remove_options[] = {
    { "force", 'f', OPTION_FLAG, NULL, "also when it runs" },
    { "volumes", 'v', OPTION_FLAG, NULL, "and its anonymous volumes" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int run_remove(struct invocation *in)
{
    char query[64];

    (void)snprintf(query, sizeof(query), "?force=%d&v=%d", args_flag(&in->args, "force"),
                   args_flag(&in->args, "volumes"));
    return remove_each(in, "/containers", query);
}

static int run_prune(struct invocation *in)
{
    const char *until = args_text(&in->args, "until", NULL);

    return prune(in, "/containers/prune", "ContainersDeleted", until == NULL ? NULL : "until",
                 until);
}

static int run_inspect(struct invocation *in)
{
    json_t *all = json_array();
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        char *name = client_escape(in->client, in->args.positional[i]);
        json_t *one = get_json(in, "/containers/%s/json", name == NULL ? "" : name);

        free(name);
        if (one == NULL || json_array_append_new(all, one) < 0)
            result = EXIT_ERROR;
    }
    (void)print_inspected(all);
    json_decref(all);
    return result;
}

static void add_stats(struct listing *t, const json_t *c, const json_t *s)
{
    const json_t *net = at(at(s, "networks"), "eth0");

    listing_addf(t, "%.12s", text_at(c, "Id"));
    listing_add(t, text_at(s, "name")[0] == '/' ? text_at(s, "name") + 1 : text_at(s, "name"));
    listing_addf(t, "%.2f s", (double)number_at(s, "cpu_stats.cpu_usage.total_usage") / 1e9);
    listing_addf(t, "%.1f MiB", (double)number_at(s, "memory_stats.usage") / (double)MIB);
    listing_addf(t, "%.1f / %.1f kB", (double)number_at(net, "rx_bytes") / 1e3,
                 (double)number_at(net, "tx_bytes") / 1e3);
    listing_addf(t, "%d", (int)number_at(s, "pids_stats.current"));
}

static const struct option_def stats_options[] = { LIST_OPTIONS,
                                                   { NULL, 0, OPTION_FLAG, NULL, NULL } };

/* Of all that run, or of those that are named; one reading. */
static int run_stats(struct invocation *in)
{
    static const char *const titles[] = { "ID",      "NAME",      "CPU TIME", "MEMORY",
                                          "NET I/O", "PROCESSES", NULL };
    json_t *all = in->args.count > 0 ? json_array() : get_json(in, "/containers/json");
    int result = all == NULL ? EXIT_ERROR : EXIT_OK;
    struct listing t;

    for (size_t i = 0; i < in->args.count; i++)
        (void)json_array_append_new(all, json_pack("{s:s}", "Id", in->args.positional[i]));
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i);
        char *id = client_escape(in->client, text_at(c, "Id"));
        json_t *s =
            get_json(in, "/containers/%s/stats?stream=false&one-shot=true", id == NULL ? "" : id);

        free(id);
        if (s == NULL)
            result = EXIT_ERROR;
        else
            add_stats(&t, c, s);
        json_decref(s);
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(all);
    return result;
}

const struct command container_commands[] = {
    { "container ps", "", "list the containers of this node", ps_options, 0, 0, false, run_ps },
    { "container ls", "", "list the containers of this node", ps_options, 0, 0, false, run_ps },
    { "container inspect", "CONTAINER..", "show all that is known of containers", no_options, 1, 64,
      false, run_inspect },
    { "container logs", "CONTAINER", "show what a container prints", container_logs_options, 1, 1,
      false, run_logs },
    { "container stats", "[CONTAINER..]", "show what containers use", stats_options, 0, 64, false,
      run_stats },
    { "container stop", "CONTAINER..", "ask containers to end, then kill them", stop_options, 1, 64,
      false, run_stop },
    { "container restart", "CONTAINER..", "stop, then start", stop_options, 1, 64, false,
      run_restart },
    { "container kill", "CONTAINER..", "send a signal", kill_options, 1, 64, false, run_kill },
    { "container pause", "CONTAINER..", "freeze", no_options, 1, 64, false, run_pause },
    { "container unpause", "CONTAINER..", "thaw", no_options, 1, 64, false, run_unpause },
    { "container wait", "CONTAINER..", "wait for the end, and print the exit code", no_options, 1,
      64, false, run_wait },
    { "container rm", "CONTAINER..", "remove containers", remove_options, 1, 64, false,
      run_remove },
    { "container prune", "", "remove containers that have ended, those of tasks excepted",
      prune_options, 0, 0, false, run_prune },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
