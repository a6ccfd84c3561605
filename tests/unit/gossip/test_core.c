/* One node and what may reach it: whom it believes, what it refuses, what it counts. */
#include "support_core.h"

#include <string.h>

#include "base/err.h"

/* Sends one statement from member `from`. */
static void send_statement(struct gossip *g, struct forge *f, unsigned from, enum message_type type,
                           struct slice bytes, mono_ns now)
{
    support_forge_begin(f, from);
    (void)write_message(&f->body, type, bytes, (struct slice){ 0 });
    (void)support_packet(g, from, support_forge_end(f), now);
}

static const struct gossip_notice *find_notice(const struct gossip_output *out,
                                               enum gossip_notice_kind kind)
{
    for (size_t i = 0; i < out->notice_count; i++) {
        if (out->notices[i].kind == kind)
            return &out->notices[i];
    }
    return NULL;
}

/* Does a packet of `out` hold a message of this type? */
static bool says(const struct gossip_output *out, const struct forge *f, enum message_type wanted)
{
    for (size_t i = 0; i < out->packet_count; i++) {
        uint8_t body[GOSSIP_PACKET_LEN_MAX], type;
        struct sealed_by by;
        int len = seal_open(&f->sealer, out->packets[i].bytes, body, &by);
        struct reader r;
        struct slice message;

        assert_true(len >= 16);
        r = reader_of(slice_of(body + 16, (size_t)len - 16)); /* behind sender and digest */
        while (read_message(&r, &type, &message)) {
            if (type == wanted)
                return true;
        }
    }
    return false;
}

static void test_what_no_key_opens_is_refused_and_counted(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f;
    struct slice good;
    uint8_t big[GOSSIP_PACKET_LEN_MAX + 1] = { 1 };
    uint64_t refused = 0;

    (void)state;
    support_meet(g, &f, 2, 0);
    support_forge_begin(&f, 2);
    good = support_forge_end(&f);
    for (size_t len = 0; len < good.len; len++) { /* cut anywhere */
        (void)support_packet(g, 2, slice_of(good.ptr, len), 0);
        assert_int_equal(support_stats(g).refused_seal, ++refused);
    }
    for (size_t i = 0; i < good.len; i++) { /* one bit off anywhere */
        f.buf[i] ^= 1;
        (void)support_packet(g, 2, good, 0);
        f.buf[i] ^= 1;
        assert_int_equal(support_stats(g).refused_seal, ++refused);
    }
    (void)support_packet(g, 2, slice_of(big, sizeof(big)), 0);
    assert_int_equal(support_stats(g).refused_seal, ++refused);
    support_forge_begin(&f, 2);
    f.sealer.keys[0].bytes[5] ^= 1;
    (void)support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).refused_seal, ++refused);
    f.sealer.keys[0].bytes[5] ^= 1;
    f.sealer.cluster = support_id(77); /* the same key, another cluster */
    support_forge_begin(&f, 2);
    (void)support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).refused_seal, ++refused);
    gossip_free(g);
}

static void test_a_packet_counts_once(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f;
    uint8_t copies[80][GOSSIP_PACKET_LEN_MAX];
    size_t lens[80];

    (void)state;
    support_meet(g, &f, 2, 0);
    for (unsigned i = 0; i < 80; i++) {
        support_forge_begin(&f, 2);
        lens[i] = support_forge_end(&f).len;
        memcpy(copies[i], f.buf, lens[i]);
    }
    /* Out of order is fine, as far back as the window reaches; twice never is. */
    for (unsigned i = 0; i < 60; i += 2)
        (void)support_packet(g, 2, slice_of(copies[i], lens[i]), 0);
    for (unsigned i = 1; i < 60; i += 2)
        (void)support_packet(g, 2, slice_of(copies[i], lens[i]), 0);
    assert_int_equal(support_stats(g).refused_replay, 0);
    for (unsigned i = 0; i < 60; i++)
        (void)support_packet(g, 2, slice_of(copies[i], lens[i]), 0);
    assert_int_equal(support_stats(g).refused_replay, 60);
    (void)support_packet(g, 2, slice_of(copies[79], lens[79]), 0);
    (void)support_packet(g, 2, slice_of(copies[60], lens[60]), 0);
    assert_int_equal(support_stats(g).refused_replay, 60);
    gossip_free(g);
}

