/* base/log.h - Structured log lines.
 *
 *     log_info("raft", "became leader term=%" PRIu64, term);
 *     log_warn_kv("link", "hello rejected", LOG_STR("peer", name), LOG_ERR("cause", rc));
 *     log_warn_limited(peer->name, "link", "frame dropped peer=%s", peer->name);
 *
 * A line is a time, a level, an area (the folder's name), a sentence and fields. The program
 * sets where lines go, which clocks date them, the level and the format; until then nothing
 * is logged, so pure code may log and stays pure. Control characters and broken UTF-8 are
 * escaped: no peer can forge a line. Lines are cut at LOG_LINE_MAX.
 *
 * Use _limited for what a peer or a user can cause: per call site and subject, LOG_BURST lines
 * per LOG_WINDOW_NS; the next line that passes says how many were dropped.
 *
 * May be called from any thread once log_setup() has returned; log_setup() itself must not
 * run at the same time as anything else here. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "base/units.h"

#define LOG_LINE_MAX  4096 /* bytes of a line, with its newline */
#define LOG_BURST     5
#define LOG_WINDOW_NS (10 * NS_PER_S)

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };
enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
    LOG_FORMAT_JOURNAL, /* text for systemd's journal: "<6>" for a level, and no time: sd-daemon(3)
                         */
};

struct log_config {
    /* Takes one whole line with its newline, borrowed for the call; called from any thread. */
    void (*sink)(void *arg, enum log_level level, struct slice line);
    wall_ns (*wall_clock)(void *arg);
    mono_ns (*mono_clock)(void *arg);
    void *arg;            /* passed to all three */
    enum log_level level; /* lowest level that is written */
    enum log_format format;
};

/* Copies `config`; all three functions must be set. NULL turns the log off again. */
void log_setup(const struct log_config *config);
void log_set_level(enum log_level level);
bool log_is_enabled(enum log_level level);
const char *log_level_name(enum log_level level); /* "debug", "info", "warn", "error", "off" */

enum log_kind { LOG_KIND_STR, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_BOOL };

struct log_field {
    const char *key; /* [a-z0-9_]+ */
    enum log_kind kind;
    union {
        struct slice str;
        uint64_t u64;
        int64_t i64;
        bool boolean;
    } value;
};

#define LOG_SLICE(k, s)                                          \
    {                                                            \
        .key = (k), .kind = LOG_KIND_STR, .value = {.str = (s) } \
    }
#define LOG_STR(k, s)  LOG_SLICE(k, slice_of_str(s))
#define LOG_ERR(k, rc) LOG_SLICE(k, slice_of_str(err_text(rc))) /* needs base/err.h */
#define LOG_U64(k, n)                                            \
    {                                                            \
        .key = (k), .kind = LOG_KIND_U64, .value = {.u64 = (n) } \
    }
#define LOG_I64(k, n)                                            \
    {                                                            \
        .key = (k), .kind = LOG_KIND_I64, .value = {.i64 = (n) } \
    }
#define LOG_BOOL(k, b)                                                \
    {                                                                 \
        .key = (k), .kind = LOG_KIND_BOOL, .value = {.boolean = (b) } \
    }

/* What the macros below call. `subject` NULL: not limited. */
struct log_site {
    const char *file;
    int line;
    enum log_level level;
    const char *area;
    const char *subject;
};
void log_printf(const struct log_site *site, const char *format, ...) PRINTF_LIKE(2, 3);
void log_fields(const struct log_site *site, const char *message, const struct log_field *fields,
                size_t count);

#define LOG_SITE(level_, area_, subject_)         \
    (&(const struct log_site){ .file = __FILE__,  \
                               .line = __LINE__,  \
                               .level = (level_), \
                               .area = (area_),   \
                               .subject = (subject_) })
#define LOG_AT(level, area, subject, ...) \
    (log_is_enabled(level) ? log_printf(LOG_SITE(level, area, subject), __VA_ARGS__) : (void)0)
#define LOG_KV_AT(level, area, subject, message, ...)                                              \
    (log_is_enabled(level)                                                                         \
         ? log_fields(                                                                             \
               LOG_SITE(level, area, subject), message, (const struct log_field[]){ __VA_ARGS__ }, \
               sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))       \
         : (void)0)

#define log_debug(area, ...) LOG_AT(LOG_LEVEL_DEBUG, area, NULL, __VA_ARGS__)
#define log_info(area, ...)  LOG_AT(LOG_LEVEL_INFO, area, NULL, __VA_ARGS__)
#define log_warn(area, ...)  LOG_AT(LOG_LEVEL_WARN, area, NULL, __VA_ARGS__)
#define log_error(area, ...) LOG_AT(LOG_LEVEL_ERROR, area, NULL, __VA_ARGS__)

#define log_info_limited(subject, area, ...)  LOG_AT(LOG_LEVEL_INFO, area, subject, __VA_ARGS__)
#define log_warn_limited(subject, area, ...)  LOG_AT(LOG_LEVEL_WARN, area, subject, __VA_ARGS__)
#define log_error_limited(subject, area, ...) LOG_AT(LOG_LEVEL_ERROR, area, subject, __VA_ARGS__)

#define log_debug_kv(area, ...) LOG_KV_AT(LOG_LEVEL_DEBUG, area, NULL, __VA_ARGS__)
#define log_info_kv(area, ...)  LOG_KV_AT(LOG_LEVEL_INFO, area, NULL, __VA_ARGS__)
#define log_warn_kv(area, ...)  LOG_KV_AT(LOG_LEVEL_WARN, area, NULL, __VA_ARGS__)
#define log_error_kv(area, ...) LOG_KV_AT(LOG_LEVEL_ERROR, area, NULL, __VA_ARGS__)
#define log_warn_limited_kv(subject, area, ...) \
    LOG_KV_AT(LOG_LEVEL_WARN, area, subject, __VA_ARGS__)

#endif /* BASE_LOG_H */
