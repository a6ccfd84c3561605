/* node/cli/logs.h - Printing Docker's framed log streams: 8 bytes of header, then text. */
#ifndef NODE_CLI_LOGS_H
#define NODE_CLI_LOGS_H

#include "base/buf.h"
#include "node/cli/command.h"

#define LOGS_OPTIONS                                              \
    { "follow", 'f', OPTION_FLAG, NULL, "go on as lines come" },  \
        { "tail", 'n', OPTION_TEXT, "N", "only the last lines" }, \
        { "since", 0, OPTION_TEXT, "TIME", "only from then on" }, \
    {                                                             \
        "timestamps", 't', OPTION_FLAG, NULL, "show when"         \
    }
extern const struct option_def logs_options[];

/* Prints the whole frames of a stream that comes in pieces; keeps the rest in `rest` for the next
 * one. False: out of memory. */
bool logs_print(struct buf *rest, const uint8_t *bytes, size_t len);

/* All of a container's output, until it ends. */
int logs_follow(struct invocation *in, const char *id);

/* GET <prefix>/<argument>/logs with the options above. */
int logs_run(struct invocation *in, const char *prefix);

#endif /* NODE_CLI_LOGS_H */