static void test_a_packet_of_an_earlier_life_is_told_so(void **state)
{
    struct gossip *g = support_node(1);
    struct gossip_output out;
    struct forge f;

    (void)state;
    support_meet(g, &f, 2, 0);
    f.boot_epoch = 4;
    support_forge_begin(&f, 2);
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).refused_replay, 1);
    assert_true(says(&out, &f, MESSAGE_RECORD)); /* its own later one */
    support_forge_begin(&f, 2);
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_false(says(&out, &f, MESSAGE_RECORD)); /* once a second: it may be a replay */
    gossip_free(g);
}

/* Same epoch, other salt: two lives cannot be told apart by their counters, so the later one is
 * told, and steps over the epoch. Whoever is told about its own salt, or a past epoch, stays. */
static void test_a_second_life_of_one_epoch_is_told_so(void **state)
{
    struct gossip *g = support_node(1);
    struct message_stale stale = { .epoch = 5, .salt = 99 };
    struct gossip_output out;
    struct forge f;

    (void)state;
    support_meet(g, &f, 2, 0);
    support_forge_begin(&f, 2);
    (void)support_packet(g, 2, support_forge_end(&f), 0); /* the first life is heard */
    f.sealer.salt++;
    f.sealer.counter += 1000;
    support_forge_begin(&f, 2);
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).refused_replay, 1);
    assert_true(says(&out, &f, MESSAGE_STALE));
    f.sealer.salt--;
    f.sealer.counter -= 1000;
    for (unsigned i = 0; i < 2; i++) { /* the second is of an epoch that is over by then */
        support_forge_begin(&f, 2);
        write_stale(&f.body, &stale);
        out = support_packet(g, 2, support_forge_end(&f), 0);
        assert_int_equal(gossip_self_incarnation(g).epoch, 6);
        assert_int_equal(find_notice(&out, GOSSIP_NOTICE_EPOCH) != NULL, i == 0);
    }
    stale = (struct message_stale){ .epoch = 6, .salt = 1 }; /* our own salt */
    support_forge_begin(&f, 2);
    write_stale(&f.body, &stale);
    (void)support_packet(g, 2, support_forge_end(&f), 10 * NS_PER_S);
    assert_int_equal(gossip_self_incarnation(g).epoch, 6);
    gossip_free(g);
}

/* The record of a later life was not heard, but a packet of it was. */
static void test_an_epoch_known_from_packets_only_is_told_too(void **state)
{
    const struct {
        uint64_t said, then;
    } cases[] = { { 8, 9 }, { 8, 9 }, { 1009, 1010 }, { 5000, 1010 } }; /* no leap to the end */
    struct gossip *g = support_node(1);
    struct gossip_output out;
    struct forge f;
    mono_ns now = 0;

    (void)state;
    support_meet(g, &f, 2, 0);
    for (f.boot_epoch = 7; f.boot_epoch >= 5; f.boot_epoch -= 2) {
        support_forge_begin(&f, 2);
        out = support_packet(g, 2, support_forge_end(&f), 0);
        assert_int_equal(says(&out, &f, MESSAGE_STALE), f.boot_epoch == 5);
    }
    f.boot_epoch = 7;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct message_stale stale = { .epoch = cases[i].said, .salt = 99 };

        for (unsigned k = 0; k < 100; k++, now += 50 * NS_PER_MS) /* awake: no stall */
            (void)support_plain(g, GOSSIP_TIMEOUT, now);
        support_forge_begin(&f, 2);
        write_stale(&f.body, &stale);
        (void)support_packet(g, 2, support_forge_end(&f), now);
        assert_int_equal(gossip_self_incarnation(g).epoch, cases[i].then);
    }
    gossip_free(g);
}

