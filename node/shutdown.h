/* node/shutdown.h - `shoal daemon --shut-down`: no container runs when it returns.
 *
 * For whoever takes the machine down: a unit of systemd (node/shoal-containers.service), or a
 * script of another init. A daemon that runs is asked by SIGPWR to stop what it runs and to end.
 * What runs then, because there was no daemon or it was killed meanwhile, is stopped from here:
 * each container by its stop signal and within its grace. Returns the exit status. */
#ifndef NODE_SHUTDOWN_H
#define NODE_SHUTDOWN_H

#include "node/options.h"

int shutdown_main(const struct options *options);

#endif /* NODE_SHUTDOWN_H */
