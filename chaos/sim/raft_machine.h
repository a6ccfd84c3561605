/* chaos/sim/raft_machine.h - A replicated state machine to be broken: a few registers, client
 * sessions, and a chain over everything that was applied. */
#ifndef SIM_RAFT_MACHINE_H
#define SIM_RAFT_MACHINE_H

#include "base/buf.h"
#include "chaos/sim/linear.h"
#include "raft/raft.h"
#include "raft/session.h"

enum { MACHINE_KEYS = 4, MACHINE_COMMAND_LEN = 18 };

struct machine_command {
    enum linear_kind kind; /* WRITE or CAS: reads do not go through the log */
    uint8_t key;
    uint64_t value, expected;
};

/* Results of a command. */
enum { MACHINE_STORED = 1, MACHINE_DIFFERED = 2, MACHINE_GONE = -1 };

struct machine {
    uint64_t registers[MACHINE_KEYS];
    struct session_table *sessions;
    struct raft_entry_id applied;
    uint64_t chain; /* equal chains: equal histories */
};

void machine_init(struct machine *m);
void machine_deinit(struct machine *m);

/* Writes at least MACHINE_COMMAND_LEN bytes, `padding` more for size. Returns the length. */
size_t machine_command_encode(const struct machine_command *c, size_t padding, uint8_t *buf);

/* Applies the next entry. Returns its result, and in *out_ran whether it had an effect: false for
 * a repeated command. */
int32_t machine_apply(struct machine *m, const struct raft_entry *e, bool *out_ran);

/* The whole state as bytes, `padding` zeros after it. */
void machine_encode(const struct machine *m, size_t padding, struct buf *out);
void machine_decode(struct machine *m, struct slice bytes); /* what machine_encode() wrote */

#endif /* SIM_RAFT_MACHINE_H */
