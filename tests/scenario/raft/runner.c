/* tests/scenario/raft/runner.c - Runs a script against a rig and compares what it prints.
 *
 * A file is blocks of commands, "----", expected output, and an empty line. REWRITE=1 writes what
 * came out into the file instead; the difference is reviewed like code. Commands:
 *
 *     cluster N [key=value ..]     voters 1..N; keys of raft_config, such as inflight_max=2
 *     new ID                       a node that joins: no log, no configuration
 *     timeout ID                   its time-out comes now
 *     advance MS                   time passes, deadlines come, messages are delivered
 *     deliver|drop [from=] [to=] [type=] [count=]     of what is queued, with what follows
 *     propose ID [count=] [bytes=] | read ID TICKET
 *     change ID op:member ..       add, make, learn, remove, set; force
 *     transfer ID TO | stop ID | forget ID | unreachable ID PEER
 *     crash ID | restart ID [lose_after=INDEX acknowledged=TERM/INDEX] [force_new_cluster]
 *     hold ID writes|applies | persist ID [count=] | apply ID | release ID
 *     cut A B | heal               both directions; one way: cut A B oneway
 *     quiet | loud                 whether messages are printed
 *     status [ID] | peers ID | conf ID */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "rig.h"

enum { WORDS_MAX = 24, LINE_MAX_LEN = 512 };

struct words {
    char *word[WORDS_MAX];
    size_t count;
};

static struct words split(char *line)
{
    struct words w = { .count = 0 };

    for (char *p = strtok(line, " \t"); p != NULL && w.count < WORDS_MAX; p = strtok(NULL, " \t"))
        w.word[w.count++] = p;
    return w;
}

/* The value of "key=value" among the words, or NULL. */
static const char *value_of(const struct words *w, const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 1; i < w->count; i++)
        if (strncmp(w->word[i], key, len) == 0 && w->word[i][len] == '=')
            return w->word[i] + len + 1;
    return NULL;
}

static uint64_t number_of(const struct words *w, const char *key, uint64_t otherwise)
{
    const char *value = value_of(w, key);

    return value == NULL ? otherwise : strtoull(value, NULL, 10);
}

static bool has_word(const struct words *w, const char *word)
{
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->word[i], word) == 0)
            return true;
    return false;
}

static unsigned id_at(const struct words *w, size_t i)
{
    unsigned id = i < w->count ? (unsigned)strtoul(w->word[i], NULL, 10) : 0;

    CHECK(id >= 1 && id <= RIG_NODES_MAX);
    return id;
}

/* --- commands */

static void run_cluster(struct rig *r, const struct words *w)
{
    struct raft_conf *c = calloc(1, sizeof(*c));
    unsigned n = id_at(w, 1);

    CHECK(c != NULL);
    r->cfg.inflight_max = (uint32_t)number_of(w, "inflight_max", 0);
    r->cfg.inflight_bytes_max = number_of(w, "inflight_bytes_max", 0);
    r->cfg.append_bytes_max = number_of(w, "append_bytes_max", 0);
    r->cfg.uncommitted_bytes_max = number_of(w, "uncommitted_bytes_max", 0);
    r->cfg.apply_bytes_max = number_of(w, "apply_bytes_max", 0);
    r->cfg.compact_count = number_of(w, "compact_count", 0);
    r->cfg.keep_count = number_of(w, "keep_count", 0);
    c->epoch = 1;
    c->member_count = n;
    for (unsigned i = 0; i < n; i++)
        c->members[i] = (struct raft_member){ .id = i + 1, .flags = RAFT_VOTER };
    for (unsigned i = 1; i <= n; i++)
        rig_create(r, i, c);
    free(c);
}

static int type_of(const char *name)
{
    for (int type = RAFT_VOTE_REQ; name != NULL && type <= RAFT_REFUSED; type++)
        if (strcmp(raft_message_name((enum raft_message_type)type), name) == 0)
            return type;
    CHECK(name == NULL);
    return 0;
}