/* memberlist's security model: any holder of the key can speak for anyone. Not here. */
static void test_nobody_speaks_for_another(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f, f3;
    uint8_t bytes[RECORD_LEN_MAX];
    struct gossip_member_info info;
    struct id id = support_id(2);

    (void)state;
    support_meet(g, &f, 2, 0);
    support_meet(g, &f3, 3, 0);
    send_statement(g, &f3, 3, MESSAGE_RECORD, support_record(bytes, 2, 9, 0, 3), 0);
    assert_int_equal(support_stats(g).refused_signature, 1);
    assert_int_equal(gossip_member_get(g, &id, &info), 0);
    assert_int_equal(info.incarnation.epoch, 5);
    send_statement(g, &f3, 3, MESSAGE_ACCUSATION, support_accusation(bytes, 2, 5, 0, 1, 3), 0);
    assert_int_equal(support_stats(g).refused_signature, 2);
    send_statement(g, &f3, 3, MESSAGE_ACCUSATION, support_accusation(bytes, 2, 5, 0, 50, 50), 0);
    assert_int_equal(support_member_status(g, 2), GOSSIP_ALIVE); /* a stranger accuses */
    send_statement(g, &f3, 3, MESSAGE_ACCUSATION, support_accusation(bytes, 2, 5, 0, 3, 3), 0);
    assert_int_equal(support_member_status(g, 2), GOSSIP_SUSPECT); /* a member may */
    gossip_free(g);
}

static void test_absurd_incarnations_are_malformed(void **state)
{
    const uint64_t epochs[] = { 0, EPOCH_MAX + 1, UINT64_MAX };
    struct gossip *g = support_node(1);
    struct forge f;
    uint8_t bytes[RECORD_LEN_MAX];

    (void)state;
    support_meet(g, &f, 2, 0);
    for (size_t i = 0; i < ARRAY_LEN(epochs); i++) {
        send_statement(g, &f, 2, MESSAGE_RECORD, support_record(bytes, 2, epochs[i], 0, 2), 0);
        assert_int_equal(support_stats(g).refused_malformed, i + 1);
    }
    send_statement(g, &f, 2, MESSAGE_RECORD, support_record(bytes, 2, EPOCH_MAX, UINT32_MAX, 2), 0);
    assert_int_equal(support_stats(g).refused_malformed, ARRAY_LEN(epochs)); /* odd, but its own */
    gossip_free(g);
}

/* serf #336: a suspicion of oneself, or one that nobody made. */
static void test_an_accusation_names_two_different_nodes(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f;
    uint8_t bytes[ACCUSATION_LEN];

    (void)state;
    support_meet(g, &f, 2, 0);
    send_statement(g, &f, 2, MESSAGE_ACCUSATION, support_accusation(bytes, 2, 5, 0, 2, 2), 0);
    memset(bytes, 0, sizeof(bytes));
    send_statement(g, &f, 2, MESSAGE_ACCUSATION, slice_of(bytes, sizeof(bytes)), 0);
    assert_int_equal(support_stats(g).refused_malformed, 2);
    assert_int_equal(support_member_status(g, 2), GOSSIP_ALIVE);
    gossip_free(g);
}

static void test_the_accused_answers_with_a_higher_incarnation(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f;
    uint8_t bytes[ACCUSATION_LEN];

    (void)state;
    support_meet(g, &f, 2, 0);
    send_statement(g, &f, 2, MESSAGE_ACCUSATION, support_accusation(bytes, 1, 5, 0, 2, 2), 0);
    assert_int_equal(gossip_self_incarnation(g).counter, 1);
    send_statement(g, &f, 2, MESSAGE_ACCUSATION, support_accusation(bytes, 1, 5, 0, 2, 2), 0);
    assert_int_equal(gossip_self_incarnation(g).counter, 1); /* answered already */
    assert_int_equal(support_stats(g).refutations, 1);
    gossip_free(g);
}

