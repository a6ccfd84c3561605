/* One node's overlay, driven by commands on standard input; tests and benchmarks start several in
 * network namespaces and let them talk. Ids, keys and MACs follow from names, so that nodes need
 * not be told each other's.
 *
 *   usage: bench_overlaynet_node NAME RUN_DIR STATE_DIR ADDR [option=value ..]
 *          options: lanes, mtu, port, engine=libsodium, cipher=chacha, egress=PREFIX
 *   commands, each answered by one line that begins with its first word, or with "error":
 *     net NAME VNI SUBNET4|- SUBNET6|- [internal] [clear] [mtu=N]     nonet NAME
 *     peer NAME ADDR [PORT]                                          nopeer NAME
 *     ep NET NAME NODE ADDR4|- ADDR6|- [GENERATION] [gateway]        noep NET NAME
 *     many NET COUNT PEERS        so many endpoints on so many nodes that do not exist
 *     box NAME [egress] [host] [publish=HOST:TARGET ..] NET ADDR4|- ADDR6|- IFNAME [NET ..] nobox
 * NAME settle   reconcile   stats [NET]   peerstat NAME   status   quit */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "overlaynet/aead.h"
#include "overlaynet/overlay.h"
#include "overlaynet/overlay_impl.h"

#define WORDS_MAX 64

static struct overlay *overlay;
static uv_loop_t *loop;
static uv_pipe_t input;
static char line[8192];
static size_t line_len;

static struct id id_of(const char *name)
{
    uint8_t digest[16];

    crypto_generichash(digest, sizeof(digest), (const uint8_t *)name, strlen(name), NULL, 0);
    return id_from_random(digest);
}

static void keys_of(const char *name, uint8_t secret[32], uint8_t public_key[32])
{
    crypto_generichash(secret, 32, (const uint8_t *)name, strlen(name),
                       (const uint8_t *)"bench key of a node", 19);
    crypto_scalarmult_base(public_key, secret);
}

static void answer(const char *what, int rc, const char *why)
{
    if (rc < 0)
        printf("error %s: %s: %s\n", what, err_name(rc), why[0] != '\0' ? why : err_text(rc));
    else
        printf("%s ok\n", what);
    fflush(stdout);
}

static struct ip_addr addr_of(const char *text)
{
    struct ip_addr a = { 0 };

    if (strcmp(text, "-") != 0 && ip_parse(slice_of_str(text), &a) < 0)
        printf("error address %s\n", text);
    return a;
}

static struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix p = { 0 };

    if (strcmp(text, "-") != 0 && ip_prefix_parse(slice_of_str(text), &p) < 0)
        printf("error prefix %s\n", text);
    return p;
}

static void do_net(char **w, int n)
{
    struct overlay_network net = { .id = id_of(w[1]),
                                   .vni = (uint32_t)strtoul(w[2], NULL, 10),
                                   .subnet4 = prefix_of(w[3]),
                                   .subnet6 = prefix_of(w[4]),
                                   .encrypted = true };

    snprintf(net.name, sizeof(net.name), "%s", w[1]);
    for (int i = 5; i < n; i++) {
        if (strcmp(w[i], "internal") == 0)
            net.internal = true;
        else if (strcmp(w[i], "clear") == 0)
            net.encrypted = false;
        else if (strncmp(w[i], "mtu=", 4) == 0)
            net.mtu = (uint32_t)strtoul(w[i] + 4, NULL, 10);
    }
    answer("net", overlay_network_set(overlay, &net), "");
}

static void do_peer(char **w, int n)
{
    struct overlay_peer p = { .node_id = id_of(w[1]), .addr_count = 1 };
    uint8_t secret[32];

    keys_of(w[1], secret, p.static_public);
    p.addrs[0].addr = addr_of(w[2]);
    p.addrs[0].port = n > 3 ? (uint16_t)strtoul(w[3], NULL, 10) : 0;
    answer("peer", overlay_peer_set(overlay, &p), "");
}

static void set_mac(const struct id *net, const struct ip_addr *a4, const struct ip_addr *a6,
                    uint64_t generation, uint8_t *mac)
{
    overlay_mac(net, ip_is_none(a4) ? a6 : a4, generation, mac);
}

