#include "support_hosts.h"

#include <ftw.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/err.h"
#include "base/log.h"
#include "node/cluster/token.h"
#include "tests/support/unit.h"

/* --- A network of our own */

static void skip_all(const char *why)
{
    (void)fprintf(stderr, "skipped: %s\n", why);
    exit(77);
}

static void enter_namespace(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    static bool is_in;
    int fd;

    if (is_in)
        return;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
        skip_all("network namespaces cannot be made here");
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    (void)close(fd);
    is_in = true;
}

/* --- Parts */

static void on_ready(void *owner, int err, const char *message)
{
    struct host_node *n = owner;

    if (err == ERR_UNSUPPORTED)
        skip_all(message);
    if (err < 0)
        fail_msg("runtime: %s", message);
    n->is_ready = true;
}

static void on_container(void *owner, enum container_event_kind kind,
                         const struct container_info *info)
{
    struct host_node *n = owner;

    if (n->member != NULL)
        member_container(n->member, kind, info);
}

static void on_changed(void *ctx, const struct store_changes *changes)
{
    (void)ctx;
    (void)changes;
}

static void on_failed(void *ctx, const char *why)
{
    struct host_node *n = ctx;

    print_message("  host %s: %s\n", n->address, why);
    n->has_failed = true;
}

static void fill_options(struct host_node *n, size_t number)
{
    (void)snprintf(n->address, sizeof(n->address), "127.0.0.%zu", number);
    (void)snprintf(n->listen, sizeof(n->listen), "%s:2377", n->address);
    (void)snprintf(n->gossip, sizeof(n->gossip), "%s:7946", n->address);
    (void)snprintf(n->state_dir, sizeof(n->state_dir), "%s/%zu-state", n->hosts->dir, number);
    (void)snprintf(n->run_dir, sizeof(n->run_dir), "%s/%zu-run", n->hosts->dir, number);
    (void)snprintf(n->cgroup, sizeof(n->cgroup), "/shoal-test-%d-%zu", (int)getpid(), number);
    n->options = (struct options){ .state_dir = n->state_dir,
                                   .run_dir = n->run_dir,
                                   .hostname = n->address,
                                   .listen = n->listen,
                                   .gossip = n->gossip,
                                   .advertise = n->address,
                                   .data_port = (unsigned)(17947 + number) };
    assert_int_equal(mkdir(n->state_dir, 0700), 0);
    assert_int_equal(mkdir(n->run_dir, 0700), 0);
}

void host_node_start(struct host_node *n)
{
    char state[80], run[80];
    struct runtime_config runtime = { .loop = &n->hosts->loop,
                                      .state_dir = state,
                                      .run_dir = run,
                                      .cgroup_parent = n->cgroup,
                                      .owner = n,
                                      .on_ready = on_ready,
                                      .on_event = on_container };
    struct member_config member = { .loop = &n->hosts->loop,
                                    .options = &n->options,
                                    .ctx = n,
                                    .on_changed = on_changed,
                                    .on_failed = on_failed };

    (void)snprintf(state, sizeof(state), "%s/runtime", n->state_dir);
    (void)snprintf(run, sizeof(run), "%s/runtime", n->run_dir);
    n->is_ready = n->is_closed = n->has_failed = false;
    assert_int_equal(runtime_open(&runtime, &n->runtime), 0);
    HOSTS_UNTIL(n->hosts, n->is_ready);
    member.runtime = n->runtime;
    assert_int_equal(member_new(&member, &n->member), 0);
    member_start(n->member);
}

static void on_closed(void *ctx)
{
    ((struct host_node *)ctx)->is_closed = true;
}

void host_node_stop(struct host_node *n)
{
    if (n->member == NULL)
        return;
    n->is_closed = false;
    member_close(n->member, on_closed, n);
    HOSTS_UNTIL(n->hosts, n->is_closed);
    n->member = NULL;
    n->is_closed = false;
    runtime_close(n->runtime, on_closed, n);
    HOSTS_UNTIL(n->hosts, n->is_closed);
    n->runtime = NULL;
}

static void write_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    (void)level;
    (void)fwrite(line.ptr, 1, line.len, stderr);
}

static wall_ns wall_clock(void *arg)
{
    (void)arg;
    return (wall_ns)uv_hrtime(); /* since when does not matter here */
}

static mono_ns mono_clock(void *arg)
{
    (void)arg;
    return uv_hrtime();
}

/* What the nodes log, mixed, when TEST_LOG is set. */
static void start_log(void)
{
    if (getenv("TEST_LOG") != NULL)
        log_setup(&(struct log_config){ .sink = write_line,
                                        .wall_clock = wall_clock,
                                        .mono_clock = mono_clock,
                                        .level = LOG_LEVEL_DEBUG,
                                        .format = LOG_FORMAT_TEXT });
}