static void run_deliver(struct rig *r, const struct words *w)
{
    (void)rig_deliver(r, (unsigned)number_of(w, "from", 0), (unsigned)number_of(w, "to", 0),
                      type_of(value_of(w, "type")), number_of(w, "count", RIG_MESSAGES_MAX),
                      strcmp(w->word[0], "drop") == 0);
}

static void run_propose(struct rig *r, const struct words *w)
{
    static const uint8_t bytes[65536];
    struct raft_proposal p[64];
    struct raft_event event = { .type = RAFT_PROPOSE };
    size_t count = number_of(w, "count", 1);

    CHECK(count <= 64);
    for (size_t i = 0; i < count; i++) {
        p[i] = (struct raft_proposal){ .type = RAFT_ENTRY_DATA };
        p[i].data = slice_of(bytes, number_of(w, "bytes", 1));
        p[i].ticket = number_of(w, "ticket", 0);
    }
    event.propose.proposals = p;
    event.propose.count = count;
    (void)rig_step(r, id_at(w, 1), &event);
}

static void run_change(struct rig *r, const struct words *w)
{
    static const struct {
        const char *name;
        enum raft_conf_op_type type;
    } names[] = { { "add", RAFT_ADD_VOTER },
                  { "make", RAFT_MAKE_VOTER },
                  { "learn", RAFT_ADD_LEARNER },
                  { "remove", RAFT_REMOVE },
                  { "set", RAFT_SET_CONTEXT } };
    struct raft_conf_op ops[RAFT_CONF_OPS_MAX];
    struct raft_event event = { .type = RAFT_CHANGE_CONF };
    size_t count = 0;

    for (size_t i = 2; i < w->count; i++) {
        char *colon = strchr(w->word[i], ':');

        if (colon == NULL)
            continue;
        *colon = 0;
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (strcmp(names[k].name, w->word[i]) == 0)
                ops[count++] = (struct raft_conf_op){ .type = names[k].type,
                                                      .id = strtoull(colon + 1, NULL, 10) };
    }
    event.change.ops = ops;
    event.change.count = count;
    event.change.force = has_word(w, "force");
    (void)rig_step(r, id_at(w, 1), &event);
}

static void run_restart(struct rig *r, const struct words *w)
{
    struct raft_start extra = { .force_new_cluster = has_word(w, "force_new_cluster") };
    const char *acknowledged = value_of(w, "acknowledged");

    if (acknowledged != NULL)
        CHECK(sscanf(acknowledged, "%" SCNu64 "/%" SCNu64, &extra.acknowledged.term,
                     &extra.acknowledged.index) == 2);
    if (value_of(w, "lose_after") != NULL) { /* the disk forgot what came after this index */
        struct rig_disk *d = &r->nodes[id_at(w, 1)].disk;

        while (d->entry_count > 0 &&
               d->entries[d->entry_count - 1].id.index > number_of(w, "lose_after", 0)) {
            free((void *)(uintptr_t)d->entries[--d->entry_count].data.ptr);
            d->entries[d->entry_count].data = slice_of(NULL, 0);
        }
    }
    rig_start(r, id_at(w, 1), &extra);
}

static void run_cut(struct rig *r, const struct words *w)
{
    r->cut[id_at(w, 1)][id_at(w, 2)] = true;
    if (!has_word(w, "oneway"))
        r->cut[id_at(w, 2)][id_at(w, 1)] = true;
}

static void run_status(struct rig *r, const struct words *w)
{
    static const char *const roles[] = { "follower", "pre-candidate", "candidate", "leader" };

    for (unsigned id = 1; id <= r->node_count; id++) {
        struct raft_status s;

        if (!r->nodes[id].created || (w->count > 1 && id != id_at(w, 1)))
            continue;
        if (!r->nodes[id].up) {
            fprintf(r->out, "%u down\n", id);
            continue;
        }
        raft_status(r->nodes[id].raft, &s);
        fprintf(r->out,
                "%u %s term=%" PRIu64 " vote=%" PRIu64 " leader=%" PRIu64 " log=%" PRIu64
                "..%" PRIu64 "/%" PRIu64 " commit=%" PRIu64 "%s%s%s\n",
                id, roles[s.role], s.term, s.vote, s.leader, s.base_index, s.last.term,
                s.last.index, s.commit_index, s.transferring ? " transferring" : "",
                s.repairing ? " repairing" : "", s.installing ? " installing" : "");
    }
}

