/* node/daemon.h - `shoal daemon`: the program's life, from options to exit status. */
#ifndef NODE_DAEMON_H
#define NODE_DAEMON_H

int daemon_main(int argc, char **argv);

#endif /* NODE_DAEMON_H */
