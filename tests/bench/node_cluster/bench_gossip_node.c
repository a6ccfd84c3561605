/* One gossip node for tests/bench/gossip/run.sh: bench_node_cluster_gossip_node NUMBER COUNT
 * [CONTACT] listens on 127.0.0.NUMBER:7946 (UDP and TCP) and prints what it sees, one line each: up
 * N | down N | left N Keys follow from the number, so that nodes can judge each other without an
 * authority. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <uv.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/gossip_driver.h"
#include "node/cluster/gossip_driver_tcp.h"

struct bench_node {
    unsigned count;
    struct id ids[256];
    struct gossip_driver *driver;
};

static void keys_of(unsigned number, uint8_t *public_key, uint8_t *secret_key)
{
    uint8_t seed[crypto_sign_SEEDBYTES] = { (uint8_t)number };

    (void)crypto_sign_seed_keypair(public_key, secret_key, seed); /* cannot fail */
}

static struct id id_of(unsigned number)
{
    uint8_t random[ID_RANDOM_LEN] = { (uint8_t)number, 7 };

    return id_from_random(random);
}

static unsigned number_of(const struct bench_node *b, const struct id *id)
{
    for (unsigned i = 1; i <= b->count; i++) {
        if (id_equal(&b->ids[i], id))
            return i;
    }
    return 0;
}

static void say(const char *what, unsigned number)
{
    printf("%s %u\n", what, number);
    fflush(stdout);
}

static void on_notice(void *ctx, const struct gossip_notice *n)
{
    struct bench_node *b = ctx;
    unsigned number = number_of(b, &n->id);
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], secret_key[GOSSIP_SECRET_KEY_LEN];

    switch (n->kind) {
    case GOSSIP_NOTICE_CANDIDATE:
        keys_of(number, public_key, secret_key);
        gossip_driver_trust(b->driver, &n->id, public_key);
        break;
    case GOSSIP_NOTICE_JOINED:
    case GOSSIP_NOTICE_ALIVE:
        say("up", number);
        break;
    case GOSSIP_NOTICE_UNREACHABLE:
        say("down", number);
        break;
    case GOSSIP_NOTICE_LEFT:
        say("left", number);
        break;
    case GOSSIP_NOTICE_SUSPECT:
    case GOSSIP_NOTICE_META:
    case GOSSIP_NOTICE_ADDR:
    case GOSSIP_NOTICE_EPOCH:
    case GOSSIP_NOTICE_CONFLICT:
    case GOSSIP_NOTICE_DONE:
        break;
    }
}

static int run(struct bench_node *b, unsigned number, const char *contact)
{
    uv_loop_t *loop = uv_default_loop();
    struct gossip_config core;
    char bind[32];
    struct gossip_driver_config cfg = {
        .loop = loop, .core = &core, .bind = bind, .ctx = b, .on_notice = on_notice
    };
    struct gossip_tcp *tcp;
    struct gossip_contact first = { 0 };
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN];
    int rc;

    (void)snprintf(bind, sizeof(bind), "127.0.0.%u:7946", number);
    gossip_config_init(&core);
    core.id = b->ids[number];
    memset(core.cluster.text, 'b', ID_LEN);
    keys_of(number, public_key, core.secret_key);
    core.keys[0] = (struct gossip_key){ .epoch = 1, .bytes = { 5 } };
    core.key_count = 1;
    core.boot_epoch = 1;
    core.meta = slice_of_str(bind);
    rc = gossip_tcp_new(loop, &tcp);
    if (rc < 0)
        return rc;
    cfg.transport = gossip_tcp_transport(tcp);
    rc = gossip_driver_open(&cfg, &b->driver);
    if (rc == 0)
        rc = gossip_tcp_attach(tcp, b->driver);
    if (rc == 0 && contact != NULL)
        rc = gossip_addr_parse(contact, &first.addr);
    if (rc < 0)
        return rc;
    if (contact != NULL)
        gossip_driver_contacts(b->driver, &first, 1);
    say("up", number);
    return uv_run(loop, UV_RUN_DEFAULT); /* until it is killed */
}

int main(int argc, char **argv)
{
    struct bench_node b = { 0 };
    unsigned number = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    int rc;

    b.count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (number == 0 || number > b.count || b.count > 250) {
        fprintf(stderr, "usage: %s NUMBER COUNT [CONTACT]; see tests/bench/gossip/run.sh\n",
                argv[0]);
        return argc == 1 ? 0 : 2; /* without arguments there is nothing to measure */
    }
    CHECK(sodium_init() >= 0);
    for (unsigned i = 1; i <= b.count; i++)
        b.ids[i] = id_of(i);
    rc = run(&b, number, argc > 3 ? argv[3] : NULL);
    fprintf(stderr, "node %u: %s\n", number, err_text(rc));
    return 1;
}
