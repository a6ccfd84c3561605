/* How fast a field table encodes and decodes, beside msgpack-c calls written by hand for the same
 * struct and the same bytes, in the same run. Rates are per second of processor time on one core;
 * each is the best of several rounds, because other work on the machine only ever slows it. */
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/fields.h"

#define STATE_ENUM(X) \
    X(STATE_NEW, 0, "new") X(STATE_READY, 5, "ready") X(STATE_RUNNING, 7, "running")
FIELDS_ENUM(state, STATE_ENUM);
FIELDS_ENUM_DEFINE(state, STATE_ENUM);

/* A small message, as a vote request. */
#define VOTE_FIELDS(X, S)                         \
    X(S, 1, U64, ANY, term, NULL, REQUIRED)       \
    X(S, 2, U64, ANY, candidate, NULL, REQUIRED)  \
    X(S, 3, U64, ANY, last_index, NULL, REQUIRED) \
    X(S, 4, U64, ANY, last_term, NULL, REQUIRED)  \
    X(S, 5, BOOL, ANY, pre_vote, NULL, OPTIONAL)
FIELDS_STRUCT(vote, VOTE_FIELDS);
FIELDS_DEFINE(vote, VOTE_FIELDS);

#define LIMITS_FIELDS(X, S)                                            \
    X(S, 1, I64, RANGE(0, INT64_MAX), nano_cpus, "NanoCPUs", OPTIONAL) \
    X(S, 2, I64, RANGE(0, INT64_MAX), memory_bytes, "MemoryBytes", OPTIONAL)
FIELDS_STRUCT(limits, LIMITS_FIELDS);
FIELDS_DEFINE(limits, LIMITS_FIELDS);

/* A task with its 30 fields. */
#define TASK_FIELDS(X, S)                                                       \
    X(S, 1, ID, ANY, id, "ID", REQUIRED)                                        \
    X(S, 2, U64, ANY, version, "Version", REQUIRED)                             \
    X(S, 3, TIME, ANY, created, "CreatedAt", ALWAYS)                            \
    X(S, 4, TIME, ANY, updated, "UpdatedAt", ALWAYS)                            \
    X(S, 5, ID, ANY, service, "ServiceID", OPTIONAL)                            \
    X(S, 6, ID, ANY, node, "NodeID", OPTIONAL)                                  \
    X(S, 7, U32, ANY, slot, "Slot", OPTIONAL)                                   \
    X(S, 8, ENUM, state, desired, "DesiredState", ALWAYS)                       \
    X(S, 9, ENUM, state, observed, "State", ALWAYS)                             \
    X(S, 10, TIME, ANY, since, "Timestamp", ALWAYS)                             \
    X(S, 11, STR, LEN(256), message, "Message", OPTIONAL)                       \
    X(S, 12, STR, LEN(256), image, "Image", OPTIONAL)                           \
    X(S, 13, STR, LEN(256), name, "Name", OPTIONAL)                             \
    X(S, 14, STR, LEN(256), hostname, "Hostname", OPTIONAL)                     \
    X(S, 15, STR, LEN(256), user, "User", OPTIONAL)                             \
    X(S, 16, LIST_STR, COUNT(64), args, "Args", OPTIONAL)                       \
    X(S, 17, LIST_STR, COUNT(64), env, "Env", OPTIONAL)                         \
    X(S, 18, MAP_STR, COUNT(64), labels, "Labels", OPTIONAL)                    \
    X(S, 19, STRUCT, limits, limits, "Limits", OPTIONAL)                        \
    X(S, 20, STRUCT, limits, reservations, "Reservations", OPTIONAL)            \
    X(S, 21, DURATION, RANGE(0, INT64_MAX), grace, "StopGracePeriod", OPTIONAL) \
    X(S, 22, DURATION, RANGE(0, INT64_MAX), delay, "Delay", OPTIONAL)           \
    X(S, 23, U64, ANY, attempts, "MaxAttempts", OPTIONAL)                       \
    X(S, 24, BOOL, ANY, tty, "TTY", OPTIONAL)                                   \
    X(S, 25, BOOL, ANY, init, "Init", OPTIONAL)                                 \
    X(S, 26, I32, ANY, exit_code, "ExitCode", OPTIONAL)                         \
    X(S, 27, U32, ANY, pid, "PID", OPTIONAL)                                    \
    X(S, 28, FIXED, SIZE(32), digest, "Digest", OPTIONAL)                       \
    X(S, 29, U32, ANY, vni, NULL, OPTIONAL)                                     \
    X(S, 30, LIST_ID, COUNT(64), networks, "Networks", OPTIONAL)
