/* A cluster in one process: an authority and nodes on loopback, with ports of the system's choice.
 */
#ifndef TESTS_SUPPORT_CLUSTER_H
#define TESTS_SUPPORT_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/buf.h"
#include "node/cluster/ca.h"
#include "node/cluster/enroll.h"
#include "node/cluster/link.h"
#include "tests/support/loop.h"

struct test_cluster {
    uv_loop_t loop;
    struct ca ca;
    struct id id;
    unsigned seed; /* of the next key */
};

/* What happened at one node. */
struct test_node {
    struct test_cluster *cluster;
    uv_loop_t *loop;
    struct identity identity;
    struct links *links;
    struct links_config cfg; /* may be changed before node_start() */

    size_t up_count, down_count, message_count, refused_count;
    struct link_peer last_up;
    int last_down, last_refused;
    int admit_status;    /* what admit() answers */
    bool admits_workers; /* it takes every peer for one, whatever its certificate says */
    enum link_channel last_channel;
    struct id last_from;
    struct buf messages;
    uint64_t message_at;  /* uv_hrtime of the latest */
    size_t message_after; /* bytes in `data` when it came */

    /* Streams that came in are accepted, recorded and, with `echoes`, sent back. */
    struct link_stream *stream;
    struct buf data;
    char header[64];
    int accept_status;
    bool echoes, keeps; /* keeps: does not return credit */
    bool is_finished, is_closed;
    int finish_status, close_reason;
    bool is_down;
};

/* The owner of a stream opened by a test. */
struct test_stream {
    struct link_stream *stream;
    struct buf data;
    bool is_finished, is_closed;
    int finish_status, close_reason;
};

void cluster_init(struct test_cluster *c, unsigned seed);
void cluster_deinit(struct test_cluster *c); /* all nodes are stopped */

wall_ns test_now(void);

/* A member with a certificate valid now. Its keys and id follow from the cluster's seed. */
void node_init(struct test_node *n, struct test_cluster *c, enum node_role role);
void node_reissue(struct test_node *n, const struct ca *ca, wall_ns not_before, wall_ns not_after);
void node_start(struct test_node *n);
void node_stop(struct test_node *n);

/* Tells `n` where `other` is. */
void node_knows(struct test_node *n, const struct test_node *other, enum link_want want);
bool node_has_link(const struct test_node *n, const struct test_node *other);
const struct id *node_id(const struct test_node *n);

extern const struct link_stream_callbacks test_stream_callbacks;
void test_stream_open(struct test_stream *s, struct test_node *from, const struct id *to,
                      enum link_channel channel);
void test_stream_deinit(struct test_stream *s);

/* Runs the loop until the condition holds; fails the test after ten seconds. */
#define RUN_UNTIL(loop, condition) LOOP_UNTIL(loop, 10, condition)

#endif /* TESTS_SUPPORT_CLUSTER_H */
