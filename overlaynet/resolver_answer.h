/* overlaynet/resolver_answer.h - What a sandbox is told about a name: query bytes in, reply bytes
 * out. Pure.
 *
 *     web             the virtual IP of service "web", or with dnsrr its ready backends
 *     tasks.web       its ready backends, always
 *     3.web           the ready backend of slot 3
 *     web.3.<task id> a task by its name; aliases of services and tasks likewise
 *
 * Names are looked up in the sandbox's networks, in their order; the first that has an address to
 * give answers. A name that exists but has none of the type asked for is NOERROR without answers;
 * a slot that is not there is NXDOMAIN; whatever is no name of ours is for other resolvers. */
#ifndef OVERLAYNET_RESOLVER_ANSWER_H
#define OVERLAYNET_RESOLVER_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"
#include "base/slice.h"
#include "overlaynet/dns_message.h"
#include "overlaynet/services_table.h"

#define RESOLVER_TTL_VIP_S   5
#define RESOLVER_TTL_TASK_S  1
#define RESOLVER_ANSWERS_MAX 512 /* of more backends a random choice */

struct resolver_view {
    const struct services_table *table;
    const struct id *networks; /* that the sandbox is attached to */
    size_t network_count;
};

enum resolver_verdict { RESOLVER_DROP, RESOLVER_REPLY, RESOLVER_FORWARD };

/* `out` takes `max` bytes, at least DNS_UDP_DEFAULT_MAX. Fills *q, and *out_len for a reply. */
enum resolver_verdict resolver_answer(const struct resolver_view *view, struct slice query,
                                      struct prng *random, struct dns_query *q, uint8_t *out,
                                      size_t max, size_t *out_len);

/* A reply without answers to a query that dns_query_read() took. Returns its length. */
size_t resolver_refuse(struct slice query, const struct dns_query *q, enum dns_rcode rcode,
                       uint8_t *out, size_t max);

/* How long a reply over UDP may be. */
size_t resolver_udp_max(const struct dns_query *q);

#endif /* OVERLAYNET_RESOLVER_ANSWER_H */