static void run_peers(struct rig *r, const struct words *w)
{
    static const char *const flows[] = { "probe", "replicate", "snapshot" };
    unsigned id = id_at(w, 1);
    const struct raft_conf *c = raft_conf_current(r->nodes[id].raft);

    for (uint32_t i = 0; i < c->member_count; i++) {
        struct raft_peer_status p;

        if (c->members[i].id == id || raft_peer_status(r->nodes[id].raft, c->members[i].id, &p) < 0)
            continue;
        fprintf(r->out, "%" PRIu64 " %s match=%" PRIu64 " next=%" PRIu64 " inflight=%u\n",
                c->members[i].id, flows[p.flow], p.match, p.next, p.inflight);
    }
}

static void run_read(struct rig *r, const struct words *w)
{
    struct raft_event event = { .type = RAFT_READ };

    event.read.ticket = strtoull(w->word[2], NULL, 10);
    (void)rig_step(r, id_at(w, 1), &event);
}

static void run_simple(struct rig *r, const struct words *w, enum raft_event_type type)
{
    struct raft_event event = { .type = type };
    uint64_t other = w->count > 2 ? strtoull(w->word[2], NULL, 10) : 0;

    if (type == RAFT_TRANSFER)
        event.transfer = other;
    if (type == RAFT_UNREACHABLE)
        event.unreachable = other;
    (void)rig_step(r, id_at(w, 1), &event);
}

static void run_conf(struct rig *r, const struct words *w)
{
    const struct raft_conf *c = raft_conf_current(r->nodes[id_at(w, 1)].raft);

    fprintf(r->out, "epoch=%" PRIu64 " %s", c->epoch, c->joint ? "joint" : "plain");
    for (uint32_t i = 0; i < c->member_count; i++)
        fprintf(r->out, " %" PRIu64 ":%" PRIu32, c->members[i].id, c->members[i].flags);
    for (uint32_t i = 0; i < c->tombstone_count; i++)
        fprintf(r->out, " removed:%" PRIu64, c->tombstones[i]);
    fputc('\n', r->out);
}

static void run_hold(struct rig *r, const struct words *w)
{
    struct rig_node *n = &r->nodes[id_at(w, 1)];

    if (has_word(w, "writes"))
        n->holds_writes = true;
    if (has_word(w, "applies"))
        n->holds_applies = true;
}

static void run_release(struct rig *r, const struct words *w)
{
    unsigned id = id_at(w, 1);

    r->nodes[id].holds_writes = r->nodes[id].holds_applies = false;
    rig_persist(r, id, SIZE_MAX);
    rig_apply(r, id);
}

static bool run_command(struct rig *r, char *line)
{
    struct words w = split(line);
    const char *c = w.count > 0 ? w.word[0] : "";

    if (strcmp(c, "cluster") == 0)
        run_cluster(r, &w);
    else if (strcmp(c, "new") == 0)
        rig_create(r, id_at(&w, 1), NULL);
    else if (strcmp(c, "timeout") == 0)
        rig_timeout(r, id_at(&w, 1));
    else if (strcmp(c, "advance") == 0)
        rig_advance(r, strtoull(w.word[1], NULL, 10) * NS_PER_MS);
    else if (strcmp(c, "deliver") == 0 || strcmp(c, "drop") == 0)
        run_deliver(r, &w);
    else if (strcmp(c, "propose") == 0)
        run_propose(r, &w);
    else if (strcmp(c, "read") == 0)
        run_read(r, &w);
    else if (strcmp(c, "change") == 0)
        run_change(r, &w);
    else if (strcmp(c, "transfer") == 0)
        run_simple(r, &w, RAFT_TRANSFER);
    else if (strcmp(c, "stop") == 0)
        run_simple(r, &w, RAFT_STOP);
    else if (strcmp(c, "forget") == 0)
        run_simple(r, &w, RAFT_FORGET_LEADER);
    else if (strcmp(c, "unreachable") == 0)
        run_simple(r, &w, RAFT_UNREACHABLE);
    else if (strcmp(c, "crash") == 0)
        rig_crash(r, id_at(&w, 1));
    else if (strcmp(c, "restart") == 0)
        run_restart(r, &w);
    else if (strcmp(c, "hold") == 0)
        run_hold(r, &w);
    else if (strcmp(c, "persist") == 0)
        rig_persist(r, id_at(&w, 1), (size_t)number_of(&w, "count", SIZE_MAX));
    else if (strcmp(c, "apply") == 0)
        rig_apply(r, id_at(&w, 1));
    else if (strcmp(c, "release") == 0)
        run_release(r, &w);
    else if (strcmp(c, "cut") == 0)
        run_cut(r, &w);
    else if (strcmp(c, "heal") == 0)
        memset(r->cut, 0, sizeof(r->cut));
    else if (strcmp(c, "quiet") == 0 || strcmp(c, "loud") == 0)
        r->quiet = c[0] == 'q';
    else if (strcmp(c, "status") == 0)
        run_status(r, &w);
    else if (strcmp(c, "peers") == 0)
        run_peers(r, &w);
    else if (strcmp(c, "conf") == 0)
        run_conf(r, &w);
    else
        return false;
    return true;
}

