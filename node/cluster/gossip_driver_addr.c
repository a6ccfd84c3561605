/* Addresses: text, sockets', the core's. */
#include "node/cluster/gossip_driver_addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cluster/gossip_driver.h"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static struct gossip_addr make(const uint8_t *ip, uint8_t ip_len, const void *port_be)
{
    struct gossip_addr a = { .len = (uint8_t)(ip_len + 2) };

    memcpy(a.bytes, ip, ip_len);
    memcpy(a.bytes + ip_len, port_be, 2);
    return a;
}

int gossip_addr_from_sockaddr(const struct sockaddr *sa, struct gossip_addr *out)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, sa, sizeof(v4));
        *out = make((const uint8_t *)&v4.sin_addr, 4, &v4.sin_port);
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        const uint8_t *ip = v6.sin6_addr.s6_addr;

        memcpy(&v6, sa, sizeof(v6));
        if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0)
            *out = make(ip + sizeof(mapped_prefix), 4, &v6.sin6_port);
        else
            *out = make(ip, 16, &v6.sin6_port);
        return 0;
    }
    return ERR_INVALID;
}

void gossip_addr_to_sockaddr(const struct gossip_addr *addr, int family,
                             struct sockaddr_storage *out)
{
    const uint8_t *port = addr->bytes + addr->len - 2;

    memset(out, 0, sizeof(*out));
    if (addr->len == 4 + 2 && family == AF_INET) {
        struct sockaddr_in v4 = { .sin_family = AF_INET };

        memcpy(&v4.sin_addr, addr->bytes, 4);
        memcpy(&v4.sin_port, port, 2);
        memcpy(out, &v4, sizeof(v4));
    } else {
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

        if (addr->len == 4 + 2) {
            memcpy(v6.sin6_addr.s6_addr, mapped_prefix, sizeof(mapped_prefix));
            memcpy(v6.sin6_addr.s6_addr + sizeof(mapped_prefix), addr->bytes, 4);
        } else {
            memcpy(v6.sin6_addr.s6_addr, addr->bytes, 16);
        }
        memcpy(&v6.sin6_port, port, 2);
        memcpy(out, &v6, sizeof(v6));
    }
}

static int parse_port(const char *text, uint16_t *out_be)
{
    char *end = NULL;
    unsigned long port = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || port > UINT16_MAX)
        return ERR_INVALID;
    *out_be = htons((uint16_t)port);
    return 0;
}

int gossip_addr_parse(const char *text, struct gossip_addr *out)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    uint8_t ip[16];
    uint16_t port;
    bool v6 = text[0] == '[';

    if (v6 && (len < 2 || text[len - 1] != ']'))
        return ERR_INVALID;
    if (v6) {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(host) || parse_port(colon + 1, &port) < 0)
        return ERR_INVALID;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, ip) != 1)
        return ERR_INVALID;
    *out = make(ip, v6 ? 16 : 4, &port);
    return 0;
}

void gossip_addr_format(const struct gossip_addr *addr, char out[GOSSIP_ADDR_TEXT_LEN])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v6 = addr->len == 16 + 2;
    uint16_t port = 0;

    if (addr->len < 4 + 2) {
        (void)snprintf(out, GOSSIP_ADDR_TEXT_LEN, "none");
        return;
    }
    (void)inet_ntop(v6 ? AF_INET6 : AF_INET, addr->bytes, host, sizeof(host)); /* it has room */
    memcpy(&port, addr->bytes + addr->len - 2, sizeof(port));
    (void)snprintf(out, GOSSIP_ADDR_TEXT_LEN, v6 ? "[%s]:%u" : "%s:%u", host,
                   (unsigned)ntohs(port));
}