static void test_strangers_are_candidates_until_the_host_speaks(void **state)
{
    struct gossip *g = support_node(1);
    struct gossip_output out;
    struct forge f;
    uint8_t bytes[RECORD_LEN_MAX];
    struct slice record = support_record(bytes, 2, 5, 0, 2);
    struct gossip_event forget = { .kind = GOSSIP_FORGET, .id = support_id(2) };

    (void)state;
    support_forge_init(&f, 2);
    (void)write_message(&f.body, MESSAGE_RECORD, record, (struct slice){ 0 });
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_non_null(find_notice(&out, GOSSIP_NOTICE_CANDIDATE));
    assert_int_equal(support_stats(g).member_count, 1);
    assert_int_equal(support_stats(g).candidate_count, 1);

    /* Refused: not asked again for a minute, then once more. */
    (void)support_step(g, &forget, 0);
    for (mono_ns t = 0; t < 59 * NS_PER_S; t += NS_PER_S) {
        (void)support_plain(g, GOSSIP_TIMEOUT, t);
        support_forge_begin(&f, 2);
        (void)write_message(&f.body, MESSAGE_RECORD, record, (struct slice){ 0 });
        out = support_packet(g, 2, support_forge_end(&f), t);
        assert_null(find_notice(&out, GOSSIP_NOTICE_CANDIDATE));
    }
    out = support_trust(g, 2, 59 * NS_PER_S);
    assert_int_equal(support_stats(g).candidate_count, 0);
    send_statement(g, &f, 2, MESSAGE_RECORD, record, 59 * NS_PER_S);
    assert_int_equal(support_member_status(g, 2), GOSSIP_ALIVE);
    (void)support_step(g, &forget, 60 * NS_PER_S);
    assert_int_equal(support_member_status(g, 2), GOSSIP_UNKNOWN);
    assert_int_equal(support_stats(g).alive_count, 1);
    gossip_free(g);
}

/* A later record whose metadata nobody has any more (its node died while saying it) must not hide
 * the one that the others hold and can prove: the host would never be asked. */
static void test_a_candidate_that_is_whole_beats_a_later_one_that_is_not(void **state)
{
    struct gossip *g = support_node(1);
    uint8_t meta[600] = { 7 }; /* too long to travel with gossip */
    uint8_t bytes[RECORD_LEN_MAX];
    struct gossip_output out;
    struct forge f;

    (void)state;
    support_forge_init(&f, 2);
    (void)write_message(&f.body, MESSAGE_RECORD,
                        support_record_with(bytes, 2, 6, 0, 2, slice_of(meta, sizeof(meta))),
                        (struct slice){ 0 });
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_null(find_notice(&out, GOSSIP_NOTICE_CANDIDATE)); /* not before it is whole */
    support_forge_begin(&f, 2);
    (void)write_message(&f.body, MESSAGE_RECORD, support_record(bytes, 2, 5, 0, 2),
                        (struct slice){ 0 });
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_non_null(find_notice(&out, GOSSIP_NOTICE_CANDIDATE));
    (void)support_trust(g, 2, 0);
    assert_int_equal(support_member_status(g, 2), GOSSIP_ALIVE);
    gossip_free(g);
}

static void test_candidates_are_bounded(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f;
    uint8_t bytes[RECORD_LEN_MAX];

    (void)state;
    support_meet(g, &f, 2, 0);
    for (unsigned i = 100; i < 100 + 2 * GOSSIP_CANDIDATES_MAX; i++)
        send_statement(g, &f, 2, MESSAGE_RECORD, support_record(bytes, i, 5, 0, i), 0);
    assert_int_equal(support_stats(g).candidate_count, GOSSIP_CANDIDATES_MAX);
    assert_int_equal(support_stats(g).refused_full, GOSSIP_CANDIDATES_MAX);
    gossip_free(g);
}

static void test_members_are_bounded(void **state)
{
    struct gossip_config cfg = support_config(1);
    struct gossip_output out;
    struct gossip *g;
    uint8_t key[GOSSIP_PUBLIC_KEY_LEN] = { 1 };

    (void)state;
    cfg.member_count_max = 3;
    assert_int_equal(gossip_new(&cfg, &g), 0);
    (void)support_plain(g, GOSSIP_START, 0);
    (void)support_trust(g, 2, 0);
    (void)support_trust(g, 3, 0);
    assert_int_equal(gossip_step(g,
                                 &(struct gossip_event){
                                     .kind = GOSSIP_TRUST, .id = support_id(4), .public_key = key },
                                 0, &out),
                     ERR_FULL);
    gossip_free(g);
}

