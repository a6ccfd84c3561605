/* chaos/sim/raft_machine.c - Registers, sessions, chain. */
#include "chaos/sim/raft_machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/trace.h"

struct frozen { /* then the sessions; memory of one program only, so layout does not matter */
    uint64_t registers[MACHINE_KEYS];
    struct raft_entry_id applied;
    uint64_t chain;
    uint64_t sessions_len;
};

void machine_init(struct machine *m)
{
    *m = (struct machine){ 0 };
    CHECK(session_new(&m->sessions) == 0);
}

void machine_deinit(struct machine *m)
{
    session_free(m->sessions);
}

size_t machine_command_encode(const struct machine_command *c, size_t padding, uint8_t *buf)
{
    buf[0] = (uint8_t)c->kind;
    buf[1] = c->key;
    memcpy(buf + 2, &c->value, 8);
    memcpy(buf + 10, &c->expected, 8);
    memset(buf + MACHINE_COMMAND_LEN, 0x5a, padding);
    return MACHINE_COMMAND_LEN + padding;
}

static int32_t run_command(struct machine *m, struct slice data)
{
    uint64_t value, expected;
    uint64_t *at;

    CHECK(data.len >= MACHINE_COMMAND_LEN);
    memcpy(&value, data.ptr + 2, 8);
    memcpy(&expected, data.ptr + 10, 8);
    at = &m->registers[data.ptr[1] % MACHINE_KEYS];
    if (data.ptr[0] == LINEAR_CAS && *at != expected)
        return MACHINE_DIFFERED;
    *at = value;
    return MACHINE_STORED;
}

int32_t machine_apply(struct machine *m, const struct raft_entry *e, bool *out_ran)
{
    uint64_t identity[5] = { e->id.index, e->id.term, e->type, e->session, e->sequence };
    int32_t result = MACHINE_STORED;

    CHECK(e->id.index == m->applied.index + 1);
    *out_ran = false;
    m->applied = e->id;
    m->chain = sim_hash(m->chain, slice_of(identity, sizeof(identity)));
    m->chain = sim_hash(m->chain, e->data);
    if (e->type == RAFT_ENTRY_SESSION)
        session_open(m->sessions, e->id.index);
    if (e->type != RAFT_ENTRY_DATA)
        return result;
    switch (session_check(m->sessions, e->id.index, e->session, e->sequence, &result)) {
    case SESSION_APPLY:
        *out_ran = true;
        result = run_command(m, e->data);
        session_done(m->sessions, e->session, e->sequence, result);
        break;
    case SESSION_REPEAT:
        break;
    case SESSION_GONE:
        result = MACHINE_GONE;
        break;
    }
    return result;
}

void machine_encode(const struct machine *m, size_t padding, struct buf *out)
{
    struct frozen f = { .applied = m->applied, .chain = m->chain };
    uint8_t *sessions = malloc(SESSION_LEN_MAX), *zeros;

    CHECK(sessions != NULL);
    memcpy(f.registers, m->registers, sizeof(f.registers));
    f.sessions_len = session_encode(m->sessions, sessions);
    buf_clear(out);
    CHECK(buf_append(out, &f, sizeof(f)) == 0);
    CHECK(buf_append(out, sessions, (size_t)f.sessions_len) == 0);
    CHECK(buf_extend(out, padding, &zeros) == 0);
    if (padding > 0)
        memset(zeros, 0, padding);
    free(sessions);
}

void machine_decode(struct machine *m, struct slice bytes)
{
    struct frozen f;

    CHECK(bytes.len >= sizeof(f));
    memcpy(&f, bytes.ptr, sizeof(f));
    memcpy(m->registers, f.registers, sizeof(f.registers));
    m->applied = f.applied;
    m->chain = f.chain;
    CHECK(session_decode(m->sessions, slice_of(bytes.ptr + sizeof(f), (size_t)f.sessions_len)) ==
          0);
}
