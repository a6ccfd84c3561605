/* node/cli/upgrade.h - A request whose connection then carries a command's input and output. */
#ifndef NODE_CLI_UPGRADE_H
#define NODE_CLI_UPGRADE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"

struct upgrade {
    const char *socket; /* the node's */
    const char *path;
    const json_t *body; /* NULL: none */
    bool input;         /* standard input is sent, and its end told */
    bool tty;           /* output comes bare; else framed as logs are */
    /* The window of our terminal has this size now: told once at the start, then when it changes.
     */
    void (*on_resize)(void *ctx, int rows, int columns);
    /* The connection carries the process now, which may begin; false: it cannot, give up. NULL: it
     * runs already. */
    bool (*on_open)(void *ctx);
    /* A signal that would end us is for the process instead. NULL: it ends us. */
    void (*on_signal)(void *ctx, int signal);
    void *ctx;
};

/* Returns when the other side ends the connection. ERR_UNAVAILABLE, ERR_INVALID: it has been
 * printed why. ERR_CLOSED: on_open gave up. */
NODISCARD int upgrade_run(const struct upgrade *u);

/* A connection to the node's socket, or an error that has been printed. */
NODISCARD int upgrade_connect(const char *socket);

#endif /* NODE_CLI_UPGRADE_H */
