/* node/cluster/link_address.c - see link_address.h. */
#include "node/cluster/link_address.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "base/err.h"

#define HOST_CAP 256

static int parse_port(const char *text, uint16_t *out)
{
    unsigned long port = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 5)
        return ERR_INVALID;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return ERR_INVALID;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    if (port > UINT16_MAX)
        return ERR_INVALID;
    *out = (uint16_t)port;
    return 0;
}

int address_split(const char *text, char *host, uint16_t *port)
{
    const char *start = text, *end, *colon;

    if (text[0] == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0'))
            return ERR_INVALID;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else {
        colon = strchr(text, ':');
        if (colon != NULL && strchr(colon + 1, ':') != NULL)
            colon = NULL; /* a bare IPv6 address */
        end = colon != NULL ? colon : text + strlen(text);
    }
    if (end == start || end - start >= HOST_CAP)
        return ERR_INVALID;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *port = LINK_PORT;
    return colon == NULL ? 0 : parse_port(colon + 1, port);
}

int address_parse(const char *text, struct sockaddr_storage *out)
{
    char host[HOST_CAP];
    uint16_t port;

    if (address_split(text, host, &port) < 0)
        return ERR_INVALID;
    memset(out, 0, sizeof(*out));
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0 ||
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) == 0)
        return 0;
    return ERR_INVALID;
}

void address_format_host(const struct sockaddr *address, char out[LINK_ADDRESS_LEN])
{
    out[0] = '\0';
    if (address->sa_family == AF_INET)
        (void)uv_ip4_name((const struct sockaddr_in *)(const void *)address, out,
                          LINK_ADDRESS_LEN); /* it fits */
    else if (address->sa_family == AF_INET6)
        (void)uv_ip6_name((const struct sockaddr_in6 *)(const void *)address, out,
                          LINK_ADDRESS_LEN);
}

void address_format(const struct sockaddr *address, char out[LINK_ADDRESS_LEN])
{
    char host[LINK_ADDRESS_LEN];
    bool is_v6 = address->sa_family == AF_INET6;
    uint16_t port = is_v6 ? ((const struct sockaddr_in6 *)(const void *)address)->sin6_port
                          : ((const struct sockaddr_in *)(const void *)address)->sin_port;

    address_format_host(address, host);
    (void)snprintf(out, LINK_ADDRESS_LEN, is_v6 ? "[%.50s]:%u" : "%.50s:%u", host,
                   (unsigned)ntohs(port));
}
