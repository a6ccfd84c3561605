/* Published ports: "8080:80/udp", "80", "8000-8002:80-82", or
 * "published=8080,target=80,protocol=udp,mode=host".
 *
 * A port of the hosts leads to one place only, so an added entry replaces the one that has its
 * published port and protocol; without a published port, the one that has its target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_list.h"
#include "node/cli/spec_parts.h"

#define EXPECTED "give 8080:80, 80 or published=8080,target=80"

static const struct spec_row parts[] = {
    { "published", SPEC_COUNT, "PublishedPort" },
    { "target", SPEC_COUNT, "TargetPort" },
    { "protocol", SPEC_TEXT, "Protocol" },
    { "mode", SPEC_TEXT, "PublishMode" },
    { NULL, SPEC_TEXT, NULL },
};

struct range {
    unsigned first, last;
};

/* "80" or "80-82", up to one of the characters of `ends`. */
static bool read_range(const char **at, const char *ends, struct range *out)
{
    char *end;
    unsigned long first = strtoul(*at, &end, 10), last = first;

    if (**at < '0' || **at > '9')
        return false;
    if (*end == '-') {
        const char *second = end + 1;

        last = strtoul(second, &end, 10);
        if (*second < '0' || *second > '9')
            return false;
    }
    *at = end;
    *out = (struct range){ (unsigned)first, (unsigned)last };
    return first <= last && last <= 65535 && strchr(ends, *end) != NULL;
}

static int read_short(const char *option, const char *text, json_t *out)
{
    struct range published = { 0, 0 }, target;
    const char *at = text;
    bool pair = strchr(text, ':') != NULL;

    if (pair && (!read_range(&at, ":", &published) || *at++ != ':'))
        return spec_refuse(option, text, EXPECTED);
    if (!read_range(&at, "/", &target) || (*at == '/' && at[1] == '\0'))
        return spec_refuse(option, text, EXPECTED);
    if (pair && published.last - published.first != target.last - target.first)
        return spec_refuse(option, text, "the ranges differ in length");
    for (unsigned i = 0; i <= target.last - target.first; i++) {
        json_t *port = json_pack("{s:i}", "TargetPort", (int)(target.first + i));

        if (*at == '/')
            (void)json_object_set_new(port, "Protocol", json_string(at + 1));
        if (pair)
            (void)json_object_set_new(port, "PublishedPort", json_integer(published.first + i));
        (void)json_array_append_new(out, port);
    }
    return 0;
}

static json_int_t number_of(const json_t *port, const char *key)
{
    return json_integer_value(json_object_get(port, key));
}

static bool is_possible(const json_t *port)
{
    json_int_t target = number_of(port, "TargetPort");

    return target >= 1 && target <= 65535 && number_of(port, "PublishedPort") <= 65535;
}

/* Only what was said: no defaults. */
static int name_ports(const struct spec_names *names, const char *option, const char *text,
                      json_t *out)
{
    json_t *port;
    int rc;

    (void)names;
    if (strchr(text, '=') == NULL) {
        rc = read_short(option, text, out);
    } else {
        port = json_object();
        rc = spec_parts_read(option, text, parts, port);
        (void)json_array_append_new(out, port);
    }
    for (size_t i = 0; i < json_array_size(out) && rc == 0; i++)
        if (!is_possible(json_array_get(out, i)))
            rc = spec_refuse(option, text, EXPECTED);
    return rc;
}

static int read_ports(const struct spec_names *names, const char *option, const char *text,
                      json_t *out)
{
    int rc = name_ports(names, option, text, out);
    json_t *defaults;

    if (rc < 0)
        return rc;
    defaults = json_pack("{s:s, s:i, s:s}", "Protocol", "tcp", "PublishedPort", 0, "PublishMode",
                         "ingress");
    for (size_t i = 0; i < json_array_size(out); i++)
        (void)json_object_update_missing(json_array_get(out, i), defaults);
    json_decref(defaults);
    return 0;
}

static bool has_same(const json_t *a, const json_t *b, const char *key)
{
    return json_equal(json_object_get(a, key), json_object_get(b, key)) != 0;
}

static bool is_same(const json_t *entry, const json_t *added)
{
    return has_same(entry, added, "Protocol") &&
           number_of(entry, "PublishedPort") == number_of(added, "PublishedPort") &&
           (number_of(added, "PublishedPort") != 0 || has_same(entry, added, "TargetPort"));
}

/* All that was said of it is so; of the protocol, TCP is meant when nothing was said. */
static bool is_named(const json_t *entry, const json_t *name)
{
    const json_t *protocol = json_object_get(name, "Protocol");
    const char *wanted = protocol == NULL ? "tcp" : json_string_value(protocol);
    const char *held = json_string_value(json_object_get(entry, "Protocol"));

    return has_same(entry, name, "TargetPort") && held != NULL && strcmp(held, wanted) == 0 &&
           number_of(entry, "PublishedPort") ==
               number_of(json_object_get(name, "PublishedPort") == NULL ? entry : name,
                         "PublishedPort") &&
           (json_object_get(name, "PublishMode") == NULL || has_same(entry, name, "PublishMode"));
}

const struct spec_entry spec_port_entry = { read_ports, is_same, name_ports, is_named };
