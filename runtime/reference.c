/* Grammar: [registry/]path[:tag][@digest]. The first part is a registry when it has a dot or a
 * colon or is "localhost"; path parts are [a-z0-9]+ joined by one of . _ __ or dashes. */
#include "runtime/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

static bool is_alnum_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_alnum_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_path_part(struct slice part)
{
    if (part.len == 0 || !is_alnum_lower((char)part.ptr[0]) ||
        !is_alnum_lower((char)part.ptr[part.len - 1]))
        return false;
    for (size_t i = 1; i < part.len; i++) {
        char c = (char)part.ptr[i], before = (char)part.ptr[i - 1];

        if (is_alnum_lower(c) || (c == '-' && (is_alnum_lower(before) || before == '-')) ||
            (c == '.' && is_alnum_lower(before)))
            continue;
        if (c == '_' && (is_alnum_lower(before) ||
                         (before == '_' && i >= 2 && is_alnum_lower((char)part.ptr[i - 2]))))
            continue;
        return false;
    }
    return true;
}

static bool is_repository(const char *text)
{
    for (;;) {
        const char *slash = strchr(text, '/');
        size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);

        if (!is_path_part(slice_of(text, len)))
            return false;
        if (slash == NULL)
            return true;
        text = slash + 1;
    }
}

static bool is_registry(const char *text)
{
    bool bracket = text[0] == '[';

    for (const char *p = text; *p != '\0'; p++) {
        if (!is_alnum(*p) && strchr(bracket ? ".-:[]" : ".-:", *p) == NULL)
            return false;
    }
    return is_alnum(text[0]) || bracket; /* ".." is a path, not a host */
}

static bool is_tag(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (!is_alnum(*p) && *p != '_' && (p == text || (*p != '.' && *p != '-')))
            return false;
    }
    return text[0] != '\0';
}

/* Cuts at the last `separator` behind `from`; NULL when there is none. */
static char *cut_last(char *from, char separator)
{
    char *at = strrchr(from, separator);

    if (at == NULL)
        return NULL;
    *at = '\0';
    return at + 1;
}

static int parse(char *text, struct reference *r)
{
    char *digest = cut_last(text, '@');
    char *slash = strchr(text, '/');
    char *last = strrchr(text, '/');
    char *tag = cut_last(last == NULL ? text : last, ':');
    const char *registry = "docker.io";
    const char *prefix = "";

    if (digest != NULL && digest_parse(slice_of_str(digest), &r->digest) < 0)
        return ERR_INVALID;
    if (tag != NULL && (strlen(tag) >= sizeof(r->tag) || !is_tag(tag)))
        return ERR_INVALID;
    if (slash != NULL) {
        *slash = '\0';
        if (strpbrk(text, ".:[") != NULL || strcmp(text, "localhost") == 0) {
            registry = text;
            text = slash + 1;
        } else {
            *slash = '/';
        }
    }
    if (strcmp(registry, "index.docker.io") == 0)
        registry = "docker.io";
    if (strcmp(registry, "docker.io") == 0 && strchr(text, '/') == NULL)
        prefix = "library/";
    if (strlen(registry) >= sizeof(r->registry) || !is_registry(registry) || !is_repository(text) ||
        snprintf(r->repository, sizeof(r->repository), "%s%s", prefix, text) >=
            (int)sizeof(r->repository))
        return ERR_INVALID;
    (void)snprintf(r->registry, sizeof(r->registry), "%s", registry); /* lengths are checked */
    (void)snprintf(r->tag, sizeof(r->tag), "%s",
                   tag != NULL      ? tag
                   : digest == NULL ? "latest"
                                    : "");
    return 0;
}

int reference_parse(const char *text, struct reference *out, struct fault *f)
{
    struct reference r = { 0 };
    char copy[REFERENCE_TEXT_MAX];
    size_t len = strlen(text);

    if (len < sizeof(copy)) {
        memcpy(copy, text, len + 1);
        if (parse(copy, &r) == 0) {
            *out = r;
            return 0;
        }
    }
    return fault_set(f, ERR_INVALID,
                     "image reference \"%.200s\": must be [registry/]name[:tag][@sha256:digest], "
                     "the name in lower case",
                     text);
}

void reference_format_repository(const struct reference *r, char out[REFERENCE_TEXT_MAX])
{
    (void)snprintf(out, REFERENCE_TEXT_MAX, "%s/%s", r->registry, r->repository);
}

void reference_format(const struct reference *r, char out[REFERENCE_TEXT_MAX])
{
    bool by_digest = r->digest.text[0] != '\0';

    (void)snprintf(out, REFERENCE_TEXT_MAX, "%s/%s%s%s", r->registry, r->repository,
                   by_digest ? "@" : ":", by_digest ? r->digest.text : r->tag);
}
