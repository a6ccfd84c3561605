/* An agent without a host: the test answers its operations. */
#ifndef TESTS_UNIT_NODE_AGENT_SUPPORT_AGENT_H
#define TESTS_UNIT_NODE_AGENT_SUPPORT_AGENT_H

#include "node/agent/agent.h"
#include "tests/support/unit.h"

#define OPERATIONS_SEEN_MAX 128
#define MS                  NS_PER_MS

struct seen { /* an operation, after its turn */
    uint64_t token;
    enum agent_operation_kind kind;
    struct id task_id;
    char row[64]; /* key of its row, "" */
};

struct bench {
    struct agent *agent;
    mono_ns now;
    wall_ns wall;
    struct seen seen[OPERATIONS_SEEN_MAX]; /* of the last turn */
    size_t count;
    mono_ns deadline;
    const struct report *report; /* of the last turn; NULL: none */
    uint64_t version;
};

struct id id_of(unsigned n); /* the same for the same number */

void bench_open(struct bench *b); /* started, connected */
void bench_open_stopped(struct bench *b);
void bench_close(struct bench *b);

/* Rows to be assigned. The frame owns what it points to; bench_assign() frees it. */
struct task *frame_task(struct assign *f, unsigned n, enum task_state desired);
void frame_network(struct assign *f, unsigned n);
void frame_gone(struct assign *f, const char *kind, unsigned n);
int bench_assign(struct bench *b, struct assign *f); /* as a difference; frees the frame */
int bench_assign_all(struct bench *b, struct assign *f);
void bench_task(struct bench *b, unsigned n, enum task_state desired); /* that one row */

void bench_turn(struct bench *b);
void bench_turn_later(struct bench *b);                /* after 20 ms: a report is due */
void bench_answer(struct bench *b, size_t i, int err); /* operation i of the last turn */
/* Turns until nothing is asked for, all answered with success. Returns how many there were. */
size_t bench_settle(struct bench *b);

void bench_start_task(struct bench *b, unsigned n); /* is assigned and runs, which is reported */

/* What was reported last of a task; TASK_NEW when nothing. */
enum task_state bench_state(const struct bench *b, unsigned n);
const struct task_status *bench_status(const struct bench *b, unsigned n);

#endif /* TESTS_UNIT_NODE_AGENT_SUPPORT_AGENT_H */
