/* A command in a running container or task: `exec`, also as `container exec`. */
#include <stdio.h>
#include <stdlib.h>

#include "node/cli/command.h"
#include "node/cli/upgrade.h"

static const struct option_def exec_options[] = {
    { "interactive", 'i', OPTION_FLAG, NULL, "send standard input" },
    { "tty", 't', OPTION_FLAG, NULL, "give it a terminal" },
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait for it" },
    { "env", 'e', OPTION_LIST, "KEY=VALUE", "set a variable" },
    { "user", 'u', OPTION_TEXT, "USER", "who runs it" },
    { "workdir", 'w', OPTION_TEXT, "DIR", "where it runs" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

struct session {
    struct invocation *in;
    const char *id;
};

static void on_resize(void *ctx, int rows, int columns)
{
    const struct session *s = ctx;
    char path[256], why[256];

    (void)snprintf(path, sizeof(path), "/exec/%s/resize?h=%d&w=%d", s->id, rows, columns);
    (void)!client_try(s->in->client, "POST", path, NULL, NULL, why, sizeof(why)); /* it may have
                                                                                    just ended */
}

static json_t *exec_body(const struct args *a)
{
    json_t *argv = json_array();
    bool input = args_flag(a, "interactive");

    for (size_t i = 1; i < a->count; i++)
        (void)json_array_append_new(argv, json_string(a->positional[i]));
    return json_pack("{s:b,s:b,s:b,s:b,s:o,s:s,s:s,s:o}", "AttachStdin", input, "AttachStdout", 1,
                     "AttachStderr", 1, "Tty", args_flag(a, "tty"), "Env",
                     texts_of(args_list(a, "env")), "User", args_text(a, "user", ""), "WorkingDir",
                     args_text(a, "workdir", ""), "Cmd", argv);
}

/* The command's exit code. */
static int attend(struct invocation *in, const char *id)
{
    struct session s = { .in = in, .id = id };
    json_t *body = json_pack("{s:b,s:b}", "Detach", args_flag(&in->args, "detach"), "Tty",
                             args_flag(&in->args, "tty"));
    struct upgrade u = { .socket = client_socket(in->client),
                         .body = body,
                         .input = args_flag(&in->args, "interactive"),
                         .tty = args_flag(&in->args, "tty"),
                         .on_resize = on_resize,
                         .ctx = &s };
    char path[256];
    json_t *end;
    int result;

    (void)snprintf(path, sizeof(path), "/exec/%s/start", id);
    u.path = path;
    if (args_flag(&in->args, "detach"))
        result = exit_of(call(in, "POST", body, NULL, "%s", path));
    else
        result = upgrade_run(&u) < 0 ? EXIT_ERROR : EXIT_OK;
    json_decref(body);
    if (result != EXIT_OK || args_flag(&in->args, "detach"))
        return result;
    end = get_json(in, "/exec/%s/json", id);
    result = end == NULL ? EXIT_ERROR : (int)number_at(end, "ExitCode");
    json_decref(end);
    return result;
}

static int run_exec(struct invocation *in)
{
    char *name = client_escape(in->client, in->args.positional[0]);
    json_t *body = exec_body(&in->args), *created = NULL;
    int result =
        exit_of(call(in, "POST", body, &created, "/containers/%s/exec", name == NULL ? "" : name));

    free(name);
    json_decref(body);
    if (result == EXIT_OK)
        result = attend(in, text_at(created, "Id"));
    json_decref(created);
    return result;
}

const struct command exec_commands[] = {
    { "exec", "TASK|SERVICE.SLOT|CONTAINER COMMAND [ARG..]",
      "run a command in a running task of any node, or a container of this one", exec_options, 2, 0,
      true, run_exec },
    { "container exec", "CONTAINER|TASK COMMAND [ARG..]",
      "run a command in a running container, or in a task of any node", exec_options, 2, 0, true,
      run_exec },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
