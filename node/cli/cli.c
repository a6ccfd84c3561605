/* Finds the command by its longest name, parses its options, runs it. */
#include "node/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/help.h"

#define SOCKET_DEFAULT "/run/shoal/shoal.sock"

static const struct command *const tables[] = {
    cluster_commands,   node_commands,   service_commands, network_commands,
    secret_commands,    image_commands,  run_commands,     exec_commands,
    container_commands, volume_commands, system_commands,
};
static const struct command_groups groups = { tables, ARRAY_LEN(tables) };

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
    for (size_t g = 0; g < groups.count; g++)
        for (const struct command *c = groups.items[g]; c->name != NULL; c++) {
            *words = matches(c, argc, argv);
            if (*words > 0)
                return c;
        }
    return NULL;
}

static int unknown(int argc, char **argv)
{
    (void)fprintf(stderr, "shoal: unknown command '%s%s%s': `shoal help` lists them\n", argv[0],
                  argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    return EXIT_USAGE;
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
        help_command(c, stdout);
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

/* `help`, `help --roff`, `help service`, `help service create` */
static int help(int argc, char **argv)
{
    const struct command *c;
    size_t words;

    if (argc == 0) {
        help_overview(&groups, stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[0], "--roff") == 0) {
        help_manual(&groups, stdout);
        return EXIT_OK;
    }
    c = find(argc, argv, &words);
    if (c != NULL)
        help_command(c, stdout);
    else if (argc > 1 || !help_group(&groups, argv[0], stdout))
        return unknown(argc, argv);
    return EXIT_OK;
}

/* `service` and `service --help` show what there is. */
static int without_command(int argc, char **argv)
{
    bool asked = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

    if ((argc == 1 || asked) && help_group(&groups, argv[0], asked ? stdout : stderr))
        return asked ? EXIT_OK : EXIT_USAGE;
    return unknown(argc, argv);
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
    if (argc == 0) {
        help_overview(&groups, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
        strcmp(argv[0], "-h") == 0)
        return help(argc - 1, argv + 1);
    c = find(argc, argv, &words);
    if (c == NULL)
        return without_command(argc, argv);
    return run(c, argc - (int)words, argv + words, socket);
}