/* --- files */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text;
    size_t len;

    if (f == NULL)
        return NULL;
    text = calloc(1, 1 << 20);
    CHECK(text != NULL);
    len = fread(text, 1, (1 << 20) - 1, f);
    text[len] = 0;
    (void)fclose(f); /* it was only read */
    return text;
}

enum { BLOCK_MAX = 64 };

/* Prints the commands of a block, then runs them: what they print is its output. */
static bool run_block(struct rig *r, char **lines, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s\n", lines[i]);
    fprintf(out, "----\n");
    for (size_t i = 0; i < count; i++) {
        char copy[LINE_MAX_LEN];

        (void)snprintf(copy, sizeof(copy), "%s", lines[i]);
        if (lines[i][0] != '#' && !run_command(r, copy)) {
            fprintf(stderr, "unknown command: %s\n", lines[i]);
            return false;
        }
    }
    fputc('\n', out);
    return true;
}

/* Blocks are commands up to "----", or up to an empty line where no output is known yet. */
static int run_script(char *text, FILE *out)
{
    struct rig *r = calloc(1, sizeof(*r));
    char *block[BLOCK_MAX];
    size_t count = 0;
    bool in_output = false, ok = true;

    CHECK(r != NULL);
    rig_init(r, out);
    for (char *line = text, *next; ok && line != NULL; line = next) {
        bool ends;

        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = 0;
        ends = *line == 0 || strcmp(line, "----") == 0;
        if (in_output) {
            in_output = *line != 0;
            continue;
        }
        if (!ends) {
            CHECK(count < BLOCK_MAX);
            block[count++] = line;
            continue;
        }
        if (count > 0)
            ok = run_block(r, block, count, out);
        in_output = *line != 0;
        count = 0;
    }
    rig_deinit(r);
    free(r);
    return ok ? 0 : 2;
}

int main(int argc, char **argv)
{
    char *text, *expected, *got = NULL;
    size_t got_len = 0;
    FILE *out;
    int rc;

    if (argc != 2 || (text = read_file(argv[1])) == NULL) {
        fprintf(stderr, "usage: runner script.txt\n");
        return 2;
    }
    expected = strdup(text);
    out = open_memstream(&got, &got_len);
    CHECK(expected != NULL && out != NULL);
    rc = run_script(text, out);
    CHECK(fclose(out) == 0);
    if (rc == 0 && getenv("REWRITE") != NULL) {
        FILE *f = fopen(argv[1], "wb");

        CHECK(f != NULL);
        CHECK(fwrite(got, 1, got_len, f) == got_len);
        CHECK(fclose(f) == 0);
    } else if (rc == 0 && strcmp(expected, got) != 0) {
        fprintf(stderr, "%s differs; this came out:\n%s", argv[1], got);
        rc = 1;
    }
    free(text);
    free(expected);
    free(got);
    return rc;
}
