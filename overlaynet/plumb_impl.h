/* overlaynet/plumb_impl.h - What plumb*.c share. Private to them. */
#ifndef OVERLAYNET_PLUMB_IMPL_H
#define OVERLAYNET_PLUMB_IMPL_H

#include "base/list.h"
#include "overlaynet/netlink.h"
#include "overlaynet/plumb.h"
#include "overlaynet/uplink.h"

/* A network that is up on this host, as the worker thread knows it. */
struct wired_network {
    struct list link;
    struct id id;
    int netns;
    struct netlink *nl;
    uint32_t bridge, uplink;
    struct plumb_remote *remotes; /* static entries of a network in clear, sorted by MAC */
    size_t remote_count;
};

struct plumb {
    char run_dir[OVERLAY_PATH_MAX];
    struct netlink *host;
    struct uplink *uplink; /* NULL = none */
    struct list networks;
};

/* Writes a sentence to `why` and returns `rc`. */
PRINTF_LIKE(3, 4) int plumb_explain(char *why, int rc, const char *format, ...);

void plumb_network_path(const struct plumb *p, const struct id *id, char out[OVERLAY_PATH_MAX]);
struct wired_network *plumb_find_network(struct plumb *p, const struct id *id);
void plumb_forget_network(struct wired_network *n);

/* Opens a socket inside the namespace; the thread is in it for no longer than that. */
NODISCARD int plumb_open_netlink(int netns, struct netlink **out);

#endif /* OVERLAYNET_PLUMB_IMPL_H */