FIELDS_STRUCT(task, TASK_FIELDS);
FIELDS_DEFINE(task, TASK_FIELDS);

static void must(int rc)
{
    CHECK(rc == 0);
}

static struct id id_of(uint8_t seed)
{
    uint8_t random[ID_RANDOM_LEN];

    memset(random, seed, sizeof(random));
    return id_from_random(random);
}

static struct task make_task(void)
{
    struct task t = { .id = id_of(1),
                      .version = 4711,
                      .created = INT64_C(1795394436225405526),
                      .updated = INT64_C(1795394437225405526),
                      .service = id_of(2),
                      .node = id_of(3),
                      .slot = 3,
                      .desired = STATE_RUNNING,
                      .observed = STATE_READY,
                      .since = INT64_C(1795394438225405526),
                      .limits = { 500000000, 67108864 },
                      .reservations = { 100000000, 33554432 },
                      .grace = INT64_C(10000000000),
                      .delay = INT64_C(5000000000),
                      .attempts = 3,
                      .tty = true,
                      .init = true,
                      .exit_code = -1,
                      .pid = 12345,
                      .vni = 4097 };
    struct id *network;

    memset(t.digest, 0xab, sizeof(t.digest));
    must(str_set(&t.message, "preparing"));
    must(str_set(&t.image, "registry.local:5000/web/front:1.42"));
    must(str_set(&t.name, "front.3.4fmb1x2g8sr0o9zq"));
    must(str_set(&t.hostname, "front-3"));
    must(str_set(&t.user, "www-data"));
    must(str_list_append(&t.args, "serve"));
    must(str_list_append(&t.args, "--port=8080"));
    must(str_list_append(&t.env, "LOG=info"));
    must(str_list_append(&t.env, "ZONE=b"));
    must(str_map_set(&t.labels, "team", "shop"));
    must(str_map_set(&t.labels, "tier", "front"));
    network = LIST_ADD(&t.networks);
    CHECK(network != NULL);
    *network = id_of(4);
    return t;
}

/* --- By hand: what the table replaces, with the checks that msgpack-c does not make left out */

static void pack_text(msgpack_packer *pk, const char *text)
{
    msgpack_pack_str_with_body(pk, text, strlen(text));
}

static void pack_texts(msgpack_packer *pk, const struct str_list *list)
{
    msgpack_pack_array(pk, list->count);
    for (size_t i = 0; i < list->count; i++)
        pack_text(pk, list->items[i]);
}

static void pack_limits(msgpack_packer *pk, const struct limits *l)
{
    msgpack_pack_map(pk, 2);
    msgpack_pack_uint8(pk, 1);
    msgpack_pack_int64(pk, l->nano_cpus);
    msgpack_pack_uint8(pk, 2);
    msgpack_pack_int64(pk, l->memory_bytes);
}

