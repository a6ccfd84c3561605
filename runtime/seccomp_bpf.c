/* From the JSON profile, which stays the one description of the filter, by libseccomp, which the
 * OCI runtimes use too. Call names that this libseccomp does not know are left out, as they do:
 * what is not listed is refused. */
#include "runtime/seccomp_bpf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>
#include <seccomp.h>
#include <sodium.h>

#include "base/err.h"
#include "runtime/file.h"
#include "runtime/seccomp.h"

#define ARGUMENT_COUNT_MAX 6

/* --- Compiling */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

/* What libseccomp says, by its manual: -EFAULT and the like mean a filter that it cannot make. */
static int err_of(int rc)
{
    return rc == -ENOMEM ? -ENOMEM : ERR_UNSUPPORTED;
}

static int action_of(const json_t *object, const char *action_key, const char *errno_key,
                     uint32_t *out)
{
    const char *action = text_at(object, action_key);
    json_int_t code = json_integer_value(json_object_get(object, errno_key));

    if (strcmp(action, "SCMP_ACT_ALLOW") == 0)
        *out = SCMP_ACT_ALLOW;
    else if (strcmp(action, "SCMP_ACT_ERRNO") == 0 && code > 0 && code < 4096)
        *out = SCMP_ACT_ERRNO((uint32_t)code);
    else
        return ERR_UNSUPPORTED;
    return 0;
}

static int compare_of(const char *op, enum scmp_compare *out)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } known[] = { { "SCMP_CMP_NE", SCMP_CMP_NE },
                  { "SCMP_CMP_EQ", SCMP_CMP_EQ },
                  { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(known[i].name, op) == 0) {
            *out = known[i].op;
            return 0;
        }
    }
    return ERR_UNSUPPORTED;
}

/* "SCMP_ARCH_X86" -> "x86" */
static uint32_t arch_of(const char *name)
{
    char lower[32];
    size_t len = 0;

    if (strncmp(name, "SCMP_ARCH_", 10) != 0)
        return 0;
    for (name += 10; *name != '\0' && len + 1 < sizeof(lower); name++)
        lower[len++] = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
    lower[len] = '\0';
    return seccomp_arch_resolve_name(lower);
}

static int add_architectures(scmp_filter_ctx ctx, const json_t *profile)
{
    const json_t *name;
    size_t i;

    json_array_foreach(json_object_get(profile, "architectures"), i, name)
    {
        uint32_t arch = arch_of(json_string_value(name) == NULL ? "" : json_string_value(name));
        int rc = arch == 0 ? -EINVAL : seccomp_arch_add(ctx, arch);

        if (rc < 0 && rc != -EEXIST) /* the host's own is there already */
            return err_of(rc);
    }
    return 0;
}

static int read_arguments(const json_t *rule, struct scmp_arg_cmp *args, unsigned *out_count)
{
    const json_t *list = json_object_get(rule, "args"), *item;
    size_t i;

    if (json_array_size(list) > ARGUMENT_COUNT_MAX)
        return ERR_UNSUPPORTED;
    json_array_foreach(list, i, item)
    {
        struct scmp_arg_cmp *a = &args[i];
        int rc = compare_of(text_at(item, "op"), &a->op);

        if (rc < 0)
            return rc;
        a->arg = (unsigned)json_integer_value(json_object_get(item, "index"));
        a->datum_a = (scmp_datum_t)json_integer_value(json_object_get(item, "value"));
        a->datum_b = (scmp_datum_t)json_integer_value(json_object_get(item, "valueTwo"));
    }
    *out_count = (unsigned)json_array_size(list);
    return 0;
}

static int add_rule(scmp_filter_ctx ctx, const json_t *rule)
{
    struct scmp_arg_cmp args[ARGUMENT_COUNT_MAX];
    const json_t *name;
    unsigned count = 0;
    uint32_t action;
    size_t i;
    int rc = action_of(rule, "action", "errnoRet", &action);

    if (rc == 0)
        rc = read_arguments(rule, args, &count);
    if (rc < 0)
        return rc;
    json_array_foreach(json_object_get(rule, "names"), i, name)
    {
        int number = seccomp_syscall_resolve_name(
            json_string_value(name) == NULL ? "" : json_string_value(name));

        if (number == __NR_SCMP_ERROR)
            continue;
        rc = seccomp_rule_add_array(ctx, action, number, count, args);
        if (rc < 0)
            return err_of(rc);
    }
    return 0;
}

