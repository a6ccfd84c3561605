/* A line is built on the stack and handed to the sink in one piece. LINE_TAIL bytes are kept
 * free for what closes it, so a line that is cut still ends well: JSON stays JSON, and a field
 * is there whole or not at all. */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/time_text.h"
#include "base/utf8.h"

#define LINE_TAIL   80 /* suppressed=18446744073709551615 truncated=true, quotes, newline */
#define MESSAGE_MAX (LOG_LINE_MAX / 2)

static struct log_config config;
static atomic_int threshold = LOG_LEVEL_OFF;

void log_setup(const struct log_config *c)
{
    if (c == NULL) {
        atomic_store(&threshold, LOG_LEVEL_OFF);
        return;
    }
    config = *c;
    log_set_level(c->level);
}

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, config.sink == NULL ? LOG_LEVEL_OFF : (int)level);
}

bool log_is_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = { "debug", "info", "warn", "error", "off" };

    return names[level];
}

/* --- Rate limit: a small set-associative table of (call site, subject). A subject that is
 * pushed out by others merely starts afresh. */

#define LIMIT_SETS 64
#define LIMIT_WAYS 4

struct limit {
    uint64_t key; /* 0 = free */
    mono_ns window_start;
    uint32_t passed;  /* in this window */
    uint64_t dropped; /* since the last line that passed */
};

static struct limit limits[LIMIT_SETS][LIMIT_WAYS];
static atomic_flag limits_lock = ATOMIC_FLAG_INIT; /* held for a few instructions */

static uint64_t limit_key(const struct log_site *site)
{
    struct hash_seed seed = { { 0 } };
    uint64_t place = hash_bytes(&seed, slice_of_str(site->file)) + (uint64_t)site->line;

    memcpy(seed.key, &place, sizeof(place));
    return hash_bytes(&seed, slice_of_str(site->subject)) | 1;
}

/* The entry of a key; a new one takes the place of the one whose window is oldest. */
static struct limit *find_limit(uint64_t key, mono_ns now)
{
    struct limit *set = limits[key / 2 % LIMIT_SETS];
    struct limit *oldest = &set[0];

    for (size_t i = 0; i < LIMIT_WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].window_start < oldest->window_start)
            oldest = &set[i];
    }
    *oldest = (struct limit){ .key = key, .window_start = now };
    return oldest;
}

/* Whether a line may pass, and how many did not since the last that did. */
static bool may_pass(const struct log_site *site, uint64_t *out_dropped)
{
    struct limit *l;
    mono_ns now;
    bool pass;

    *out_dropped = 0;
    if (site->subject == NULL)
        return true;
    now = config.mono_clock(config.arg);
    while (atomic_flag_test_and_set_explicit(&limits_lock, memory_order_acquire)) {
    }
    l = find_limit(limit_key(site), now);
    if (now - l->window_start >= LOG_WINDOW_NS) {
        l->window_start = now;
        l->passed = 0;
    }
    pass = l->passed < LOG_BURST;
    if (pass) {
        l->passed++;
        *out_dropped = l->dropped;
        l->dropped = 0;
    } else {
        l->dropped++;
    }
    atomic_flag_clear_explicit(&limits_lock, memory_order_release);
    return pass;
}

/* --- Lines. */

struct line {
    size_t len;
    size_t limit; /* LOG_LINE_MAX - LINE_TAIL until the line is closed */
    bool is_cut;
    char text[LOG_LINE_MAX];
};

static void put(struct line *l, const char *bytes, size_t len)
{
    if (len > l->limit - l->len) {
        l->is_cut = true;
        return;
    }
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* Whether a terminal or a log reader could take the sequence for something else than text:
 * C0 and C1 controls and DEL. */
static bool is_control(const uint8_t *p, size_t len)
{
    return (len == 1 && (p[0] < 0x20 || p[0] == 0x7f)) || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

/* The text with controls as \n or \u00XX and broken UTF-8 as U+FFFD; `quoted` also escapes
 * quotes and backslashes, which makes it the inside of a JSON string. */
static void put_escaped(struct line *l, struct slice s, bool quoted)
{
    while (s.len > 0 && !l->is_cut) {
        size_t len = utf8_sequence_len(s);
        char code[8];

        if (len == 0) {
            put_str(l, "\xef\xbf\xbd");
            len = 1;
        } else if (s.ptr[0] == '\n') {
            put_str(l, "\\n");
        } else if (is_control(s.ptr, len)) {
            (void)snprintf(code, sizeof(code), "\\u%04x", (unsigned)s.ptr[len - 1]);
            put_str(l, code);
        } else if (quoted && (s.ptr[0] == '"' || s.ptr[0] == '\\')) {
            put_str(l, "\\");
            put(l, (const char *)s.ptr, 1);
        } else {
            put(l, (const char *)s.ptr, len);
        }
        s.ptr += len;
        s.len -= len;
    }
}

static void put_quoted(struct line *l, struct slice s)
{
    put_str(l, "\"");
    put_escaped(l, s, true);
    put_str(l, "\"");
}

/* Whether a value can stand after key= as it is. */
static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] == '"' || s.ptr[i] == '=' || s.ptr[i] == '\\' ||
            s.ptr[i] >= 0x7f)
            return false;
    return s.len > 0;
}

