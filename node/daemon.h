/* node/daemon.h - `shoal daemon`: the program's life, from options to exit status. */
#ifndef NODE_DAEMON_H
#define NODE_DAEMON_H

#include "node/options.h"
#include "runtime/runtime.h"

int daemon_main(int argc, char **argv);

/* Opens the runtime as the options say; `cfg` has the loop and the callbacks. */
NODISCARD int daemon_open_runtime(const struct options *options, struct runtime_config *cfg,
                                  struct runtime **out);

#endif /* NODE_DAEMON_H */
