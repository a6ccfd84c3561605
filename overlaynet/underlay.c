/* One socket for each lane on one port; a filter on the group reads the session index of a packet
 * and names the socket, so a session stays in its lane. */
#include "overlaynet/underlay.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/packet.h"

#define SOCKET_BUFFER (8 << 20)

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value)); /* an improvement where it exists */
}

static void set_buffers(int fd)
{
    set_option(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
    set_option(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
    set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER); /* beyond rmem_max */
    set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER);
}

static int open_socket(int family, const struct ip_endpoint *at, bool share)
{
    struct sockaddr_storage addr;
    socklen_t len = 0;
    int fd, rc, one = 1;

    rc = underlay_sockaddr(family, at, &addr, &len);
    if (rc < 0)
        return rc;
    fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if ((share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0) ||
        bind(fd, (struct sockaddr *)&addr, len) < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    set_buffers(fd);
    /* Never fragmented and never cut by the path: the size is ours to find. */
    set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    return fd;
}

/* (index & lane mask) of the packet -> socket; control and handshakes go to lane 0. */
static int steer(int fd, unsigned lane_count)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PACKET_LANE_MASK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_LANE_CONTROL, 2, 0),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, lane_count),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
               ? -errno
               : 0;
}

static bool has_option(int fd, int name, int value)
{
    return setsockopt(fd, IPPROTO_UDP, name, &value, sizeof(value)) == 0;
}

static void close_all(struct underlay *u)
{
    for (unsigned i = 0; i < u->lane_count; i++) {
        if (u->send_fds[i] >= 0 && u->send_fds[i] != u->udp_fds[i])
            (void)close(u->send_fds[i]);
        if (u->udp_fds[i] >= 0)
            (void)close(u->udp_fds[i]);
    }
}

int underlay_open(const struct ip_endpoint *at, unsigned lane_count, struct underlay *out)
{
    struct ip_endpoint own = { .addr = at->addr };
    struct underlay u = { .family = at->addr.len == IP4_LEN ? AF_INET : AF_INET6,
                          .lane_count = lane_count,
                          .gso = true,
                          .gro = true };
    int rc = 0;

    for (unsigned i = 0; i < lane_count; i++)
        u.udp_fds[i] = u.send_fds[i] = -1;
    for (unsigned i = 0; i < lane_count && rc >= 0; i++) {
        rc = open_socket(u.family, at, lane_count > 1);
        if (rc == -EAFNOSUPPORT && i == 0 && ip_is_none(&at->addr)) {
            u.family = AF_INET; /* a host without IPv6 */
            rc = open_socket(u.family, at, lane_count > 1);
        }
        if (rc < 0)
            break;
        u.udp_fds[i] = rc;
        u.gro = u.gro && has_option(u.udp_fds[i], UDP_GRO, 1);
        if (i == 0) {
            u.send_fds[i] = u.udp_fds[i];
        } else {
            rc = u.send_fds[i] = open_socket(u.family, &own, false);
        }
    }
    if (rc >= 0 && lane_count > 1)
        rc = steer(u.udp_fds[0], lane_count);
    if (rc < 0) {
        close_all(&u);
        return rc;
    }
    u.gso = has_option(u.send_fds[0], UDP_SEGMENT, 0);
    *out = u;
    return 0;
}

int underlay_sockaddr(int family, const struct ip_endpoint *e, struct sockaddr_storage *out,
                      socklen_t *out_len)
{
    memset(out, 0, sizeof(*out));
    if (family == AF_INET) {
        struct sockaddr_in *a = (struct sockaddr_in *)(void *)out;

        if (e->addr.len == IP6_LEN)
            return ERR_UNSUPPORTED;
        a->sin_family = AF_INET;
        a->sin_port = htons(e->port);
        memcpy(&a->sin_addr, e->addr.bytes, IP4_LEN);
        *out_len = sizeof(*a);
    } else {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)(void *)out;

        a->sin6_family = AF_INET6;
        a->sin6_port = htons(e->port);
        if (e->addr.len == IP4_LEN) { /* RFC 4291 2.5.5.2: IPv4-mapped */
            a->sin6_addr.s6_addr[10] = a->sin6_addr.s6_addr[11] = 0xff;
            memcpy(a->sin6_addr.s6_addr + 12, e->addr.bytes, IP4_LEN);
        } else {
            memcpy(&a->sin6_addr, e->addr.bytes, IP6_LEN);
        }
        *out_len = sizeof(*a);
    }
    return 0;
}

struct ip_endpoint underlay_endpoint(const struct sockaddr_storage *addr)
{
    struct ip_endpoint e = { 0 };

    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)addr;

        e.addr.len = IP4_LEN;
        memcpy(e.addr.bytes, &a->sin_addr, IP4_LEN);
        e.port = ntohs(a->sin_port);
    } else if (addr->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)addr;

        e.port = ntohs(a->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr)) {
            e.addr.len = IP4_LEN;
            memcpy(e.addr.bytes, a->sin6_addr.s6_addr + 12, IP4_LEN);
        } else {
            e.addr.len = IP6_LEN;
            memcpy(e.addr.bytes, &a->sin6_addr, IP6_LEN);
        }
    }
    return e;
}