/* libseccomp 2.5 writes a program to a descriptor only. */
static int export_program(scmp_filter_ctx ctx, struct buf *out)
{
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    int rc;

    if (fd < 0)
        return -errno;
    rc = seccomp_export_bpf(ctx, fd);
    if (rc < 0)
        rc = err_of(rc);
    else if (lseek(fd, 0, SEEK_SET) < 0)
        rc = -errno;
    else
        rc = file_read_fd(fd, out);
    close(fd);
    return rc;
}

int seccomp_compile(const json_t *profile, struct buf *out)
{
    const json_t *rule;
    scmp_filter_ctx ctx;
    uint32_t action;
    size_t i;
    int rc = action_of(profile, "defaultAction", "defaultErrnoRet", &action);

    if (rc < 0)
        return rc;
    ctx = seccomp_init(action);
    if (ctx == NULL)
        return -ENOMEM;
    rc = add_architectures(ctx, profile);
    json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
    {
        if (rc == 0)
            rc = add_rule(ctx, rule);
    }
    if (rc == 0)
        rc = export_program(ctx, out);
    seccomp_release(ctx);
    return rc;
}

/* --- Cache */

int seccomp_cache_init(struct seccomp_cache *cache)
{
    *cache = (struct seccomp_cache){ .next = 0 };
    return uv_mutex_init(&cache->mutex);
}

void seccomp_cache_deinit(struct seccomp_cache *cache)
{
    for (size_t i = 0; i < SECCOMP_PROGRAMS_MAX; i++)
        free(cache->programs[i].base64);
    uv_mutex_destroy(&cache->mutex);
}

/* Returns owned in *out. */
static int compile_base64(cap_set caps, char **out)
{
    json_t *profile = seccomp_default(caps);
    struct buf program;
    char *text = NULL;
    size_t len;
    int rc;

    buf_init(&program, SECCOMP_PROGRAM_BYTES_MAX);
    rc = profile == NULL ? -ENOMEM : seccomp_compile(profile, &program);
    json_decref(profile);
    if (rc == 0) {
        len = sodium_base64_ENCODED_LEN(program.len, sodium_base64_VARIANT_ORIGINAL);
        text = malloc(len);
        rc = text == NULL ? -ENOMEM : 0;
    }
    if (rc == 0)
        *out =
            sodium_bin2base64(text, len, program.ptr, program.len, sodium_base64_VARIANT_ORIGINAL);
    buf_deinit(&program);
    return rc;
}

static int find_or_compile(struct seccomp_cache *cache, cap_set caps, const char **out)
{
    struct seccomp_program *slot;
    char *base64 = NULL;
    int rc;

    for (size_t i = 0; i < SECCOMP_PROGRAMS_MAX; i++) {
        slot = &cache->programs[i];
        if (slot->base64 != NULL && slot->caps == caps) {
            *out = slot->base64;
            return 0;
        }
    }
    rc = compile_base64(caps, &base64);
    if (rc < 0)
        return rc;
    slot = &cache->programs[cache->next];
    cache->next = (cache->next + 1) % SECCOMP_PROGRAMS_MAX;
    free(slot->base64);
    *slot = (struct seccomp_program){ .caps = caps, .base64 = base64 };
    *out = base64;
    return 0;
}

int seccomp_cache_get(struct seccomp_cache *cache, cap_set caps, struct buf *out)
{
    const char *base64;
    int rc;

    uv_mutex_lock(&cache->mutex);
    rc = find_or_compile(cache, caps, &base64);
    if (rc == 0)
        rc = buf_append(out, base64, strlen(base64) + 1);
    uv_mutex_unlock(&cache->mutex);
    return rc;
}