/* One field by its tag; a line each. */
/* clang-format off */
static void pack_field(msgpack_packer *pk, const struct task *t, unsigned tag)
{
    switch (tag) {
    case 1: pack_text(pk, t->id.text); return;
    case 2: msgpack_pack_uint64(pk, t->version); return;
    case 3: msgpack_pack_int64(pk, t->created); return;
    case 4: msgpack_pack_int64(pk, t->updated); return;
    case 5: pack_text(pk, t->service.text); return;
    case 6: pack_text(pk, t->node.text); return;
    case 7: msgpack_pack_uint32(pk, t->slot); return;
    case 8: msgpack_pack_int32(pk, (int)t->desired); return;
    case 9: msgpack_pack_int32(pk, (int)t->observed); return;
    case 10: msgpack_pack_int64(pk, t->since); return;
    case 11: pack_text(pk, t->message); return;
    case 12: pack_text(pk, t->image); return;
    case 13: pack_text(pk, t->name); return;
    case 14: pack_text(pk, t->hostname); return;
    case 15: pack_text(pk, t->user); return;
    case 16: pack_texts(pk, &t->args); return;
    case 17: pack_texts(pk, &t->env); return;
    case 18:
        msgpack_pack_map(pk, t->labels.count);
        for (size_t i = 0; i < t->labels.count; i++) {
            pack_text(pk, t->labels.items[i].key);
            pack_text(pk, t->labels.items[i].value);
        }
        return;
    case 19: pack_limits(pk, &t->limits); return;
    case 20: pack_limits(pk, &t->reservations); return;
    case 21: msgpack_pack_int64(pk, t->grace); return;
    case 22: msgpack_pack_int64(pk, t->delay); return;
    case 23: msgpack_pack_uint64(pk, t->attempts); return;
    case 24: t->tty ? msgpack_pack_true(pk) : msgpack_pack_false(pk); return;
    case 25: t->init ? msgpack_pack_true(pk) : msgpack_pack_false(pk); return;
    case 26: msgpack_pack_int32(pk, t->exit_code); return;
    case 27: msgpack_pack_uint32(pk, t->pid); return;
    case 28: msgpack_pack_bin_with_body(pk, t->digest, sizeof(t->digest)); return;
    case 29: msgpack_pack_uint32(pk, t->vni); return;
    default:
        msgpack_pack_array(pk, t->networks.count);
        for (size_t i = 0; i < t->networks.count; i++)
            pack_text(pk, t->networks.items[i].text);
    }
}
/* clang-format on */

static void hand_encode_task(const struct task *t, msgpack_sbuffer *out)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 30);
    for (unsigned tag = 1; tag <= 30; tag++) {
        msgpack_pack_uint8(&pk, (uint8_t)tag);
        pack_field(&pk, t, tag);
    }
}

static char *text_of(const msgpack_object *o)
{
    char *text;

    CHECK(o->type == MSGPACK_OBJECT_STR);
    text = malloc(o->via.str.size + 1);
    CHECK(text != NULL);
    memcpy(text, o->via.str.ptr, o->via.str.size);
    text[o->via.str.size] = '\0';
    return text;
}

static uint64_t uint_of(const msgpack_object *o)
{
    CHECK(o->type == MSGPACK_OBJECT_POSITIVE_INTEGER);
    return o->via.u64;
}

