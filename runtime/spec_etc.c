/* The files in /etc that come from the spec, and what is in force where spec, image and default
 * meet. Pure. */
#include <string.h>

#include "runtime/limits.h"
#include "runtime/spec.h"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static bool is_host_network(const struct container_spec *spec)
{
    return strcmp(text_of(spec->netns_path), "host") == 0;
}

/* --- Files in /etc */

int spec_hostname_text(const struct container_spec *spec, struct buf *out)
{
    char hostname[64];

    return buf_printf(out, "%s\n", spec_hostname(spec, hostname));
}

int spec_hosts_text(const struct container_spec *spec, struct buf *out)
{
    char hostname[64];
    int rc = buf_append_str(out, "127.0.0.1\tlocalhost\n"
                                 "::1\tlocalhost ip6-localhost ip6-loopback\n"
                                 "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n"
                                 "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");

    for (size_t i = 0; rc == 0 && i < spec->hosts.count; i++)
        rc = buf_printf(out, "%s\n", text_of(spec->hosts.items[i]));
    if (rc == 0 && text_of(spec->netns_path)[0] == '\0') /* nothing but loopback */
        rc = buf_printf(out, "127.0.0.1\t%s\n", spec_hostname(spec, hostname));
    return rc;
}

static bool is_loopback_server(struct slice line)
{
    static const char *const loopback[] = { "nameserver 127.", "nameserver ::1", "nameserver\t127.",
                                            "nameserver\t::1" };

    for (size_t i = 0; i < ARRAY_LEN(loopback); i++) {
        size_t len = strlen(loopback[i]);

        if (line.len >= len && memcmp(line.ptr, loopback[i], len) == 0)
            return true;
    }
    return false;
}

static bool has_word(struct slice line, const char *word)
{
    size_t len = strlen(word);

    return line.len > len && memcmp(line.ptr, word, len) == 0 &&
           (line.ptr[len] == ' ' || line.ptr[len] == '\t');
}

/* The host's lines, but for those that the spec replaces. */
static int copy_resolv(const struct container_spec *spec, struct slice host, struct buf *out)
{
    int rc = 0;

    while (host.len > 0 && rc == 0) {
        const uint8_t *end = memchr(host.ptr, '\n', host.len);
        struct slice line = slice_of(host.ptr, end == NULL ? host.len : (size_t)(end - host.ptr));
        bool drop = is_loopback_server(line) && !is_host_network(spec);

        host.ptr += line.len + (end != NULL);
        host.len -= line.len + (end != NULL);
        drop |= has_word(line, "nameserver") && spec->dns_servers.count > 0;
        drop |=
            (has_word(line, "search") || has_word(line, "domain")) && spec->dns_search.count > 0;
        drop |= has_word(line, "options") && spec->dns_options.count > 0;
        if (line.len == 0 || line.ptr[0] == '#' || drop)
            continue;
        rc = buf_append_slice(out, line);
        if (rc == 0)
            rc = buf_append_byte(out, '\n');
    }
    return rc;
}

static int add_words(struct buf *out, const char *keyword, const struct str_list *words)
{
    int rc;

    if (words->count == 0)
        return 0;
    rc = buf_append_str(out, keyword);
    for (size_t i = 0; rc == 0 && i < words->count; i++)
        rc = buf_printf(out, " %s", text_of(words->items[i]));
    return rc < 0 ? rc : buf_append_byte(out, '\n');
}

int spec_resolv_text(const struct container_spec *spec, struct slice host_resolv, struct buf *out)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < spec->dns_servers.count; i++)
        rc = buf_printf(out, "nameserver %s\n", text_of(spec->dns_servers.items[i]));
    if (rc == 0)
        rc = add_words(out, "search", &spec->dns_search);
    if (rc == 0)
        rc = add_words(out, "options", &spec->dns_options);
    return rc < 0 ? rc : copy_resolv(spec, host_resolv, out);
}

/* --- What is in force */

int spec_stop_signal(const struct container_spec *spec, const struct image_config *image)
{
    int signal;

    if (text_of(spec->stop_signal)[0] != '\0' &&
        container_signal_parse(spec->stop_signal, &signal) == 0)
        return signal;
    if (text_of(image->config.stop_signal)[0] != '\0' &&
        container_signal_parse(image->config.stop_signal, &signal) == 0)
        return signal;
    return 15;
}

uint64_t spec_stop_grace_ns(const struct container_spec *spec)
{
    return spec->stop_grace != NULL ? (uint64_t)*spec->stop_grace : DEFAULT_STOP_GRACE_NS;
}

const char *spec_program(const struct container_spec *spec, const struct image_config *image)
{
    const struct str_list *const lists[] = { &spec->command, &image->config.entrypoint, &spec->args,
                                             &image->config.cmd };

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (lists[i]->count > 0)
            return text_of(lists[i]->items[0]);
    }
    return "";
}

const char *spec_user_text(const struct container_spec *spec, const struct image_config *image)
{
    return text_of(spec->user)[0] != '\0' ? spec->user : text_of(image->config.user);
}

const char *spec_working_dir(const struct container_spec *spec, const struct image_config *image)
{
    if (text_of(spec->dir)[0] != '\0')
        return spec->dir;
    return text_of(image->config.working_dir)[0] != '\0' ? image->config.working_dir : "/";
}

static uint64_t first_set(int64_t a, int64_t b, uint64_t otherwise)
{
    if (a > 0)
        return (uint64_t)a;
    return b > 0 ? (uint64_t)b : otherwise;
}

bool spec_health_check(const struct container_spec *spec, const struct image_config *image,
                       struct spec_health *out)
{
    static const struct container_health_check none;
    const struct container_health_check *mine = spec->health_check, *base;

    mine = mine == NULL ? &none : mine;
    base = image->config.health_check == NULL ? &none : image->config.health_check;
    out->test = mine->test.count > 0 ? &mine->test : &base->test;
    if (out->test->count == 0 || strcmp(out->test->items[0], "NONE") == 0 || out->test->count < 2)
        return false;
    out->interval_ns = first_set(mine->interval, base->interval, 30 * NS_PER_S);
    out->timeout_ns = first_set(mine->timeout, base->timeout, 30 * NS_PER_S);
    out->start_period_ns = first_set(mine->start_period, base->start_period, 0);
    out->start_interval_ns = first_set(mine->start_interval, base->start_interval, 5 * NS_PER_S);
    out->retries = (uint32_t)first_set(mine->retries, base->retries, 3);
    return true;
}