static void do_ep(char **w, int n)
{
    struct overlay_endpoint e = { .network_id = id_of(w[1]),
                                  .endpoint_id = id_of(w[2]),
                                  .node_id = id_of(w[3]),
                                  .ip4 = addr_of(w[4]),
                                  .ip6 = addr_of(w[5]),
                                  .generation = 1 };

    for (int i = 6; i < n; i++) {
        if (strcmp(w[i], "gateway") == 0)
            e.gateway = true;
        else
            e.generation = strtoull(w[i], NULL, 10);
    }
    set_mac(&e.network_id, &e.ip4, &e.ip6, e.generation, e.mac);
    answer("ep", overlay_endpoint_set(overlay, &e), "");
}

/* Endpoints from the end of a 10.0.0.0/8-like subnet downwards, so they are in nobody's way. */
static void do_many(char **w)
{
    struct id net = id_of(w[1]);
    uint32_t count = (uint32_t)strtoul(w[2], NULL, 10), peers = (uint32_t)strtoul(w[3], NULL, 10);
    uint64_t start = uv_hrtime();
    int rc = 0;

    for (uint32_t i = 0; i < peers && rc == 0; i++) {
        struct overlay_peer p = { .addr_count = 1 };
        char name[32];
        uint8_t secret[32];

        snprintf(name, sizeof(name), "ghost%" PRIu32, i);
        p.node_id = id_of(name);
        keys_of(name, secret, p.static_public);
        p.addrs[0].addr = ip4_of_u32(0x7f000001);
        p.addrs[0].port = 9;
        rc = overlay_peer_set(overlay, &p);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct overlay_endpoint e = { .network_id = net, .generation = 1 };
        char name[32];

        snprintf(name, sizeof(name), "many%" PRIu32, i);
        e.endpoint_id = id_of(name);
        snprintf(name, sizeof(name), "ghost%" PRIu32, i % peers);
        e.node_id = id_of(name);
        e.ip4 = ip4_of_u32(UINT32_C(0x0a1fff00) - i);
        set_mac(&net, &e.ip4, &e.ip6, 1, e.mac);
        rc = overlay_endpoint_set(overlay, &e);
    }
    if (rc < 0)
        answer("many", rc, "");
    else
        printf("many ok %.1f ms\n", (double)(uv_hrtime() - start) / 1e6);
    fflush(stdout);
}

static void on_box(void *ctx, int err, const char *why)
{
    answer(ctx, err, why);
}

static void do_box(char **w, int n)
{
    struct overlay_attachment legs[8];
    struct overlay_publish ports[8];
    struct overlay_sandbox s = { .id = id_of(w[1]), .attachments = legs, .publish = ports };
    int i = 2;

    memset(legs, 0, sizeof(legs));
    for (; i < n && (strcmp(w[i], "egress") == 0 || strcmp(w[i], "host") == 0); i++) {
        s.egress |= strcmp(w[i], "egress") == 0;
        s.in_host |= strcmp(w[i], "host") == 0;
    }
    for (; i < n && strncmp(w[i], "publish=", 8) == 0 && s.publish_count < ARRAY_LEN(ports); i++) {
        char *colon = strchr(w[i], ':');

        ports[s.publish_count++] = (struct overlay_publish){
            .protocol = IPPROTO_TCP,
            .host_port = (uint16_t)strtoul(w[i] + 8, NULL, 10),
            .target_port = colon == NULL ? 0 : (uint16_t)strtoul(colon + 1, NULL, 10),
        };
    }
    for (; i + 3 < n && s.attachment_count < ARRAY_LEN(legs); i += 4) {
        struct overlay_attachment *a = &legs[s.attachment_count++];
        char name[128];

        snprintf(name, sizeof(name), "%s/%s", w[1], w[i]);
        a->network_id = id_of(w[i]);
        a->endpoint_id = id_of(name);
        a->ip4 = addr_of(w[i + 1]);
        a->ip6 = addr_of(w[i + 2]);
        a->generation = 1;
        a->gateway = s.in_host;
        snprintf(a->ifname, sizeof(a->ifname), "%s", w[i + 3]);
        set_mac(&a->network_id, &a->ip4, &a->ip6, 1, a->mac);
    }
    overlay_sandbox_create(overlay, &s, on_box, (void *)(uintptr_t) "box");
}