static int64_t int_of(const msgpack_object *o)
{
    CHECK(o->type == MSGPACK_OBJECT_POSITIVE_INTEGER || o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
    return o->via.i64;
}

static struct id id_from(const msgpack_object *o)
{
    struct id id = { "" };

    CHECK(o->type == MSGPACK_OBJECT_STR);
    CHECK(o->via.str.size == ID_LEN);
    memcpy(id.text, o->via.str.ptr, ID_LEN);
    return id;
}

static struct str_list texts_of(const msgpack_object *o)
{
    struct str_list list = { .count = o->via.array.size };

    CHECK(o->type == MSGPACK_OBJECT_ARRAY);
    list.items = calloc(list.count, sizeof(*list.items));
    CHECK(list.items != NULL);
    for (size_t i = 0; i < list.count; i++)
        list.items[i] = text_of(&o->via.array.ptr[i]);
    return list;
}

static struct limits limits_of(const msgpack_object *o)
{
    struct limits l = { 0 };

    CHECK(o->type == MSGPACK_OBJECT_MAP);
    for (uint32_t i = 0; i < o->via.map.size; i++) {
        if (uint_of(&o->via.map.ptr[i].key) == 1)
            l.nano_cpus = int_of(&o->via.map.ptr[i].val);
        else
            l.memory_bytes = int_of(&o->via.map.ptr[i].val);
    }
    return l;
}

static struct str_map labels_of(const msgpack_object *o)
{
    struct str_map map = { .count = o->via.map.size };

    CHECK(o->type == MSGPACK_OBJECT_MAP);
    map.items = calloc(map.count, sizeof(*map.items));
    CHECK(map.items != NULL);
    for (size_t i = 0; i < map.count; i++) {
        map.items[i].key = text_of(&o->via.map.ptr[i].key);
        map.items[i].value = text_of(&o->via.map.ptr[i].val);
    }
    return map;
}

/* clang-format off */
static void take_field(struct task *t, uint64_t tag, const msgpack_object *o)
{
    switch (tag) {
    case 1: t->id = id_from(o); return;
    case 2: t->version = uint_of(o); return;
    case 3: t->created = int_of(o); return;
    case 4: t->updated = int_of(o); return;
    case 5: t->service = id_from(o); return;
    case 6: t->node = id_from(o); return;
    case 7: t->slot = (uint32_t)uint_of(o); return;
    case 8: t->desired = (enum state)int_of(o); return;
    case 9: t->observed = (enum state)int_of(o); return;
    case 10: t->since = int_of(o); return;
    case 11: t->message = text_of(o); return;
    case 12: t->image = text_of(o); return;
    case 13: t->name = text_of(o); return;
    case 14: t->hostname = text_of(o); return;
    case 15: t->user = text_of(o); return;
    case 16: t->args = texts_of(o); return;
    case 17: t->env = texts_of(o); return;
    case 18: t->labels = labels_of(o); return;
    case 19: t->limits = limits_of(o); return;
    case 20: t->reservations = limits_of(o); return;
    case 21: t->grace = int_of(o); return;
    case 22: t->delay = int_of(o); return;
    case 23: t->attempts = uint_of(o); return;
    case 24: t->tty = o->via.boolean; return;
    case 25: t->init = o->via.boolean; return;
    case 26: t->exit_code = (int32_t)int_of(o); return;
    case 27: t->pid = (uint32_t)uint_of(o); return;
    case 28: memcpy(t->digest, o->via.bin.ptr, sizeof(t->digest)); return;
    case 29: t->vni = (uint32_t)uint_of(o); return;
    case 30:
        t->networks.count = o->via.array.size;
        t->networks.items = calloc(t->networks.count, sizeof(*t->networks.items));
        CHECK(t->networks.items != NULL);
        for (size_t i = 0; i < t->networks.count; i++)
            t->networks.items[i] = id_from(&o->via.array.ptr[i]);
        return;
    default:
        return;
    }
}
/* clang-format on */

static void hand_decode_task(msgpack_unpacked *unpacked, struct slice bytes, struct task *t)
{
    const msgpack_object_map *map = &unpacked->data.via.map;
    size_t offset = 0;

    memset(t, 0, sizeof(*t));
    CHECK(msgpack_unpack_next(unpacked, (const char *)bytes.ptr, bytes.len, &offset) ==
          MSGPACK_UNPACK_SUCCESS);
    CHECK(unpacked->data.type == MSGPACK_OBJECT_MAP);
    for (uint32_t i = 0; i < map->size; i++)
        take_field(t, uint_of(&map->ptr[i].key), &map->ptr[i].val);
}

static void hand_encode_vote(const struct vote *v, msgpack_sbuffer *out)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 5);
    msgpack_pack_uint8(&pk, 1);
    msgpack_pack_uint64(&pk, v->term);
    msgpack_pack_uint8(&pk, 2);
    msgpack_pack_uint64(&pk, v->candidate);
    msgpack_pack_uint8(&pk, 3);
    msgpack_pack_uint64(&pk, v->last_index);
    msgpack_pack_uint8(&pk, 4);
    msgpack_pack_uint64(&pk, v->last_term);
    msgpack_pack_uint8(&pk, 5);
    msgpack_pack_true(&pk);
}

static void hand_decode_vote(msgpack_unpacked *unpacked, struct slice bytes, struct vote *v)
{
    const msgpack_object_map *map = &unpacked->data.via.map;
    size_t offset = 0;

    memset(v, 0, sizeof(*v));
    CHECK(msgpack_unpack_next(unpacked, (const char *)bytes.ptr, bytes.len, &offset) ==
          MSGPACK_UNPACK_SUCCESS);
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *o = &map->ptr[i].val;

        switch (uint_of(&map->ptr[i].key)) {
        case 1:
            v->term = uint_of(o);
            break;
        case 2:
            v->candidate = uint_of(o);
            break;
        case 3:
            v->last_index = uint_of(o);
            break;
        case 4:
            v->last_term = uint_of(o);
            break;
        case 5:
            v->pre_vote = o->via.boolean;
            break;
        default:
            break;
        }
    }
}

/* --- Measuring */

