/* The system call filter: as a program it decides as its profile says, and in a container it holds
 * whoever applies it, crun from the program, crun from the profile, or runc, also for what is
 * exec'd. This program is its own probe: in a container it is run as "probe". */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include "base/err.h"
#include "runtime/seccomp.h"
#include "runtime/seccomp_bpf.h"
#include "support_runtime.h"

#define CAP(name) (UINT64_C(1) << CAP_BIT_##name)
#define CAPS_DOCKER                                                                         \
    (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(KILL) | CAP(SETGID) | \
     CAP(SETUID) | CAP(SETPCAP) | CAP(NET_BIND_SERVICE) | CAP(NET_RAW) | CAP(SYS_CHROOT) |  \
     CAP(MKNOD) | CAP(AUDIT_WRITE) | CAP(SETFCAP))
#define CAPS_ALL ((UINT64_C(1) << CAP_COUNT) - 1)

/* --- The program against a slow twin that reads the profile */

/* The kernel's machine, as far as such programs use it. */
static uint32_t run_program(const struct sock_filter *program, size_t count,
                            const struct seccomp_data *data)
{
    uint32_t a = 0, word;

    for (size_t pc = 0; pc < count; pc++) {
        const struct sock_filter *i = &program[pc];
        bool yes;

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k + 4 <= sizeof(*data));
            memcpy(&word, (const uint8_t *)data + i->k, 4);
            a = word;
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            yes = a == i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            yes = a > i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            yes = a >= i->k;
            break;
        default:
            fail_msg("instruction %zu has code %#x", pc, i->code);
            return 0;
        }
        pc += yes ? i->jt : i->jf;
    }
    fail_msg("the program runs over its end");
    return 0;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

static bool names_call(const json_t *rule, const char *call)
{
    const json_t *name;
    size_t i;

    json_array_foreach(json_object_get(rule, "names"), i, name)
    {
        if (strcmp(json_string_value(name), call) == 0)
            return true;
    }
    return false;
}

static bool arguments_match(const json_t *rule, const struct seccomp_data *data)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(rule, "args"), i, item)
    {
        uint64_t have = data->args[json_integer_value(json_object_get(item, "index"))];
        uint64_t value = (uint64_t)json_integer_value(json_object_get(item, "value"));
        uint64_t two = (uint64_t)json_integer_value(json_object_get(item, "valueTwo"));
        const char *op = text_at(item, "op");
        bool match = strcmp(op, "SCMP_CMP_EQ") == 0   ? have == value
                     : strcmp(op, "SCMP_CMP_NE") == 0 ? have != value
                                                      : (have & value) == two;

        if (!match)
            return false;
    }
    return true;
}

static uint32_t action_of(const json_t *object, const char *action, const char *code)
{
    return strcmp(text_at(object, action), "SCMP_ACT_ALLOW") == 0
               ? SECCOMP_RET_ALLOW
               : SECCOMP_RET_ERRNO | (uint32_t)json_integer_value(json_object_get(object, code));
}

static uint32_t decide(const json_t *profile, const char *call, const struct seccomp_data *data)
{
    const json_t *rule;
    size_t i;

    json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
    {
        if (names_call(rule, call) && arguments_match(rule, data))
            return action_of(rule, "action", "errnoRet");
    }
    return action_of(profile, "defaultAction", "defaultErrnoRet");
}

/* Calls of today and of some years, with arguments on both sides of what the rules look at. */
static void check_arch(const json_t *profile, const struct buf *program, uint32_t scmp_arch,
                       uint32_t audit_arch, int first)
{
    static const uint64_t arguments[] = { 0,  1,  8,          AF_VSOCK,   CLONE_NEWUSER,
                                          17, 39, 0x20008,    0x40000,    CLONE_NEWNS | 17,
                                          41, 41, 0xffffffff, 0x02000000, CLONE_THREAD };
    const struct sock_filter *code = (const struct sock_filter *)(const void *)program->ptr;

    for (int number = first; number < first + 600; number++) {
        char *call = seccomp_syscall_resolve_num_arch(scmp_arch, number);

        for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
            struct seccomp_data data = { .nr = number, .arch = audit_arch };
            uint32_t is, should;

            data.args[0] = arguments[i];
            is = run_program(code, program->len / sizeof(*code), &data);
            should = decide(profile, call == NULL ? "" : call, &data);
            if (is != should)
                fail_msg("call %d(%#llx) of architecture %#x: %#x, the profile says %#x", number,
                         (unsigned long long)arguments[i], audit_arch, is, should);
        }
        free(call);
    }
}

