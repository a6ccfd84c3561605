/* node/cli/cli.h - The shoal commands: a client of the API. */
#ifndef NODE_CLI_CLI_H
#define NODE_CLI_CLI_H

/* argv[1] is the command. Returns the exit status: 0, 1 (error), 2 (usage). */
int cli_main(int argc, char **argv);

#endif /* NODE_CLI_CLI_H */
