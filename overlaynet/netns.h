/* overlaynet/netns.h - Named network namespaces, and working inside one.
 *
 * A namespace is kept alive by a bind mount of its handle on a file, as ip-netns(8) does; so it
 * survives this process. Entering changes the calling thread only: use it on the plumbing thread.
 */
#ifndef OVERLAYNET_NETNS_H
#define OVERLAYNET_NETNS_H

#include "base/attr.h"

/* Opens the namespace at `path`, creating it when it is not there; *out_created tells (may be
 * NULL). Returns a descriptor that the caller closes. Leaves the thread where it was. */
NODISCARD int netns_open(const char *path, int *out_created);
NODISCARD int netns_open_existing(const char *path); /* -ENOENT */

/* Unmounts and removes the file; processes inside keep the namespace. 0 when it is not there. */
int netns_delete(const char *path);

/* Moves the thread into a namespace; *out_home goes to netns_leave(). */
NODISCARD int netns_enter(int fd, int *out_home);
void netns_leave(int home); /* closes `home`; a thread that cannot return stops the process */

/* Writes a sysctl of the thread's current namespace: netns_sysctl("ipv4/ip_forward", "1").
 * -ENOENT where the kernel has no such thing. */
int netns_sysctl(const char *name, const char *value);

#endif /* OVERLAYNET_NETNS_H */
