/* node/cli/exit_wait.h - The exit code of a container that is yet to start, waited for from before
 * it does: one that is removed when it ends could not be asked for it afterwards. */
#ifndef NODE_CLI_EXIT_WAIT_H
#define NODE_CLI_EXIT_WAIT_H

#include <stdbool.h>

#include "base/attr.h"

/* A request that is answered later; returns its connection, or an error that has been printed.
 * `removed`: when it is gone, else when it has ended. */
NODISCARD int exit_wait_begin(const char *socket, const char *id, bool removed);

/* Whether the answer comes within so many milliseconds. */
bool exit_wait_is_over(int connection, int ms);

/* Waits for the answer and closes the connection. The exit code; negative: there is none, it has
 * been printed why. */
NODISCARD int exit_wait_end(int connection);

#endif /* NODE_CLI_EXIT_WAIT_H */