static void test_rotation_accepts_the_previous_key_until_it_is_dropped(void **state)
{
    struct gossip_key keys[2] = { support_gossip_key(2), support_gossip_key(1) };
    struct gossip_event rotate = { .kind = GOSSIP_SET_KEYS, .keys = keys, .key_count = 2 };
    struct gossip *g = support_node(1);
    struct forge f;

    (void)state;
    support_meet(g, &f, 2, 0);
    (void)support_step(g, &rotate, 0);
    assert_int_equal(support_stats(g).key_lag_count, 1); /* progress can be seen */
    support_forge_begin(&f, 2);
    (void)support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).refused_seal, 0);
    f.sealer.keys[0] = support_gossip_key(2);
    support_forge_begin(&f, 2);
    (void)support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).key_lag_count, 0);
    rotate.key_count = 1;
    (void)support_step(g, &rotate, 0);
    f.sealer.keys[0] = support_gossip_key(1);
    support_forge_begin(&f, 2);
    (void)support_packet(g, 2, support_forge_end(&f), 0);
    assert_int_equal(support_stats(g).refused_seal, 1);
    gossip_free(g);
}

static void test_messages_of_a_later_version_are_passed_over(void **state)
{
    struct gossip *g = support_node(1);
    struct gossip_output out;
    struct forge f;

    (void)state;
    support_meet(g, &f, 2, 0);
    support_forge_begin(&f, 2);
    (void)write_message(&f.body, (enum message_type)200, slice_of("new", 3), (struct slice){ 0 });
    write_ping(&f.body, &(struct message_ping){ .seq = 7 });
    out = support_packet(g, 2, support_forge_end(&f), 0);
    assert_true(says(&out, &f, MESSAGE_ACK)); /* the answer to the ping behind it */
    assert_int_equal(support_stats(g).refused_malformed, 0);
    gossip_free(g);
}

/* Runs the node's own time until `until`, answering nothing. */
static mono_ns run(struct gossip *g, mono_ns from, mono_ns until)
{
    struct gossip_output out = support_plain(g, GOSSIP_TIMEOUT, from);

    while (out.deadline < until)
        out = support_plain(g, GOSSIP_TIMEOUT, out.deadline);
    return until;
}

static void test_a_live_link_speaks_for_its_node(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f;
    mono_ns now = 0;

    (void)state;
    support_meet(g, &f, 2, 0);
    for (unsigned i = 0; i < 30; i++) {
        (void)support_step(
            g, &(struct gossip_event){ .kind = GOSSIP_LINK_ALIVE, .id = support_id(2) }, now);
        now = run(g, now, now + NS_PER_S);
        assert_true(support_member_status(g, 2) != GOSSIP_UNREACHABLE);
    }
    now = run(g, now, now + 10 * NS_PER_S);
    assert_int_equal(support_member_status(g, 2), GOSSIP_UNREACHABLE);
    gossip_free(g);
}

/* Others cannot reach it; we can, by its link. */
static void test_a_live_link_outweighs_the_word_of_others(void **state)
{
    struct gossip *g = support_node(1);
    struct forge f[4];
    uint8_t bytes[ACCUSATION_LEN];
    mono_ns now = 0;

    (void)state;
    for (unsigned i = 2; i < 6; i++)
        support_meet(g, &f[i - 2], i, 0);
    for (unsigned i = 3; i < 6; i++)
        send_statement(g, &f[1], 3, MESSAGE_ACCUSATION, support_accusation(bytes, 2, 5, 0, i, i),
                       0);
    for (unsigned i = 0; i < 10; i++) {
        (void)support_step(
            g, &(struct gossip_event){ .kind = GOSSIP_LINK_ALIVE, .id = support_id(2) }, now);
        now = run(g, now, now + NS_PER_S);
        assert_int_equal(support_member_status(g, 2), GOSSIP_SUSPECT);
    }
    gossip_free(g);
}

static void test_a_node_that_slept_gives_answers_time_to_arrive(void **state)
{
    struct gossip *g = support_node(1);
    struct gossip_output out;
    struct forge f;
    mono_ns now = 0;

    (void)state;
    support_meet(g, &f, 2, 0);
    for (unsigned i = 0; i < 10; i++) { /* each wake-up is seconds late */
        out = support_plain(g, GOSSIP_TIMEOUT, now);
        now = out.deadline + 5 * NS_PER_S;
    }
    assert_int_equal(support_member_status(g, 2), GOSSIP_ALIVE);
    assert_true(support_stats(g).stalls >= 9);
    gossip_free(g);
}

