/* node/cli/upgrade.h - A request whose connection then carries a command's input and output. */
#ifndef NODE_CLI_UPGRADE_H
#define NODE_CLI_UPGRADE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"

struct upgrade {
    const char *socket; /* the node's */
    const char *path;
    const json_t *body;
    bool input; /* standard input is sent, and its end told */
    bool tty;   /* output comes bare; else framed as logs are */
    /* The window of our terminal has this size now: told once at the start, then when it changes.
     */
    void (*on_resize)(void *ctx, int rows, int columns);
    void *ctx;
};

/* Returns when the other side ends the connection. ERR_UNAVAILABLE, ERR_INVALID: it has been
 * printed why. */
NODISCARD int upgrade_run(const struct upgrade *u);

#endif /* NODE_CLI_UPGRADE_H */
