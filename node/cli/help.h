/* node/cli/help.h - What the commands say of themselves, all from their tables: --help and the
 * manual page shoal(1), so neither can be behind the program. */
#ifndef NODE_CLI_HELP_H
#define NODE_CLI_HELP_H

#include <stdio.h>

#include "node/cli/command.h"

/* Groups of commands in the order in which they are shown; each ends with a NULL name. */
struct command_groups {
    const struct command *const *items;
    size_t count;
};

void help_overview(const struct command_groups *groups, FILE *out);

/* The commands that begin with `word`.  false: there is none, nothing was printed. */
bool help_group(const struct command_groups *groups, const char *word, FILE *out);

void help_command(const struct command *c, FILE *out);

/* shoal(1) in roff, man(7) macros. */
void help_manual(const struct command_groups *groups, FILE *out);

#endif /* NODE_CLI_HELP_H */
