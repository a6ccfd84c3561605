/* Limits of processes: NAME=SOFT[:HARD]; -1 is no limit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_list.h"

#define EXPECTED "give NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:2048; -1 is no limit"

/* -1 or more, up to one of the characters of `ends`. */
static bool read_limit(const char **at, const char *ends, long long *out)
{
    char *end;

    errno = 0;
    *out = strtoll(*at, &end, 10);
    if (errno != 0 || end == *at || *out < -1 || strchr(ends, *end) == NULL)
        return false;
    *at = end;
    return true;
}

static bool exceeds(long long soft, long long hard)
{
    return hard != -1 && (soft == -1 || soft > hard);
}

static int read_ulimit(const struct spec_names *names, const char *option, const char *text,
                       json_t *out)
{
    size_t len = strcspn(text, "=");
    const char *at = text + len + 1;
    long long soft, hard;

    (void)names;
    if (len == 0 || text[len] == '\0' || !read_limit(&at, ":", &soft))
        return spec_refuse(option, text, EXPECTED);
    hard = soft;
    if (*at == ':') {
        at++;
        if (!read_limit(&at, "", &hard))
            return spec_refuse(option, text, EXPECTED);
    }
    if (exceeds(soft, hard))
        return spec_refuse(option, text, "the soft limit is above the hard one");
    return json_array_append_new(out,
                                 json_pack("{s:o, s:I, s:I}", "Name", json_stringn(text, len),
                                           "Soft", (json_int_t)soft, "Hard", (json_int_t)hard)) < 0
               ? spec_refuse(option, text, EXPECTED)
               : 0;
}

static bool is_named(const json_t *entry, const json_t *name)
{
    return json_equal(json_object_get(entry, "Name"), name) != 0;
}

static bool is_same(const json_t *entry, const json_t *added)
{
    return is_named(entry, json_object_get(added, "Name"));
}

const struct spec_entry spec_ulimit_entry = { read_ulimit, is_same, NULL, is_named };
