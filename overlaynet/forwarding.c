#include "overlaynet/forwarding.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "overlaynet/netlink.h"
#include "overlaynet/netns.h"
#include "overlaynet/overlay.h"

#define IP6_CONF "/proc/sys/net/ipv6/conf"

/* accept_ra: 0 never, 1 unless the host forwards, 2 always. */
static bool listens_to_routers(const char *ifname)
{
    char path[64 + OVERLAY_IFNAME_MAX], value = '0';
    int fd;

    (void)snprintf(path, sizeof(path), IP6_CONF "/%.15s/accept_ra", ifname);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (read(fd, &value, 1) != 1)
        value = '0';
    (void)close(fd);
    return value == '1';
}

static bool forwards_ip6(void)
{
    char value = '0';
    int fd = open(IP6_CONF "/all/forwarding", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (read(fd, &value, 1) != 1)
        value = '0';
    (void)close(fd);
    return value != '0';
}

/* "all" is no interface and changes none of them; "default" is for those to come. */
static void go_on_listening(void)
{
    DIR *dir = opendir(IP6_CONF);
    const struct dirent *entry;
    char name[64 + OVERLAY_IFNAME_MAX];

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || !listens_to_routers(entry->d_name))
            continue;
        (void)snprintf(name, sizeof(name), "ipv6/conf/%.15s/accept_ra", entry->d_name);
        (void)netns_sysctl(name, "2"); /* gone meanwhile, or read-only as the next one will be */
    }
    (void)closedir(dir);
}

int forwarding_enable(void)
{
    if (!forwards_ip6()) {
        go_on_listening();
        (void)netns_sysctl("ipv6/conf/all/forwarding", "1"); /* absent without IPv6 */
    }
    return netns_sysctl("ipv4/ip_forward", "1");
}

int forwarding_allow_loopback(const char *ifname, bool has_ip6)
{
    char name[64 + OVERLAY_IFNAME_MAX];
    struct netlink *nl = NULL;
    uint32_t index;
    int rc;

    (void)snprintf(name, sizeof(name), "ipv4/conf/%s/route_localnet", ifname);
    rc = netns_sysctl(name, "1");
    if (rc == 0 && has_ip6 && access(IP6_CONF, F_OK) == 0) {
        rc = netlink_open(&nl);
        index = rc < 0 ? 0 : netlink_index(nl, ifname);
        if (rc == 0)
            rc = index == 0 ? -ENOENT : netlink_set_loopback_route(nl, index);
        netlink_close(nl);
    }
    return rc;
}
