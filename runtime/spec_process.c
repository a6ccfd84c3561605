/* The "process" object, of a container and of an exec in it: who runs what, where, with which
 * environment and rights. Environment: ours, then the image's, then the task's; the last one
 * to set a variable wins. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "runtime/spec_builder.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static size_t key_len(const char *assignment)
{
    return strcspn(assignment, "=");
}

/* Sets "K=V" in place of an earlier K; "K" alone takes it away. */
void spec_set_env(struct spec_builder *b, json_t *env, const char *assignment)
{
    size_t len = key_len(assignment), i;
    const json_t *item;

    json_array_foreach(env, i, item)
    {
        const char *have = json_string_value(item);

        if (key_len(have) != len || memcmp(have, assignment, len) != 0)
            continue;
        if (assignment[len] == '\0')
            (void)json_array_remove(env, i); /* the index is right */
        else if (json_array_set_new(env, i, json_string(assignment)) < 0)
            b->failed = true;
        return;
    }
    if (assignment[len] != '\0')
        spec_append_str(b, env, assignment);
}

static void set_env_pair(struct spec_builder *b, json_t *env, const char *key, const char *value)
{
    char text[2048];

    if (snprintf(text, sizeof(text), "%s=%s", key, value) < (int)sizeof(text))
        spec_set_env(b, env, text);
}

static bool has_env(const json_t *env, const char *key)
{
    const json_t *item;
    size_t i;

    json_array_foreach(env, i, item)
    {
        const char *have = json_string_value(item);

        if (key_len(have) == strlen(key) && memcmp(have, key, strlen(key)) == 0)
            return true;
    }
    return false;
}

const char *spec_hostname(const struct container_spec *spec, char buffer[64])
{
    if (text_of(spec->hostname)[0] != '\0')
        return spec->hostname;
    (void)snprintf(buffer, 64, "%.12s", spec->id);
    return buffer;
}

json_t *spec_env(struct spec_builder *b, const struct user *user, bool tty)
{
    const struct spec_input *in = b->in;
    json_t *env = spec_checked(b, json_array());
    char hostname[64];

    spec_set_env(b, env, "PATH=" DEFAULT_PATH);
    set_env_pair(b, env, "HOSTNAME", spec_hostname(in->spec, hostname));
    if (tty)
        spec_set_env(b, env, "TERM=xterm");
    for (size_t i = 0; i < in->image->config.env.count; i++)
        spec_set_env(b, env, in->image->config.env.items[i]);
    for (size_t i = 0; i < in->spec->env.count; i++)
        spec_set_env(b, env, in->spec->env.items[i]);
    if (!has_env(env, "HOME"))
        set_env_pair(b, env, "HOME", user->home);
    return env;
}

/* Command replaces the image's entrypoint, and then the image's cmd is not its arguments. */
json_t *spec_args(struct spec_builder *b)
{
    const struct container_spec *spec = b->in->spec;
    const struct image_run *image = &b->in->image->config;
    const struct str_list *head = spec->command.count > 0 ? &spec->command : &image->entrypoint;
    const struct str_list *tail = &spec->args;
    json_t *args = spec_checked(b, json_array());

    if (spec->args.count == 0 && spec->command.count == 0)
        tail = &image->cmd;
    if (b->in->init_path != NULL) {
        spec_append_str(b, args, SPEC_INIT_TARGET);
        spec_append_str(b, args, "--");
    }
    for (size_t i = 0; i < head->count; i++)
        spec_append_str(b, args, text_of(head->items[i]));
    for (size_t i = 0; i < tail->count; i++)
        spec_append_str(b, args, text_of(tail->items[i]));
    return args;
}

static json_t *user_json(struct spec_builder *b, const struct user *user)
{
    json_t *groups = spec_checked(b, json_array());

    for (size_t i = 0; i < user->group_count; i++)
        spec_append(b, groups, json_integer((json_int_t)user->groups[i]));
    return spec_checked(b, json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)user->uid, "gid",
                                     (json_int_t)user->gid, "additionalGids", groups));
}

/* Who is not root starts with none in effect: the bounding spec_set is what spec_set-uid programs
 * can get. */
static json_t *caps_json(struct spec_builder *b, cap_set caps, const struct user *user)
{
    json_t *list = spec_checked(b, json_array());
    json_t *object = spec_checked(b, json_object());

    for (unsigned i = 0; i < CAP_COUNT; i++) {
        if (cap_set_has(caps, i))
            spec_append_str(b, list, cap_name(i));
    }
    spec_set(b, object, "bounding", json_incref(list));
    if (user->uid == 0) {
        spec_set(b, object, "effective", json_incref(list));
        spec_set(b, object, "permitted", json_incref(list));
    }
    json_decref(list);
    return object;
}

static json_int_t rlimit_value(int64_t n)
{
    return n < 0 ? -1 : (json_int_t)n;
}

static json_t *rlimits_json(struct spec_builder *b)
{
    const struct container_spec *spec = b->in->spec;
    json_t *list = spec_checked(b, json_array());

    for (size_t i = 0; i < spec->ulimits.count; i++) {
        const struct container_ulimit *u = &spec->ulimits.items[i];
        char type[32] = "RLIMIT_";
        size_t at = strlen(type);

        for (const char *c = u->name; *c != '\0' && at + 1 < sizeof(type); c++)
            type[at++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        spec_append(b, list,
                    json_pack("{s:s, s:I, s:I}", "type", type, "soft", rlimit_value(u->soft),
                              "hard", rlimit_value(u->hard)));
    }
    return list;
}

json_t *spec_process(struct spec_builder *b, cap_set caps, const struct user *user, bool tty,
                     const char *dir, json_t *args, json_t *env)
{
    const struct container_spec *spec = b->in->spec;
    json_t *p = spec_checked(b, json_pack("{s:b, s:o, s:o, s:o, s:s, s:o, s:b}", "terminal", tty,
                                          "user", user_json(b, user), "args", args, "env", env,
                                          "cwd", dir, "capabilities", caps_json(b, caps, user),
                                          "noNewPrivileges", (int)spec->no_new_privileges));

    spec_set(b, p, "rlimits", rlimits_json(b));
    spec_set(b, p, "oomScoreAdj", json_integer((json_int_t)spec->oom_score_adj));
    return p;
}
