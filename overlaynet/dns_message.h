/* overlaynet/dns_message.h - The little of the DNS that a resolver in front of another one needs:
 * reading a question, writing addresses. Pure. RFC 1035 section 4; EDNS: RFC 6891. */
#ifndef OVERLAYNET_DNS_MESSAGE_H
#define OVERLAYNET_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "overlaynet/ip.h"

#define DNS_HEADER_LEN      12
#define DNS_NAME_TEXT_MAX   254   /* with the NUL */
#define DNS_MESSAGE_MAX     65535 /* over TCP */
#define DNS_UDP_MAX         1232  /* what we send at most in one datagram: no fragments */
#define DNS_UDP_DEFAULT_MAX 512   /* to those who do not say that they take more */

enum { DNS_TYPE_A = 1, DNS_TYPE_AAAA = 28, DNS_TYPE_OPT = 41, DNS_TYPE_ANY = 255 };
enum { DNS_CLASS_IN = 1 };
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4
};

struct dns_query {
    uint16_t id, type, class;
    uint8_t opcode;
    bool has_question; /* exactly one, which could be read; else the three below are empty */
    size_t question_len;
    char name[DNS_NAME_TEXT_MAX]; /* without the last dot; "" also for labels that are no text */
    bool has_edns;
    uint16_t udp_size; /* what the client takes in one datagram, at least 512 */
};

/* Reads a query.  ERR_MALFORMED: not one that could be answered at all (too short, a reply) */
NODISCARD int dns_query_read(struct slice message, struct dns_query *out);

struct dns_reply {
    uint8_t *out;
    size_t len, max;
    uint16_t answers;
    bool is_truncated, has_edns;
};

/* Starts the reply to a query at `out`, which has at least DNS_UDP_DEFAULT_MAX bytes. */
void dns_reply_start(struct dns_reply *r, struct slice query, const struct dns_query *q,
                     uint8_t *out, size_t max);
/* Adds an address of the name that was asked for; what does not fit marks it as truncated. */
void dns_reply_add(struct dns_reply *r, const struct ip_addr *addr, uint32_t ttl_s);
size_t dns_reply_finish(struct dns_reply *r, enum dns_rcode rcode); /* its length */

/* Id of a message of at least DNS_HEADER_LEN bytes. */
uint16_t dns_id(const uint8_t *message);
void dns_set_id(uint8_t *message, uint16_t id);

#endif /* OVERLAYNET_DNS_MESSAGE_H */