/* Every length and slowness that a stream may have. */
static void test_streams_end_when_they_misbehave(void **state)
{
    const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff };
    const uint8_t small[] = { 0, 0, 0, 1, 9 };
    const struct {
        const char *why;
        struct slice bytes;
        mono_ns wait;
    } cases[] = {
        { "a length beyond every frame", slice_of(huge, sizeof(huge)), 0 },
        { "a length below every frame", slice_of(small, sizeof(small)), 0 },
        { "three bytes and then silence", slice_of(huge, 3), 21 * NS_PER_S },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct gossip *g = support_node(1);
        struct gossip_event e = { .kind = GOSSIP_STREAM_INBOUND, .stream = 2 };
        struct gossip_output out;
        bool closed = false;

        print_message("  %s\n", cases[i].why);
        (void)support_step(g, &e, 0);
        e.kind = GOSSIP_STREAM_DATA;
        e.bytes = cases[i].bytes;
        out = support_step(g, &e, 0);
        while (!closed && out.deadline <= cases[i].wait + NS_PER_S) {
            closed = out.stream_count == 1 && out.streams[0].kind == GOSSIP_STREAM_CLOSE;
            if (!closed)
                out = support_plain(g, GOSSIP_TIMEOUT, out.deadline);
        }
        assert_true(closed);
        gossip_free(g);
    }
}

static void test_inbound_streams_are_bounded(void **state)
{
    struct gossip *g = support_node(1);
    struct gossip_output out;

    (void)state;
    for (uint64_t i = 1; i <= GOSSIP_STREAMS_IN_MAX + 1; i++) {
        out = support_step(
            g, &(struct gossip_event){ .kind = GOSSIP_STREAM_INBOUND, .stream = 2 * i }, 0);
        assert_int_equal(out.stream_count, i > GOSSIP_STREAMS_IN_MAX);
    }
    gossip_free(g);
}

static void test_a_configuration_that_breaks_a_rule_is_refused(void **state)
{
    struct gossip_config cfg;
    struct gossip *g;

    (void)state;
#define REFUSED(change)                                      \
    do {                                                     \
        cfg = support_config(1);                             \
        change;                                              \
        assert_int_equal(gossip_new(&cfg, &g), ERR_INVALID); \
    } while (0)
    REFUSED(cfg.key_count = 0);
    REFUSED(cfg.boot_epoch = 0);
    REFUSED(cfg.boot_epoch = EPOCH_MAX + 1);
    REFUSED(cfg.addr.len = 0);
    REFUSED(cfg.id.text[0] = '\0');
    REFUSED(cfg.meta.len = GOSSIP_META_LEN_MAX + 1);
    REFUSED(cfg.packet_len_max = GOSSIP_PACKET_LEN_MAX + 1);
    REFUSED(cfg.gossip_fanout = 0);
    REFUSED((cfg.key_count = 2, cfg.keys[1] = cfg.keys[0]));
#undef REFUSED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_no_key_opens_is_refused_and_counted),
        cmocka_unit_test(test_a_packet_counts_once),
        cmocka_unit_test(test_a_packet_of_an_earlier_life_is_told_so),
        cmocka_unit_test(test_a_second_life_of_one_epoch_is_told_so),
        cmocka_unit_test(test_an_epoch_known_from_packets_only_is_told_too),
        cmocka_unit_test(test_nobody_speaks_for_another),
        cmocka_unit_test(test_absurd_incarnations_are_malformed),
        cmocka_unit_test(test_an_accusation_names_two_different_nodes),
        cmocka_unit_test(test_the_accused_answers_with_a_higher_incarnation),
        cmocka_unit_test(test_strangers_are_candidates_until_the_host_speaks),
        cmocka_unit_test(test_a_candidate_that_is_whole_beats_a_later_one_that_is_not),
        cmocka_unit_test(test_candidates_are_bounded),
        cmocka_unit_test(test_members_are_bounded),
        cmocka_unit_test(test_rotation_accepts_the_previous_key_until_it_is_dropped),
        cmocka_unit_test(test_messages_of_a_later_version_are_passed_over),
        cmocka_unit_test(test_a_live_link_speaks_for_its_node),
        cmocka_unit_test(test_a_live_link_outweighs_the_word_of_others),
        cmocka_unit_test(test_a_node_that_slept_gives_answers_time_to_arrive),
        cmocka_unit_test(test_streams_end_when_they_misbehave),
        cmocka_unit_test(test_inbound_streams_are_bounded),
        cmocka_unit_test(test_a_configuration_that_breaks_a_rule_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