static void put_value(struct line *l, const struct log_field *f)
{
    char number[24];

    switch (f->kind) {
    case LOG_KIND_STR:
        if (config.format != LOG_FORMAT_JSON && is_plain(f->value.str))
            put(l, (const char *)f->value.str.ptr, f->value.str.len);
        else
            put_quoted(l, f->value.str);
        break;
    case LOG_KIND_U64:
        (void)snprintf(number, sizeof(number), "%" PRIu64, f->value.u64);
        put_str(l, number);
        break;
    case LOG_KIND_I64:
        (void)snprintf(number, sizeof(number), "%" PRId64, f->value.i64);
        put_str(l, number);
        break;
    case LOG_KIND_BOOL:
        put_str(l, f->value.boolean ? "true" : "false");
        break;
    }
}

/* The whole field or nothing of it. */
static void put_field(struct line *l, const struct log_field *f)
{
    size_t start = l->len;

    if (l->is_cut)
        return;
    if (config.format != LOG_FORMAT_JSON) {
        put_str(l, " ");
        put_str(l, f->key);
        put_str(l, "=");
    } else {
        put_str(l, ",\"");
        put_str(l, f->key);
        put_str(l, "\":");
    }
    put_value(l, f);
    if (l->is_cut)
        l->len = start;
}

static void put_text_head(struct line *l, const struct log_site *site, const char *time)
{
    static const char *const upper[] = { "DEBUG", "INFO", "WARN", "ERROR", "OFF" };
    static const char *const priorities[] = { "<7>", "<6>", "<4>", "<3>", "<3>" }; /* syslog(3) */

    if (config.format == LOG_FORMAT_JOURNAL) {
        put_str(l, priorities[site->level]);
    } else {
        put_str(l, time);
        put_str(l, " ");
        put_str(l, upper[site->level]);
        put_str(l, " ");
    }
    put_str(l, site->area);
    put_str(l, ": ");
}

static void put_json_head(struct line *l, const struct log_site *site, const char *time)
{
    put_str(l, "{\"time\":\"");
    put_str(l, time);
    put_str(l, "\",\"level\":\"");
    put_str(l, log_level_name(site->level));
    put_str(l, "\",\"area\":\"");
    put_str(l, site->area);
    put_str(l, "\",\"msg\":\"");
}

static void put_head(struct line *l, const struct log_site *site, struct slice message)
{
    char time[TIME_TEXT_MAX];

    time_format(config.wall_clock(config.arg), time);
    if (config.format != LOG_FORMAT_JSON) {
        put_text_head(l, site, time);
        put_escaped(l, message, false);
        return;
    }
    put_json_head(l, site, time);
    put_escaped(l, message, true);
    l->limit = LOG_LINE_MAX; /* the closing quote is part of the tail */
    put(l, "\"", 1);
    l->limit = LOG_LINE_MAX - LINE_TAIL + 1;
}

static void put_tail(struct line *l, uint64_t dropped)
{
    const struct log_field suppressed = LOG_U64("suppressed", dropped);
    const struct log_field truncated = LOG_BOOL("truncated", true);
    bool was_cut = l->is_cut;

    l->limit = LOG_LINE_MAX;
    l->is_cut = false;
    if (dropped > 0)
        put_field(l, &suppressed);
    if (was_cut)
        put_field(l, &truncated);
    put_str(l, config.format == LOG_FORMAT_JSON ? "}\n" : "\n");
}

static void emit(const struct log_site *site, struct slice message, const struct log_field *fields,
                 size_t count)
{
    struct line l = { .limit = LOG_LINE_MAX - LINE_TAIL };
    uint64_t dropped;

    if (!may_pass(site, &dropped))
        return;
    put_head(&l, site, message);
    for (size_t i = 0; i < count; i++)
        put_field(&l, &fields[i]);
    put_tail(&l, dropped);
    config.sink(config.arg, site->level, slice_of(l.text, l.len));
}

void log_fields(const struct log_site *site, const char *message, const struct log_field *fields,
                size_t count)
{
    emit(site, slice_of_str(message), fields, count);
}

void log_printf(const struct log_site *site, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args); /* cut when longer */
    va_end(args);
    emit(site, slice_of_str(message), NULL, 0);
}