void hosts_open(struct hosts *h, size_t count)
{
    start_log();
    memset(h, 0, sizeof(*h));
    assert_true(sodium_init() >= 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as the program does */
    enter_namespace();
    (void)snprintf(h->dir, sizeof(h->dir), "/tmp/shoal-hosts-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    assert_int_equal(uv_loop_init(&h->loop), 0);
    h->count = count;
    for (size_t i = 0; i < count; i++) {
        h->nodes[i].hosts = h;
        fill_options(&h->nodes[i], i + 1);
        host_node_start(&h->nodes[i]);
    }
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    (void)umount2(path, MNT_DETACH); /* the namespaces of networks outlive the daemon */
    return remove(path);
}

void hosts_close(struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        host_node_stop(&h->nodes[i]);
    loop_end(&h->loop);
    (void)nftw(h->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- What users ask for */

static void on_done(void *owner, int err, const char *why)
{
    struct host_node *n = owner;

    assert_false(n->is_done); /* exactly once */
    n->is_done = true;
    n->err = err;
    (void)snprintf(n->why, sizeof(n->why), "%s", why);
}

static int wait_done(struct host_node *n)
{
    HOSTS_UNTIL(n->hosts, n->is_done);
    return n->err;
}

int host_init_as(struct host_node *n, const struct cluster_spec *spec)
{
    n->is_done = false;
    member_init(n->member, &(struct member_init){ .spec = spec }, on_done, n);
    return wait_done(n);
}

int host_init(struct host_node *n)
{
    struct cluster_spec spec = { 0 };

    return host_init_as(n, &spec);
}

int host_join(struct host_node *n, struct host_node *to, enum node_role role)
{
    const struct cluster *c = store_the_cluster(manager_store(host_manager(to)));
    const char *remote = to->listen;
    char text[TOKEN_LEN + 1];
    struct join_token token;

    token_init(&token, c->roots.items[0].public_key,
               role == ROLE_MANAGER ? c->join.manager.ptr : c->join.worker.ptr);
    token_format(&token, text);
    n->is_done = false;
    member_join(n->member,
                &(struct member_join){ .remotes = &remote, .remote_count = 1, .token = text },
                on_done, n);
    return wait_done(n);
}

void host_leave_start(struct host_node *n, enum member_leave_how how)
{
    n->is_done = false;
    member_leave(n->member, how, on_done, n);
}

int host_leave(struct host_node *n, enum member_leave_how how)
{
    host_leave_start(n, how);
    return wait_done(n);
}

static void on_proposed(void *owner, int err, const struct field_error *why)
{
    on_done(owner, err, why->text);
}

static int start_set_role(struct host_node *by, const struct id *subject, enum node_role role)
{
    struct manager *m = host_manager(by);
    const struct node *n = store_node(manager_store(m), subject);
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct node_spec spec;
    struct admit admit;
    int rc;

    assert_int_equal(fields_copy(&node_spec_type, &n->spec, &spec), 0);
    spec.role = role;
    manager_admit(m, &admit, &t, &why);
    rc = admit_node_update(&admit, subject, n->version.index, &spec);
    fields_deinit(&node_spec_type, &spec);
    if (rc < 0) {
        fields_deinit(&transaction_type, &t);
        return rc;
    }
    by->is_done = false;
    manager_propose(m, &t, on_proposed, by);
    return 0;
}

int host_set_role(struct host_node *by, const struct id *subject, enum node_role role)
{
    int rc = start_set_role(by, subject, role);

    return rc < 0 ? rc : wait_done(by);
}

int host_remove(struct host_node *by, const struct id *subject)
{
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct admit admit;
    int rc;

    manager_admit(host_manager(by), &admit, &t, &why);
    rc = admit_node_remove(&admit, subject, ADMIT_FORCE);
    if (rc < 0) {
        fields_deinit(&transaction_type, &t);
        return rc;
    }
    by->is_done = false;
    manager_propose(host_manager(by), &t, on_proposed, by);
    return wait_done(by);
}

int host_demote_start(struct host_node *by, const struct id *subject)
{
    return start_set_role(by, subject, ROLE_WORKER);
}

/* --- What is */

struct manager *host_manager(const struct host_node *n)
{
    return n->member == NULL ? NULL : member_manager(n->member);
}

const struct id *host_id(const struct host_node *n)
{
    return member_node_id(n->member);
}

struct host_node *hosts_leader(struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++) {
        struct manager *m = host_manager(&h->nodes[i]);

        if (m != NULL && manager_is_leader(m))
            return &h->nodes[i];
    }
    return NULL;
}

size_t host_count_managers(const struct host_node *n)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH(&it, manager_store(host_manager(n)), OBJECT_NODE, struct node, node)
    count += node->spec.role == ROLE_MANAGER;
    return count;
}
