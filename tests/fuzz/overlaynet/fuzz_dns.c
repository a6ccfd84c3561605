/* Whatever a container sends to its resolver: an answer, if there is one, fits the room it was
 * given, carries the query's id and is no query itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "overlaynet/resolver_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct services_table table;
static struct id network;
static struct prng prng;

static void start(void)
{
    static const struct hash_seed seed;
    struct overlay_service s = { .name = "web", .mode = OVERLAY_VIP };
    struct overlay_backend b = { .slot = 3, .task_name = "web.3", .ready = true };

    if (!id_is_none(&network))
        return;
    memset(network.text, '1', ID_LEN);
    prng_init(&prng, 1);
    services_table_init(&table, &seed);
    s.network_id = s.service_id = network;
    s.vip = ip4_of_u32(0x0a000064);
    b.network_id = b.service_id = b.endpoint_id = b.node_id = network;
    b.ip4 = ip4_of_u32(0x0a000002);
    CHECK(services_table_set(&table, &s) == 1);
    CHECK(services_table_set_backend(&table, &b) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resolver_view view = { .table = &table, .networks = &network, .network_count = 1 };
    size_t max = DNS_UDP_DEFAULT_MAX, len = 0;
    struct dns_query q, again;
    uint8_t *query, *reply;

    start();
    query = malloc(size + 1);
    reply = malloc(max); /* so that its end is watched */
    CHECK(query != NULL && reply != NULL);
    memcpy(query, data, size);
    if (resolver_answer(&view, slice_of(query, size), &prng, &q, reply, max, &len) ==
        RESOLVER_REPLY) {
        CHECK(len >= DNS_HEADER_LEN && len <= max);
        CHECK(dns_id(reply) == dns_id(query));
        CHECK(dns_query_read(slice_of(reply, len), &again) < 0);
    }
    if (size >= DNS_HEADER_LEN && dns_query_read(slice_of(query, size), &q) == 0)
        CHECK(resolver_refuse(slice_of(query, size), &q, DNS_SERVFAIL, reply, max) <= max);
    free(query);
    free(reply);
    return 0;
}
