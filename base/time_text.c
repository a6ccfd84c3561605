/* Dates are counted in days of the proleptic Gregorian calendar from 1970-01-01, in eras of
 * 400 years that begin on 1 March, so that the leap day is the last day of a year. */
#include "base/time_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define NS_PER_MINUTE (60 * NS_PER_S)
#define NS_PER_HOUR   (3600 * NS_PER_S)
#define S_PER_DAY     86400
#define DAYS_PER_ERA  146097
#define NOT_SET       "0001-01-01T00:00:00Z"

__extension__ typedef unsigned __int128 u128;

/* --- Durations. */

/* Writes `value` / 10^`places` without trailing zeros, then `unit`. */
static void print_decimal(char *out, size_t cap, uint64_t value, int places, const char *unit)
{
    uint64_t scale = 1;
    uint64_t fraction;

    for (int i = 0; i < places; i++)
        scale *= 10;
    fraction = value % scale;
    while (places > 0 && fraction % 10 == 0) {
        fraction /= 10;
        places--;
    }
    if (places == 0)
        (void)snprintf(out, cap, "%" PRIu64 "%s", value / scale, unit);
    else
        (void)snprintf(out, cap, "%" PRIu64 ".%0*" PRIu64 "%s", value / scale, places, fraction,
                       unit);
}

void duration_format(int64_t ns, char out[DURATION_TEXT_MAX])
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    size_t len = 0;

    if (ns < 0)
        out[len++] = '-';
    if (left == 0) {
        (void)snprintf(out, DURATION_TEXT_MAX, "0s");
        return;
    }
    if (left < NS_PER_US) {
        print_decimal(out + len, DURATION_TEXT_MAX - len, left, 0, "ns");
        return;
    }
    if (left < NS_PER_MS) {
        print_decimal(out + len, DURATION_TEXT_MAX - len, left, 3, "\xc2\xb5s");
        return;
    }
    if (left < NS_PER_S) {
        print_decimal(out + len, DURATION_TEXT_MAX - len, left, 6, "ms");
        return;
    }
    if (left >= NS_PER_HOUR)
        len += (size_t)snprintf(out + len, DURATION_TEXT_MAX - len, "%" PRIu64 "h",
                                left / NS_PER_HOUR);
    if (left >= NS_PER_MINUTE)
        len += (size_t)snprintf(out + len, DURATION_TEXT_MAX - len, "%" PRIu64 "m",
                                left % NS_PER_HOUR / NS_PER_MINUTE);
    print_decimal(out + len, DURATION_TEXT_MAX - len, left % NS_PER_MINUTE, 9, "s");
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void skip(struct slice *text, size_t len)
{
    text->ptr += len;
    text->len -= len;
}

static bool skip_char(struct slice *text, char c)
{
    if (text->len == 0 || text->ptr[0] != (uint8_t)c)
        return false;
    skip(text, 1);
    return true;
}

static uint64_t take_unit(struct slice *text)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = { /* longer names before their prefixes */
                  { "ns", 1 },
                  { "us", NS_PER_US },
                  { "\xc2\xb5s", NS_PER_US }, /* U+00B5 micro sign */
                  { "\xce\xbcs", NS_PER_US }, /* U+03BC Greek mu */
                  { "ms", NS_PER_MS },
                  { "s", NS_PER_S },
                  { "m", NS_PER_MINUTE },
                  { "h", NS_PER_HOUR }
    };

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = strlen(units[i].name);

        if (text->len >= len && memcmp(text->ptr, units[i].name, len) == 0) {
            skip(text, len);
            return units[i].ns;
        }
    }
    return 0;
}

/* One term, such as "1.5h". Eighteen decimals are more than an hour has in nanoseconds. */
static int take_term(struct slice *text, uint64_t *out_ns)
{
    uint64_t whole = 0, fraction = 0, scale = 1, unit, ns;
    bool any = false, too_large = false;

    for (; text->len > 0 && is_digit(text->ptr[0]); skip(text, 1), any = true)
        too_large |= __builtin_mul_overflow(whole, 10, &whole) ||
                     __builtin_add_overflow(whole, (uint64_t)(text->ptr[0] - '0'), &whole);
    if (skip_char(text, '.')) {
        for (; text->len > 0 && is_digit(text->ptr[0]); skip(text, 1), any = true) {
            if (scale >= UINT64_C(1000000000000000000))
                continue;
            fraction = fraction * 10 + (uint64_t)(text->ptr[0] - '0');
            scale *= 10;
        }
    }
    unit = any ? take_unit(text) : 0;
    if (unit == 0)
        return ERR_MALFORMED;
    if (too_large || __builtin_mul_overflow(whole, unit, &ns) ||
        __builtin_add_overflow(ns, (uint64_t)((u128)fraction * unit / scale), &ns))
        return ERR_TOO_LARGE;
    *out_ns = ns;
    return 0;
}