struct subject {
    const struct fields *type;
    const void *obj;
    void *scratch;
    struct buf bytes;
    struct buf out;
    msgpack_sbuffer hand_out;
    msgpack_unpacked unpacked;
};

static void run_encode(struct subject *s)
{
    buf_clear(&s->out);
    must(fields_encode(s->type, s->obj, &s->out, NULL));
}

static void run_decode(struct subject *s)
{
    must(fields_decode(s->type, buf_slice(&s->bytes), s->scratch, NULL));
    fields_deinit(s->type, s->scratch);
}

static void run_hand_encode(struct subject *s)
{
    msgpack_sbuffer_clear(&s->hand_out);
    if (s->type == &task_type)
        hand_encode_task(s->obj, &s->hand_out);
    else
        hand_encode_vote(s->obj, &s->hand_out);
}

static void run_hand_decode(struct subject *s)
{
    if (s->type == &task_type) {
        hand_decode_task(&s->unpacked, buf_slice(&s->bytes), s->scratch);
        fields_deinit(s->type, s->scratch);
    } else {
        hand_decode_vote(&s->unpacked, buf_slice(&s->bytes), s->scratch);
    }
}

static void run_to_json(struct subject *s)
{
    buf_clear(&s->out);
    must(fields_to_json_text(s->type, s->obj, FIELDS_JSON_PLAIN, &s->out));
}

static void run_copy(struct subject *s)
{
    must(fields_copy(s->type, s->obj, s->scratch));
    fields_deinit(s->type, s->scratch);
}

static double processor_seconds(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds per call. */
static double measure(void (*run)(struct subject *), struct subject *s)
{
    enum { ROUNDS = 9, CALLS = 40000 };
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        double start = processor_seconds();

        for (int i = 0; i < CALLS; i++)
            run(s);
        best = MIN(best, (processor_seconds() - start) / CALLS);
    }
    return best;
}

static double report(const char *what, double seconds, size_t bytes)
{
    printf("  %-28s %8.0f ns  %10.0f /s  %7.1f MB/s\n", what, seconds * 1e9, 1 / seconds,
           (double)bytes / seconds / 1e6);
    return seconds;
}

static void bench(const char *title, const struct fields *type, const void *obj)
{
    struct subject s = { .type = type, .obj = obj, .scratch = calloc(1, fields_size(type)) };
    double encode, decode, by_hand_encode, by_hand_decode;

    CHECK(s.scratch != NULL);
    buf_init(&s.bytes, MIB);
    buf_init(&s.out, MIB);
    msgpack_sbuffer_init(&s.hand_out);
    msgpack_unpacked_init(&s.unpacked);
    must(fields_encode(type, obj, &s.bytes, NULL));
    run_hand_encode(&s); /* both must do the same work */
    CHECK(slice_equal(buf_slice(&s.bytes), slice_of(s.hand_out.data, s.hand_out.size)));
    run_to_json(&s);

    printf("%s: %zu bytes of msgpack, %zu of JSON\n", title, s.bytes.len, s.out.len);
    encode = report("table encode", measure(run_encode, &s), s.bytes.len);
    by_hand_encode = report("msgpack-c encode by hand", measure(run_hand_encode, &s), s.bytes.len);
    decode = report("table decode and free", measure(run_decode, &s), s.bytes.len);
    by_hand_decode = report("msgpack-c decode by hand", measure(run_hand_decode, &s), s.bytes.len);
    (void)report("table copy and free", measure(run_copy, &s), s.bytes.len);
    (void)report("table to JSON", measure(run_to_json, &s), s.out.len);
    printf("  table / by hand: encode %.2f, decode %.2f\n", encode / by_hand_encode,
           decode / by_hand_decode);
    free(s.scratch);
    buf_deinit(&s.bytes);
    buf_deinit(&s.out);
    msgpack_sbuffer_destroy(&s.hand_out);
    msgpack_unpacked_destroy(&s.unpacked);
}

int main(void)
{
    struct vote vote = { 41, UINT64_C(0x123456789abcdef0), 1000000, 40, true };
    struct task task = make_task();

    bench("vote request, 5 fields", &vote_type, &vote);
    bench("task, 30 fields", &task_type, &task);
    fields_deinit(&task_type, &task);
    return 0;
}
