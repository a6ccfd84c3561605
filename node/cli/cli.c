/* Finds the command by its longest name, parses its options, runs it. */
#include "node/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/command.h"

#define SOCKET_DEFAULT "/run/shoal/shoal.sock"

static const struct command *const groups[] = {
    cluster_commands, node_commands,  service_commands, network_commands,
    secret_commands,  image_commands, system_commands,
};

static void print_overview(FILE *out)
{
    (void)fputs("usage: shoal [--socket PATH] COMMAND\n\n  daemon                run a node\n",
                out);
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        (void)fputc('\n', out);
        for (const struct command *c = groups[g]; c->name != NULL; c++)
            (void)fprintf(out, "  %-20s  %s\n", c->name, c->help);
    }
    (void)fputs("\n`shoal COMMAND --help` shows the options of a command.\n", out);
}

static void print_help(const struct command *c, FILE *out)
{
    (void)fprintf(out, "usage: shoal %s [OPTIONS] %s\n\n%s\n\n", c->name, c->usage, c->help);
    for (const struct option_def *o = c->options; o->name != NULL; o++) {
        char left[80];

        (void)snprintf(left, sizeof(left), "%c%c%s --%s %s", o->letter != 0 ? '-' : ' ',
                       o->letter != 0 ? o->letter : ' ', o->letter != 0 ? "," : " ", o->name,
                       o->placeholder == NULL ? "" : o->placeholder);
        (void)fprintf(out, "  %-44s %s\n", left, o->help);
    }
}

/* How many words of argv the command's name takes; 0: it is another one. */
static size_t matches(const struct command *c, int argc, char **argv)
{
    const char *space = strchr(c->name, ' ');
    size_t len = space == NULL ? strlen(c->name) : (size_t)(space - c->name);

    if (argc < 1 || strlen(argv[0]) != len || strncmp(argv[0], c->name, len) != 0)
        return 0;
    if (space == NULL)
        return 1;
    return argc >= 2 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

static const struct command *find(int argc, char **argv, size_t *words)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (const struct command *c = groups[g]; c->name != NULL; c++) {
            *words = matches(c, argc, argv);
            if (*words > 0)
                return c;
        }
    return NULL;
}

static int check_count(const struct invocation *in)
{
    const struct command *c = in->command;
    bool any = c->max_args == 0 && c->min_args > 0;

    if (in->args.count >= c->min_args && (any || in->args.count <= c->max_args))
        return 0;
    (void)fprintf(stderr, "shoal: %s: expected %s\n", c->name,
                  c->usage[0] == '\0' ? "no arguments" : c->usage);
    return ERR_INVALID;
}

static int run(const struct command *c, int argc, char **argv, const char *socket)
{
    struct invocation in = { .command = c };
    struct field_error err = { "out of memory" };
    int result = EXIT_USAGE;

    if (args_parse(&in.args, c->options, argc, argv, c->stop_at_first, &err) < 0) {
        (void)fprintf(stderr, "shoal: %s: %s\n", c->name, err.text);
    } else if (in.args.help) {
        print_help(c, stdout);
        result = EXIT_OK;
    } else if (check_count(&in) == 0) {
        result = client_open(socket, &in.client) < 0 ? EXIT_ERROR : c->run(&in);
    }
    client_close(in.client);
    args_deinit(&in.args);
    return result;
}

static const char *socket_of_environment(void)
{
    const char *own = getenv("SHOAL_HOST"), *docker = getenv("DOCKER_HOST");

    if (own != NULL && own[0] != '\0')
        return own;
    return docker != NULL && docker[0] != '\0' ? docker : SOCKET_DEFAULT;
}

int cli_main(int argc, char **argv)
{
    const char *socket = socket_of_environment();
    const struct command *c;
    size_t words;

    argc--;
    argv++;
    if (argc >= 2 && (strcmp(argv[0], "--socket") == 0 || strcmp(argv[0], "-H") == 0)) {
        socket = argv[1];
        argc -= 2;
        argv += 2;
    }
    if (argc == 0 || strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0) {
        print_overview(argc == 0 ? stderr : stdout);
        return argc == 0 ? EXIT_USAGE : EXIT_OK;
    }
    c = find(argc, argv, &words);
    if (c == NULL) {
        (void)fprintf(stderr, "shoal: unknown command '%s%s%s': `shoal help` lists them\n", argv[0],
                      argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
        return EXIT_USAGE;
    }
    return run(c, argc - (int)words, argv + words, socket);
}
