/* Payloads of the handshake and of enrolment; the first byte chooses which. */
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_hello(struct slice payload)
{
    const uint8_t static_key[CLUSTER_KEY_LEN] = { 1 };
    const struct join_token token = { .secret = { 1 } };
    struct trust trust = { 0 };
    struct link_hello h;
    int rc;

    if (hello_decode(payload, &h) < 0)
        return;
    if (h.cert != NULL)
        trust.cluster = h.cert->cluster;
    rc = hello_check(&h, static_key, &trust, 0);
    CHECK(rc < 0 || h.cert == NULL); /* nobody is trusted here */
    CHECK(hello_check_as_joiner(&h, static_key, &token, 0, &trust) < 0);
    fields_deinit(&link_hello_type, &h);
}

static void check_table(const struct fields *type, void *obj, struct slice bytes)
{
    struct field_error err;

    if (fields_decode(type, bytes, obj, &err) == 0)
        fields_deinit(type, obj);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    union {
        struct enroll_request request;
        struct enroll_answer answer;
        struct enroll_refusal refusal;
        struct membership membership;
    } any;
    struct slice rest;

    if (len == 0)
        return 0;
    rest = slice_of(data + 1, len - 1);
    switch (data[0] % 6) {
    case 0:
        CHECK(offer_check(rest) <= 0);
        break;
    case 1:
        check_hello(rest);
        break;
    case 2:
        check_table(&enroll_request_type, &any.request, rest);
        break;
    case 3:
        check_table(&enroll_answer_type, &any.answer, rest);
        break;
    case 4:
        check_table(&enroll_refusal_type, &any.refusal, rest);
        break;
    default:
        check_table(&membership_type, &any.membership, rest);
        break;
    }
    return 0;
}
