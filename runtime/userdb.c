#include "runtime/userdb.h"

#include <string.h>

#include "base/err.h"

#define FIELDS_OF_LINE 7

struct line {
    struct slice fields[FIELDS_OF_LINE];
    size_t count;
};

/* Takes the next line of colon-separated fields off `text`; false at the end. */
static bool next_line(struct slice *text, struct line *out)
{
    const uint8_t *end;
    struct slice line;

    if (text->len == 0)
        return false;
    end = memchr(text->ptr, '\n', text->len);
    line = slice_of(text->ptr, end == NULL ? text->len : (size_t)(end - text->ptr));
    text->ptr += line.len + (end != NULL);
    text->len -= line.len + (end != NULL);
    out->count = 0;
    while (out->count < FIELDS_OF_LINE) {
        const uint8_t *colon = line.len == 0 ? NULL : memchr(line.ptr, ':', line.len);
        size_t len = colon == NULL ? line.len : (size_t)(colon - line.ptr);

        out->fields[out->count++] = slice_of(line.ptr, len);
        if (colon == NULL)
            break;
        line.ptr += len + 1;
        line.len -= len + 1;
    }
    return true;
}

static bool parse_number(struct slice text, uint32_t *out)
{
    uint64_t n = 0;

    if (text.len == 0 || text.len > 10)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (n >= UINT32_MAX) /* that one means "no change" to the kernel */
        return false;
    *out = (uint32_t)n;
    return true;
}

/* Whether the comma-separated list has the name. */
static bool list_has(struct slice list, struct slice name)
{
    while (list.len > 0) {
        const uint8_t *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);

        if (slice_equal(slice_of(list.ptr, len), name))
            return true;
        len += comma != NULL;
        list.ptr += len;
        list.len -= len;
    }
    return false;
}

static void set_home(struct user *u, struct slice home)
{
    if (home.len == 0 || home.len >= sizeof(u->home) || memchr(home.ptr, 0, home.len) != NULL)
        return;
    memcpy(u->home, home.ptr, home.len);
    u->home[home.len] = '\0';
}

static void add_group(struct user *u, uint32_t gid)
{
    for (size_t i = 0; i < u->group_count; i++) {
        if (u->groups[i] == gid)
            return;
    }
    if (u->group_count < USER_GROUP_COUNT_MAX)
        u->groups[u->group_count++] = gid;
}

/* A user by name, or else by number; *out_name is its name in the file, if it is there. */
static bool find_user(struct slice text, struct slice passwd, struct user *u,
                      struct slice *out_name)
{
    uint32_t wanted = 0;
    bool is_number = parse_number(text, &wanted);
    struct line line;

    *out_name = slice_of(NULL, 0);
    while (next_line(&passwd, &line)) {
        uint32_t uid, gid;

        if (line.count < 4 || !parse_number(line.fields[2], &uid) ||
            !parse_number(line.fields[3], &gid))
            continue;
        if (!slice_equal(line.fields[0], text) && !(is_number && uid == wanted))
            continue;
        u->uid = uid;
        u->gid = gid;
        *out_name = line.fields[0];
        if (line.count > 5)
            set_home(u, line.fields[5]);
        return true;
    }
    u->uid = wanted;
    u->gid = 0;
    return is_number;
}

static bool find_group(struct slice text, struct slice group, uint32_t *out)
{
    uint32_t gid;
    struct line line;

    while (next_line(&group, &line)) {
        if (line.count >= 3 && slice_equal(line.fields[0], text) &&
            parse_number(line.fields[2], &gid)) {
            *out = gid;
            return true;
        }
    }
    return parse_number(text, out);
}

static void add_groups_of(struct user *u, struct slice name, struct slice group)
{
    uint32_t gid;
    struct line line;

    while (next_line(&group, &line)) {
        if (line.count >= 4 && parse_number(line.fields[2], &gid) && gid != u->gid &&
            list_has(line.fields[3], name))
            add_group(u, gid);
    }
}

int user_resolve(const char *text, const struct str_list *extra, struct slice passwd,
                 struct slice group, struct user *out, struct fault *f)
{
    struct slice whole = slice_of_str(text), user = whole, group_name = { 0 }, name;
    const uint8_t *colon = whole.len == 0 ? NULL : memchr(whole.ptr, ':', whole.len);
    struct user u = { .home = "/" };

    if (colon != NULL) {
        user.len = (size_t)(colon - whole.ptr);
        group_name = slice_of(colon + 1, whole.len - user.len - 1);
    }
    if (user.len == 0)
        user = slice_of_str("0");
    if (!find_user(user, passwd, &u, &name))
        return fault_set(f, ERR_INVALID,
                         "user \"%.*s\": not in the image's /etc/passwd; use a number or a name "
                         "that is there",
                         (int)user.len, (const char *)user.ptr);
    if (group_name.len > 0) {
        if (!find_group(group_name, group, &u.gid))
            return fault_set(f, ERR_INVALID,
                             "group \"%.*s\": not in the image's /etc/group; use a number or a "
                             "name that is there",
                             (int)group_name.len, (const char *)group_name.ptr);
    } else if (name.len > 0) {
        add_groups_of(&u, name, group);
    }
    for (size_t i = 0; i < extra->count; i++) {
        uint32_t gid;

        if (!find_group(slice_of_str(extra->items[i]), group, &gid))
            return fault_set(f, ERR_INVALID,
                             "group \"%.100s\": not in the image's /etc/group; use a number or a "
                             "name that is there",
                             extra->items[i]);
        add_group(&u, gid);
    }
    *out = u;
    return 0;
}