static void do_stats(char **w, int n)
{
    struct overlay_counters c;
    struct id id;
    int rc;

    if (n > 1)
        id = id_of(w[1]);
    rc = overlay_stats(overlay, n > 1 ? &id : NULL, &c);
    if (rc < 0) {
        answer("stats", rc, "");
        return;
    }
    printf("stats tx_frames=%" PRIu64 " tx_packets=%" PRIu64 " tx_bytes=%" PRIu64
           " rx_frames=%" PRIu64 " rx_packets=%" PRIu64 " rx_bytes=%" PRIu64 " answered=%" PRIu64
           " gathered=%" PRIu64,
           c.tx_frames, c.tx_packets, c.tx_bytes, c.rx_frames, c.rx_packets, c.rx_bytes, c.answered,
           c.gathered);
#define SHOW(name, meaning) \
    if (c.drops.name != 0)  \
        printf(" " #name "=%" PRIu64, c.drops.name);
    OVERLAY_DROP_LIST(SHOW)
#undef SHOW
    printf("\n");
    fflush(stdout);
}

static void do_peerstat(char **w)
{
    struct id id = id_of(w[1]);
    struct overlay_peer_status s;
    char text[IP_TEXT_MAX];
    int rc = overlay_peer_status(overlay, &id, &s);

    if (rc < 0) {
        answer("peerstat", rc, "");
        return;
    }
    printf("peerstat up=%d addr=%s mtu=%" PRIu32 " age_ms=%" PRIu64 " handshakes=%" PRIu64
           " cipher=%s\n",
           s.up, ip_format(&s.addr.addr, text), s.path_mtu, s.session_age_ns / 1000000,
           s.handshakes, s.cipher);
    fflush(stdout);
}

static void do_status(void)
{
    struct overlay_status s;

    overlay_status(overlay, &s);
    printf("status networks=%zu peers=%zu up=%zu endpoints=%zu sandboxes=%zu memory=%zu lanes=%u "
           "engine=%s gso=%d gro=%d uso=%d drift=%" PRIu64 "\n",
           s.networks, s.peers, s.peers_up, s.endpoints, s.sandboxes, s.memory_bytes, s.lanes,
           s.cipher_engine, s.udp_gso, s.udp_gro, s.tap_uso, s.drift_total);
    fflush(stdout);
}

static void on_closed(void *ctx)
{
    (void)ctx;
    uv_close((uv_handle_t *)&input, NULL);
}

static void run_command(char *text)
{
    char *w[WORDS_MAX] = { 0 };
    int n = 0;

    for (char *p = strtok(text, " \t"); p != NULL && n < WORDS_MAX; p = strtok(NULL, " \t"))
        w[n++] = p;
    if (n == 0)
        return;
    if (strcmp(w[0], "net") == 0 && n >= 5) {
        do_net(w, n);
    } else if (strcmp(w[0], "nonet") == 0 && n == 2) {
        struct id id = id_of(w[1]);

        answer("nonet", overlay_network_remove(overlay, &id), "");
    } else if (strcmp(w[0], "peer") == 0 && n >= 3) {
        do_peer(w, n);
    } else if (strcmp(w[0], "nopeer") == 0 && n == 2) {
        struct id id = id_of(w[1]);

        overlay_peer_remove(overlay, &id);
        answer("nopeer", 0, "");
    } else if (strcmp(w[0], "ep") == 0 && n >= 6) {
        do_ep(w, n);
    } else if (strcmp(w[0], "noep") == 0 && n == 3) {
        struct id net = id_of(w[1]), id = id_of(w[2]);

        overlay_endpoint_remove(overlay, &net, &id);
        answer("noep", 0, "");
    } else if (strcmp(w[0], "many") == 0 && n == 4) {
        do_many(w);
    } else if (strcmp(w[0], "box") == 0 && n >= 2) {
        do_box(w, n);
    } else if (strcmp(w[0], "nobox") == 0 && n == 2) {
        struct id id = id_of(w[1]);

        overlay_sandbox_destroy(overlay, &id, on_box, (void *)(uintptr_t) "nobox");
    } else if (strcmp(w[0], "netns") == 0 && n == 2) {
        struct id id = id_of(w[1]);
        char path[OVERLAY_PATH_MAX];

        overlay_sandbox_netns(overlay, &id, path);
        printf("netns %s\n", path);
        fflush(stdout);
    } else if (strcmp(w[0], "id") == 0 && n == 2) {
        struct id id = id_of(w[1]);

        printf("id %s\n", id.text);
        fflush(stdout);
    } else if (strcmp(w[0], "settle") == 0) {
        overlay_settle(overlay);
        answer("settle", 0, "");
    } else if (strcmp(w[0], "reconcile") == 0) {
        overlay_reconcile(overlay);
        answer("reconcile", 0, "");
    } else if (strcmp(w[0], "stats") == 0) {
        do_stats(w, n);
    } else if (strcmp(w[0], "peerstat") == 0 && n == 2) {
        do_peerstat(w);
    } else if (strcmp(w[0], "status") == 0) {
        do_status();
    } else if (strcmp(w[0], "quit") == 0) {
        overlay_close(overlay, on_closed, NULL);
    } else {
        printf("error unknown command %s\n", w[0]);
        fflush(stdout);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(line + line_len, (unsigned)(sizeof(line) - 1 - line_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    char *end;

    (void)buf;
    if (n < 0) {
        uv_read_stop(stream);
        overlay_close(overlay, on_closed, NULL);
        return;
    }
    line_len += (size_t)n;
    line[line_len] = '\0';
    while ((end = strchr(line, '\n')) != NULL) {
        size_t used = (size_t)(end + 1 - line);
        char command[sizeof(line)];

        memcpy(command, line, used);
        command[used - 1] = '\0';
        memmove(line, line + used, line_len - used + 1);
        line_len -= used;
        run_command(command);
    }
}

static void on_event(void *ctx, const struct overlay_event *e)
{
    static const char *const names[] = { "peer-up",        "peer-down", "network-ready",
                                         "network-failed", "drift",     "path-mtu" };

    (void)ctx;
    fprintf(stderr, "event %s %s %s %" PRIu32 " %s\n", names[e->kind], e->subject.text,
            e->err < 0 ? err_name(e->err) : "-", e->value, e->detail);
}

int main(int argc, char **argv)
{
    struct overlay_config cfg = { .on_event = on_event, .no_egress = true };
    char why[256] = "";
    int rc;

    if (argc < 5) {
        fprintf(stderr, "usage: %s NAME RUN_DIR STATE_DIR ADDR [option=value ..]\n", argv[0]);
        return 2;
    }
    loop = uv_default_loop();
    if (aead_start() < 0)
        return 1;
    cfg.loop = loop;
    cfg.node_id = id_of(argv[1]);
    keys_of(argv[1], cfg.static_secret, cfg.static_public);
    cfg.run_dir = argv[2];
    cfg.state_dir = argv[3];
    cfg.bind.addr = addr_of(argv[4]);
    for (int i = 5; i < argc; i++) {
        if (strncmp(argv[i], "lanes=", 6) == 0)
            cfg.lanes = (unsigned)strtoul(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "mtu=", 4) == 0)
            cfg.underlay_mtu = (uint32_t)strtoul(argv[i] + 4, NULL, 10);
        else if (strncmp(argv[i], "port=", 5) == 0)
            cfg.bind.port = (uint16_t)strtoul(argv[i] + 5, NULL, 10);
        else if (strcmp(argv[i], "engine=libsodium") == 0)
            aead_force_sodium(true);
        else if (strcmp(argv[i], "cipher=chacha") == 0)
            cfg.no_hardware_aes = true;
        else if (strncmp(argv[i], "egress=", 7) == 0) {
            cfg.no_egress = false;
            cfg.egress4 = prefix_of(argv[i] + 7);
        }
    }
    rc = overlay_open(&cfg, &overlay, why, sizeof(why));
    if (rc < 0) {
        answer("open", rc, why);
        return 1;
    }
    answer("open", 0, "");
    uv_pipe_init(loop, &input, 0);
    if (uv_pipe_open(&input, 0) < 0 ||
        uv_read_start((uv_stream_t *)&input, on_alloc, on_read) < 0) {
        fprintf(stderr, "standard input is no pipe\n");
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