static void compile(const json_t *profile, struct buf *program)
{
    buf_init(program, SECCOMP_PROGRAM_BYTES_MAX);
    assert_int_equal(seccomp_compile(profile, program), 0);
    assert_true(program->len > 0 && program->len % sizeof(struct sock_filter) == 0);
    assert_true(program->len / sizeof(struct sock_filter) <= BPF_MAXINSNS);
}

static void test_a_program_decides_as_its_profile_says(void **state)
{
    static const cap_set sets[] = { 0, CAPS_DOCKER, CAPS_DOCKER | CAP(SYS_ADMIN),
                                    CAPS_DOCKER | CAP(SYS_PTRACE) | CAP(SYS_TIME), CAPS_ALL };

    (void)state;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        json_t *profile = seccomp_default(sets[i]);
        struct buf program;

        assert_non_null(profile);
        compile(profile, &program);
#if defined(__x86_64__)
        check_arch(profile, &program, SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0);
        check_arch(profile, &program, SCMP_ARCH_X86, AUDIT_ARCH_I386, 0);
        check_arch(profile, &program, SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0x40000000);
#elif defined(__aarch64__)
        check_arch(profile, &program, SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0);
        check_arch(profile, &program, SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0);
#else
        check_arch(profile, &program, SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, 0);
#endif
        buf_deinit(&program);
        json_decref(profile);
    }
}

static void test_another_architecture_is_killed(void **state)
{
    json_t *profile = seccomp_default(CAPS_DOCKER);
    struct seccomp_data data = { .nr = 0, .arch = AUDIT_ARCH_S390X };
    struct buf program;
    uint32_t action;

    (void)state;
    compile(profile, &program);
    action = run_program((const struct sock_filter *)(const void *)program.ptr,
                         program.len / sizeof(struct sock_filter), &data);
    assert_true(action == SECCOMP_RET_KILL_THREAD || action == SECCOMP_RET_KILL_PROCESS);
    buf_deinit(&program);
    json_decref(profile);
}

static void test_a_profile_with_more_is_refused(void **state)
{
    static const char *const profiles[] = {
        "{}",
        "{\"defaultAction\": \"SCMP_ACT_NOTIFY\"}",
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\"}", /* with which code? */
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"SCMP_ARCH_VAX\"]}",
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [7]}",
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
        " \"action\": \"SCMP_ACT_TRACE\"}]}",
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
        " \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 1, \"args\": [{\"op\": "
        "\"SCMP_CMP_XX\"}]}]}",
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
        " \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 1, \"args\": [{\"op\": \"SCMP_CMP_EQ\","
        " \"index\": 9}]}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        json_t *profile = json_loads(profiles[i], 0, NULL);
        struct buf program;

        assert_non_null(profile);
        buf_init(&program, SECCOMP_PROGRAM_BYTES_MAX);
        print_message("  %s\n", profiles[i]);
        assert_int_equal(seccomp_compile(profile, &program), ERR_UNSUPPORTED);
        assert_int_equal(program.len, 0);
        buf_deinit(&program);
        json_decref(profile);
    }
}

static void get(struct seccomp_cache *cache, cap_set caps, struct buf *out)
{
    buf_init(out, 2 * SECCOMP_PROGRAM_BYTES_MAX);
    assert_int_equal(seccomp_cache_get(cache, caps, out), 0);
    assert_int_equal(strlen((const char *)out->ptr) + 1, out->len);
}

static void test_programs_are_kept_by_capabilities(void **state)
{
    struct buf first, other, again;
    struct seccomp_cache cache;

    (void)state;
    assert_int_equal(seccomp_cache_init(&cache), 0);
    get(&cache, CAPS_DOCKER, &first);
    get(&cache, CAPS_ALL, &other);
    assert_string_not_equal((const char *)first.ptr, (const char *)other.ptr);
    buf_deinit(&other);
    get(&cache, CAPS_DOCKER, &again);
    assert_string_equal((const char *)first.ptr, (const char *)again.ptr);
    assert_int_equal(cache.next, 2); /* compiled twice, not thrice */
    for (cap_set caps = 0; caps < SECCOMP_PROGRAMS_MAX;
         caps++) { /* more than there are slots for */
        get(&cache, caps, &other);
        buf_deinit(&other);
    }
    buf_deinit(&again);
    get(&cache, CAPS_DOCKER, &again);
    assert_string_equal((const char *)first.ptr, (const char *)again.ptr);
    buf_deinit(&first);
    buf_deinit(&again);
    seccomp_cache_deinit(&cache);
}

/* --- In a container */

