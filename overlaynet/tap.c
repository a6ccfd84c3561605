/* tun(4): vnet header for large frames, several queues, persistent. */
#include "overlaynet/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "overlaynet/segment.h"

#ifndef TUN_F_USO4 /* since Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static bool set_offload(int fd, unsigned flags)
{
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) == 0;
}

/* As much as the kernel has; without any, it cuts and sums before we read. */
static bool set_best_offload(int fd)
{
    const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

    if (set_offload(fd, tcp | TUN_F_USO4 | TUN_F_USO6))
        return true;
    if (!set_offload(fd, tcp))
        (void)set_offload(fd, 0); /* the slow path needs nothing */
    return false;
}

static int open_queue(const char *name, bool *out_uso)
{
    struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
    int vnet_len = sizeof(struct vnet_header);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return -errno;
    (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &r) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &vnet_len) < 0 ||
        ioctl(fd, TUNSETPERSIST, 1UL) < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    *out_uso = set_best_offload(fd);
    return fd;
}

int tap_open(const char *name, int fds[], unsigned count, bool *out_uso)
{
    for (unsigned i = 0; i < count; i++) {
        fds[i] = open_queue(name, out_uso);
        if (fds[i] < 0) {
            int rc = fds[i];

            while (i-- > 0)
                (void)close(fds[i]);
            return rc;
        }
    }
    return 0;
}
