/* node/state_lock.h - One daemon per state directory: who holds STATE/lock.
 *
 * The kernel knows the holder and lets go of the lock when it ends, however it ends. The lock is
 * the process's (fcntl): children do not inherit it, and no other descriptor of the file may be
 * opened and closed in the process. */
#ifndef NODE_STATE_LOCK_H
#define NODE_STATE_LOCK_H

#include "base/attr.h"

/* Makes the directory and the file. Returns a descriptor, which holds what is locked with it until
 * the process ends; or a negative errno. */
NODISCARD int state_lock_open(const char *state_dir);

/* ERR_IN_USE: another process has it */
NODISCARD int state_lock_take(int lock);

/* Waits for the holder's end. */
NODISCARD int state_lock_wait(int lock);

/* Sends the signal to who holds it, and to nobody else.  -ESRCH: nobody does */
NODISCARD int state_lock_signal(int lock, int signal);

#endif /* NODE_STATE_LOCK_H */