/* What i386 calls say, which pass the same filter by other numbers. */
static long call_i386(long number, long argument)
{
#if defined(__x86_64__)
    long result;

    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(argument), "c"(0), "d"(0), "S"(0), "D"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    (void)number;
    (void)argument;
    return -ENOSYS;
#endif
}

static void tell(const char *name, long result)
{
    printf("%s: %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");
}

/* Each of these succeeds, or fails with another error, where no filter is. */
static int probe(void)
{
    static char stack[16384];
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    pid_t pid;

    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "Seccomp:", 8) == 0)
            printf("%s", line);
    }
    if (status != NULL)
        (void)fclose(status);
    tell("mount", syscall(SYS_mount, NULL, 1, NULL, 0, NULL));
    tell("umount2", syscall(SYS_umount2, 1, 0));
    tell("keyctl", syscall(SYS_keyctl, 0 /* get keyring */, -3, 1));
    tell("add_key", syscall(SYS_add_key, 1, 1, 1, 1, 1));
    tell("bpf", syscall(SYS_bpf, 0, 0, 0));
    tell("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
    tell("clone3", syscall(SYS_clone3, 0, 0));
    tell("personality, none", syscall(SYS_personality, 0));
    tell("personality, ask", syscall(SYS_personality, 0xffffffff));
    tell("personality, no randomising", syscall(SYS_personality, 0x40000));
    tell("socket, vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    tell("socket, inet", socket(AF_INET, SOCK_STREAM, 0));
    pid = clone((int (*)(void *))(uintptr_t)_exit, stack + sizeof(stack), CLONE_NEWUSER, 0);
    tell("clone, user namespace", pid);
    pid = fork();
    if (pid == 0)
        _exit(0);
    tell("clone, plain", pid);
    errno = (int)-call_i386(21 /* mount */, 1);
    tell("i386 mount", -1);
    tell("i386 getpid", call_i386(20, 0) > 0 ? 0 : -1);
    tell("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
    (void)fflush(stdout);
    return 0;
}

static const char confined[] = "Seccomp:\t2\n"
                               "mount: EPERM\n"
                               "umount2: EPERM\n"
                               "keyctl: EPERM\n"
                               "add_key: EPERM\n"
                               "bpf: EPERM\n"
                               "io_uring_setup: EPERM\n"
                               "clone3: ENOSYS\n"
                               "personality, none: ok\n"
                               "personality, ask: ok\n"
                               "personality, no randomising: EPERM\n"
                               "socket, vsock: EPERM\n"
                               "socket, inet: ok\n"
                               "clone, user namespace: EPERM\n"
                               "clone, plain: ok\n"
#if defined(__x86_64__)
                               "i386 mount: EPERM\n"
                               "i386 getpid: ok\n"
#else
                               "i386 mount: ENOSYS\n"
                               "i386 getpid: ENOSYS\n"
#endif
                               "unshare: EPERM\n";

static struct fixture fx;

/* This program and what it is linked with. */
static void add_probe(struct container_spec *spec)
{
    static const char *const from[] = { "/usr", "/lib", "/lib64" };
    static char self[512];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    assert_true(len > 0);
    self[len] = '\0';
    add_mount(spec, CONTAINER_MOUNT_BIND, self, "/probe");
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        if (access(from[i], F_OK) == 0)
            add_mount(spec, CONTAINER_MOUNT_BIND, from[i], from[i]);
    }
}

/* What the probe says, run as the container's own process and exec'd. */
static void probe_both(struct container_spec *spec, char *own, char *exec, size_t cap)
{
    char message[1024];

    add_probe(spec);
    if (create_and_start(&fx, spec, message) < 0)
        fail_msg("%s", message);
    (void)exec_output(&fx, spec->id, "/probe probe", exec, cap);
    remove_container(&fx, spec->id, REMOVE_FORCE);
    assert_int_equal(str_set(&spec->command.items[2], "exec /probe probe"), 0);
    if (create_and_start(&fx, spec, message) < 0)
        fail_msg("%s", message);
    (void)wait_exited(&fx, spec->id);
    read_logs(&fx, spec->id, own, cap);
    remove_container(&fx, spec->id, REMOVE_FORCE);
}

static bool config_has(const char *id, const char *text)
{
    char path[256];
    json_t *config;
    char *dump;
    bool has;

    (void)snprintf(path, sizeof(path), "%s/containers/%s/config.json", fx.run_dir, id);
    config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    dump = json_dumps(config, JSON_COMPACT);
    has = strstr(dump, text) != NULL;
    free(dump);
    json_decref(config);
    return has;
}

#define WAITING "while :; do sleep 0.05; done"

static void check_filter_holds(const char *oci_runtime, enum container_seccomp how)
{
    struct container_spec spec;
    char own[4096], exec[4096];
    json_t *profile;

    fixture_init_with(&fx, oci_runtime);
    fixture_import_busybox(&fx);
    spec_init(&spec, "probed", WAITING);
    spec.seccomp = how;
    if (how == CONTAINER_SECCOMP_CUSTOM) {
        profile = seccomp_default(CAPS_DOCKER);
        spec.seccomp_profile = json_dumps(profile, JSON_COMPACT);
        json_decref(profile);
    }
    probe_both(&spec, own, exec, sizeof(own));
    if (how == CONTAINER_SECCOMP_UNCONFINED) { /* the probe sees the difference */
        assert_non_null(strstr(own, "Seccomp:\t0\n"));
        assert_non_null(strstr(exec, "Seccomp:\t0\n"));
        assert_non_null(strstr(own, "unshare: ok\n"));
        assert_non_null(strstr(own, "keyctl: ok\n"));
        assert_non_null(strstr(own, "clone, user namespace: ok\n"));
        assert_non_null(strstr(own, "personality, no randomising: ok\n"));
        assert_null(strstr(own, "mount: EPERM\n"));
    } else {
        assert_string_equal(own, confined);
        assert_string_equal(exec, confined);
    }
    fields_deinit(&container_spec_type, &spec);
    fixture_deinit(&fx);
}

static void test_crun_applies_the_program(void **state)
{
    NEED_CONTAINERS();
    check_filter_holds("crun", CONTAINER_SECCOMP_DEFAULT);
}

static void test_crun_applies_a_profile_of_the_users(void **state)
{
    NEED_CONTAINERS();
    check_filter_holds("crun", CONTAINER_SECCOMP_CUSTOM);
}

static void test_an_unconfined_container_has_no_filter(void **state)
{
    NEED_CONTAINERS();
    check_filter_holds("crun", CONTAINER_SECCOMP_UNCONFINED);
}

static void test_runc_applies_the_profile(void **state)
{
    NEED_CONTAINERS();
    if (access("/usr/sbin/runc", X_OK) < 0 && access("/usr/bin/runc", X_OK) < 0) {
        print_message("skipped: needs runc\n");
        skip();
    }
    check_filter_holds("runc", CONTAINER_SECCOMP_DEFAULT);
}

/* Who does not know the annotation must find the profile; a profile of the user's and "none" must
 * not be overruled by it. */
static void test_the_profile_is_there_beside_the_program(void **state)
{
    static const struct {
        const char *id;
        enum container_seccomp how;
        bool profile, program;
    } cases[] = { { "default", CONTAINER_SECCOMP_DEFAULT, true, true },
                  { "custom", CONTAINER_SECCOMP_CUSTOM, true, false },
                  { "none", CONTAINER_SECCOMP_UNCONFINED, false, false } };

    NEED_CONTAINERS();
    fixture_init_with(&fx, "crun");
    fixture_import_busybox(&fx);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct container_spec spec;
        char message[1024];

        print_message("  %s\n", cases[i].id);
        spec_init(&spec, cases[i].id, WAITING);
        spec.seccomp = cases[i].how;
        if (cases[i].how == CONTAINER_SECCOMP_CUSTOM)
            assert_int_equal(
                str_set(&spec.seccomp_profile, "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}"), 0);
        if (create_and_start(&fx, &spec, message) < 0)
            fail_msg("%s", message);
        assert_int_equal(config_has(spec.id, "\"seccomp\":{\"defaultAction\""), cases[i].profile);
        assert_int_equal(config_has(spec.id, "run.oci.seccomp_bpf_data"), cases[i].program);
        remove_container(&fx, spec.id, REMOVE_FORCE);
        fields_deinit(&container_spec_type, &spec);
    }
    fixture_deinit(&fx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_program_decides_as_its_profile_says),
        cmocka_unit_test(test_another_architecture_is_killed),
        cmocka_unit_test(test_a_profile_with_more_is_refused),
        cmocka_unit_test(test_programs_are_kept_by_capabilities),
        cmocka_unit_test(test_crun_applies_the_program),
        cmocka_unit_test(test_crun_applies_a_profile_of_the_users),
        cmocka_unit_test(test_an_unconfined_container_has_no_filter),
        cmocka_unit_test(test_runc_applies_the_profile),
        cmocka_unit_test(test_the_profile_is_there_beside_the_program),
    };

    if (argc == 2 && strcmp(argv[1], "probe") == 0)
        return probe();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
