/* Entries that are texts: as they are, addresses, lines of /etc/hosts, and preferences. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_list.h"

static bool is_text(const json_t *entry, const json_t *text)
{
    return json_equal(entry, text) != 0;
}

static int append_text(const char *option, const char *text, json_t *out)
{
    return json_array_append_new(out, json_string(text)) < 0
               ? spec_refuse(option, text, "give text in UTF-8")
               : 0;
}

static int read_text(const struct spec_names *names, const char *option, const char *text,
                     json_t *out)
{
    (void)names;
    return append_text(option, text, out);
}

const struct spec_entry spec_text_entry = { read_text, is_text, NULL, is_text };

/* --- Addresses */

static bool is_address(const char *text)
{
    struct in6_addr addr;

    return inet_pton(AF_INET, text, &addr) == 1 || inet_pton(AF_INET6, text, &addr) == 1;
}

static int read_address(const struct spec_names *names, const char *option, const char *text,
                        json_t *out)
{
    (void)names;
    return is_address(text) ? append_text(option, text, out)
                            : spec_refuse(option, text, "give an address such as 10.1.2.3");
}

const struct spec_entry spec_address_entry = { read_address, is_text, NULL, is_text };

/* --- Hosts: NAME:ADDRESS is what people write, "ADDRESS NAME" what a spec holds. A name may have
 * several addresses: one more is added, none is replaced. */

static int read_host(const struct spec_names *names, const char *option, const char *text,
                     json_t *out)
{
    size_t len = strcspn(text, ":=");
    char line[512];

    (void)names;
    if (len == 0 || text[len] == '\0' || !is_address(text + len + 1) || len > 253)
        return spec_refuse(option, text, "give NAME:ADDRESS");
    (void)snprintf(line, sizeof(line), "%s %.*s", text + len + 1, (int)len, text);
    return append_text(option, line, out);
}

/* By its name, or by both. `wanted` is what was written. */
static bool is_host(const json_t *entry, const json_t *wanted)
{
    const char *line = json_string_value(entry), *text = json_string_value(wanted);
    const char *blank = line == NULL ? NULL : strchr(line, ' ');
    size_t len = strcspn(text, ":=");

    if (blank == NULL || strlen(blank + 1) != len || strncmp(blank + 1, text, len) != 0)
        return false;
    return text[len] == '\0' || (strlen(text + len + 1) == (size_t)(blank - line) &&
                                 strncmp(text + len + 1, line, (size_t)(blank - line)) == 0);
}

const struct spec_entry spec_host_entry = { read_host, is_text, NULL, is_host };

/* --- Preferences of placement: {"Spread":{"SpreadDescriptor":KEY}} */

static int read_preference(const struct spec_names *names, const char *option, const char *text,
                           json_t *out)
{
    json_t *preference;

    (void)names;
    if (strncmp(text, "spread=", 7) != 0 || text[7] == '\0')
        return spec_refuse(option, text, "give spread=KEY, such as spread=node.labels.zone");
    preference = json_pack("{s:{s:s}}", "Spread", "SpreadDescriptor", text + 7);
    return json_array_append_new(out, preference) < 0
               ? spec_refuse(option, text, "give text in UTF-8")
               : 0;
}

const struct spec_entry spec_preference_entry = { read_preference, is_text, read_preference,
                                                  is_text };