int duration_parse(struct slice text, int64_t *out_ns)
{
    bool is_negative = skip_char(&text, '-');
    uint64_t sum = 0, limit = (uint64_t)INT64_MAX + is_negative;

    if (!is_negative)
        (void)skip_char(&text, '+'); /* optional */
    if (text.len == 0)
        return ERR_MALFORMED;
    if (text.len == 1 && text.ptr[0] == '0') {
        *out_ns = 0;
        return 0;
    }
    while (text.len > 0) {
        uint64_t term;
        int rc = take_term(&text, &term);

        if (rc < 0)
            return rc;
        if (term > limit - sum)
            return ERR_TOO_LARGE;
        sum += term;
    }
    *out_ns = is_negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return 0;
}

/* --- Times. */

struct civil {
    int64_t year;
    int64_t month, day; /* from 1 */
};

static int64_t days_from_civil(struct civil c)
{
    int64_t year = c.month <= 2 ? c.year - 1 : c.year; /* of a year that begins in March */
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - 719468; /* 0000-03-01 to 1970-01-01 */
}

static struct civil civil_from_days(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* from March = 0 */
    struct civil c;

    c.day = day_of_year - (153 * month + 2) / 5 + 1;
    c.month = month < 10 ? month + 3 : month - 9;
    c.year = year_of_era + era * 400 + (c.month <= 2);
    return c;
}

void time_format(wall_ns t, char out[TIME_TEXT_MAX])
{
    int64_t s = t / (int64_t)NS_PER_S, ns = t % (int64_t)NS_PER_S;
    int64_t days, second;
    struct civil c;
    size_t len;

    if (t == 0) {
        (void)snprintf(out, TIME_TEXT_MAX, "%s", NOT_SET);
        return;
    }
    if (ns < 0) {
        ns += (int64_t)NS_PER_S;
        s--;
    }
    days = s / S_PER_DAY;
    second = s % S_PER_DAY;
    if (second < 0) {
        second += S_PER_DAY;
        days--;
    }
    c = civil_from_days(days);
    len = (size_t)snprintf(out, TIME_TEXT_MAX,
                           "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":",
                           c.year, c.month, c.day, second / 3600, second / 60 % 60);
    if (second % 60 < 10)
        out[len++] = '0';
    print_decimal(out + len, TIME_TEXT_MAX - len, (uint64_t)(second % 60) * NS_PER_S + (uint64_t)ns,
                  9, "Z");
}

/* Exactly `count` digits with a value in [min, max]. */
static bool take_number(struct slice *text, size_t count, int64_t min, int64_t max, int64_t *out)
{
    int64_t n = 0;

    if (text->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(text->ptr[i]))
            return false;
        n = n * 10 + (text->ptr[i] - '0');
    }
    skip(text, count);
    *out = n;
    return n >= min && n <= max;
}

static bool take_date(struct slice *text, struct civil *out)
{
    struct civil c, back;

    if (!take_number(text, 4, 0, 9999, &c.year) || !skip_char(text, '-') ||
        !take_number(text, 2, 1, 12, &c.month) || !skip_char(text, '-') ||
        !take_number(text, 2, 1, 31, &c.day))
        return false;
    back = civil_from_days(days_from_civil(c)); /* 31 April would come back as 1 May */
    *out = c;
    return back.month == c.month;
}

static bool take_decimals(struct slice *text, int64_t *out_ns)
{
    int64_t place = (int64_t)NS_PER_S / 10;

    *out_ns = 0;
    if (!skip_char(text, '.'))
        return true;
    if (text->len == 0 || !is_digit(text->ptr[0]))
        return false;
    for (; text->len > 0 && is_digit(text->ptr[0]); skip(text, 1)) {
        *out_ns += (text->ptr[0] - '0') * place;
        place /= 10;
    }
    return true;
}

/* Seconds east of UTC. */
static bool take_offset(struct slice *text, int64_t *out_s)
{
    int64_t sign, hours, minutes;

    *out_s = 0;
    if (skip_char(text, 'Z') || skip_char(text, 'z'))
        return true;
    if (skip_char(text, '+'))
        sign = 1;
    else if (skip_char(text, '-'))
        sign = -1;
    else
        return false;
    if (!take_number(text, 2, 0, 23, &hours) || !skip_char(text, ':') ||
        !take_number(text, 2, 0, 59, &minutes))
        return false;
    *out_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

int time_parse(struct slice text, wall_ns *out)
{
    int64_t hour, minute, second, ns, offset, t;
    struct civil date;

    if (slice_equal(text, slice_of_str(NOT_SET))) {
        *out = 0;
        return 0;
    }
    if (!take_date(&text, &date) || !(skip_char(&text, 'T') || skip_char(&text, 't')) ||
        !take_number(&text, 2, 0, 23, &hour) || !skip_char(&text, ':') ||
        !take_number(&text, 2, 0, 59, &minute) || !skip_char(&text, ':') ||
        !take_number(&text, 2, 0, 59, &second) || !take_decimals(&text, &ns) ||
        !take_offset(&text, &offset) || text.len > 0)
        return ERR_MALFORMED;
    t = days_from_civil(date) * S_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    if (t < 0) { /* count the decimals down from the next second, so that the product fits */
        t++;
        ns -= (int64_t)NS_PER_S;
    }
    if (__builtin_mul_overflow(t, (int64_t)NS_PER_S, &t) || __builtin_add_overflow(t, ns, &t))
        return ERR_TOO_LARGE;
    *out = t;
    return 0;
}
