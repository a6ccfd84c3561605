/* Managers of one cluster in one process and one loop, over real links on loopback, each with a log
 * and a store in a folder of its own. */
#ifndef TESTS_SUPPORT_MANAGERS_H
#define TESTS_SUPPORT_MANAGERS_H

#include <stdbool.h>

#include "node/cluster/ca.h"
#include "node/manager/manager.h"
#include "tests/support/loop.h"

#define SEATS_MAX 3

struct seat {
    struct seats *seats;
    char dir[64];
    struct identity identity;
    struct links *links;
    struct manager *manager; /* NULL: closed */
    raft_node_id raft_id;
    bool is_closed, is_removed, has_failed;
    size_t redirects, acks; /* that agents were sent */

    /* The outcome of the latest proposal. */
    bool is_done;
    int err;
    struct field_error why;
};

struct seats {
    uv_loop_t loop;
    char dir[40];
    struct ca ca;
    struct id cluster;
    size_t count;
    struct seat seats[SEATS_MAX];
};

/* A cluster of `count` managers that all know each other. */
void seats_open(struct seats *s, size_t count);
struct seat *seats_leader(struct seats *s); /* waits until there is one */
struct seat *seat_next(struct seat *s);     /* round the table */
void seats_close(struct seats *s);

/* Ends or starts one manager; its links stay. */
void seat_close(struct seat *s);
void seat_open(struct seat *s);

const struct id *seat_id(const struct seat *s);

/* Proposes a network of that name. Does not wait: s->is_done. */
void seat_propose(struct seat *s, const char *name);
/* Proposes that the node `subject` has this role; waits for the outcome. */
int seat_set_role(struct seat *s, const struct seat *subject, enum node_role role);
int seat_wait(struct seat *s);
bool seat_has(const struct seat *s, const char *name);

/* Runs the loop until the condition holds; fails the test after 20 s. */
#define SEATS_UNTIL(s, condition) LOOP_UNTIL(&(s)->loop, 20, condition)

#endif /* TESTS_SUPPORT_MANAGERS_H */
