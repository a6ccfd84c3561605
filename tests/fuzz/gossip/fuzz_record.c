/* The two signed statements: what is accepted reads the same again, alone and with bytes behind it,
 * and never verifies under a key that did not sign it. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gossip/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_record(struct gossip_pool *pool, struct slice bytes)
{
    static const uint8_t key[GOSSIP_PUBLIC_KEY_LEN] = { 0x58 };
    struct record a, b;
    int len = record_read(bytes, &a);
    struct blob *blob;

    if (len < 0)
        return;
    CHECK((size_t)len <= bytes.len);
    CHECK((size_t)len <= RECORD_LEN_MAX);
    CHECK(record_read(slice_of(bytes.ptr, (size_t)len), &b) == len);
    CHECK(id_equal(&a.id, &b.id));
    CHECK(gossip_incarnation_cmp(a.incarnation, b.incarnation) == 0);
    CHECK(gossip_addr_equal(&a.addr, &b.addr));
    CHECK(a.meta_len <= GOSSIP_META_LEN_MAX);
    blob = blob_intern(pool, slice_of(bytes.ptr, (size_t)len));
    CHECK(blob != NULL);
    CHECK(!record_verify(blob, &a.id, key));
    blob_unref(pool, blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gossip_pool *pool;
    struct accusation a;
    struct slice bytes = slice_of(data, size);

    CHECK(gossip_pool_new(&pool) == 0);
    try_record(pool, bytes);
    if (accusation_read(bytes, &a)) {
        CHECK(size == ACCUSATION_LEN);
        CHECK(a.subject != a.accuser);
    }
    gossip_pool_free(pool);
    return 0;
}
