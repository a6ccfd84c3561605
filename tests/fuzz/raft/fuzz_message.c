/* tests/fuzz/raft/fuzz_message.c - Any bytes as a message, a configuration, a session table: what
 * is accepted encodes to the same bytes again, so each thing has one encoding. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "raft/conf.h"
#include "raft/raft_msg.h"
#include "raft/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_message(struct slice bytes)
{
    static struct raft_entry entries[RAFT_MESSAGE_ENTRIES_MAX];
    struct raft_message m;
    uint8_t *again;
    size_t cap;

    if (raft_message_decode(bytes, entries, &m) < 0)
        return;
    cap = raft_message_encoded_max(&m);
    again = malloc(cap);
    CHECK(again != NULL);
    CHECK(raft_message_encode(&m, again, cap) == (int64_t)bytes.len);
    CHECK(memcmp(again, bytes.ptr, bytes.len) == 0);
    free(again);
}

static void try_conf(struct slice bytes)
{
    static struct raft_conf c, left;
    static uint8_t again[RAFT_CONF_LEN_MAX];

    if (raft_conf_decode(bytes, &c) < 0)
        return;
    CHECK(raft_conf_encode(&c, again) == bytes.len);
    CHECK(memcmp(again, bytes.ptr, bytes.len) == 0);
    if (c.joint)
        raft_conf_leave(&c, &left);
}

static void try_sessions(struct slice bytes)
{
    static uint8_t again[SESSION_LEN_MAX];
    struct session_table *t;

    CHECK(session_new(&t) == 0);
    if (session_decode(t, bytes) == 0) {
        CHECK(session_encode(t, again) == bytes.len);
        CHECK(memcmp(again, bytes.ptr, bytes.len) == 0);
    }
    session_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);

    try_message(bytes);
    try_conf(bytes);
    try_sessions(bytes);
    return 0;
}
