/* RFC 3629 section 4: the first byte fixes the length and the range of the second byte; that
 * range excludes overlong forms, surrogates and what lies beyond U+10FFFF. */
#include "base/utf8.h"

#include <string.h>

#include "base/attr.h"

static const struct {
    uint8_t first_min, first_max, second_min, second_max, len;
} forms[] = {
    { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
    { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
    { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

static size_t multibyte_len(struct slice bytes)
{
    const uint8_t *p = bytes.ptr;

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (p[0] < forms[i].first_min || p[0] > forms[i].first_max)
            continue;
        if (bytes.len < forms[i].len || p[1] < forms[i].second_min || p[1] > forms[i].second_max)
            return 0;
        for (size_t j = 2; j < forms[i].len; j++)
            if ((p[j] & 0xc0) != 0x80)
                return 0;
        return forms[i].len;
    }
    return 0;
}

size_t utf8_sequence_len(struct slice bytes)
{
    if (bytes.len == 0)
        return 0;
    return bytes.ptr[0] < 0x80 ? 1 : multibyte_len(bytes);
}

/* Nearly all text is ASCII: eight bytes at a time without a high bit. */
static bool starts_with_ascii_word(struct slice bytes)
{
    uint64_t word;

    if (bytes.len < sizeof(word))
        return false;
    memcpy(&word, bytes.ptr, sizeof(word));
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool utf8_is_valid(struct slice bytes)
{
    while (bytes.len > 0) {
        size_t len = starts_with_ascii_word(bytes) ? sizeof(uint64_t) : utf8_sequence_len(bytes);

        if (len == 0)
            return false;
        bytes.ptr += len;
        bytes.len -= len;
    }
    return true;
}
