#include "node/api/detach_keys.h"

#include <string.h>

#include "base/err.h"

/* One key: a letter, or "ctrl-" and what a terminal sends with that key held. False: no key. */
static bool parse_key(const char *text, size_t len, uint8_t *out)
{
    static const char control[] = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
    const char *at;

    if (len == 1 && text[0] > ' ' && text[0] < 0x7f) {
        *out = (uint8_t)text[0];
        return true;
    }
    if (len != 6 || memcmp(text, "ctrl-", 5) != 0 || text[5] == '\0')
        return false;
    at = strchr(control, text[5]);
    if (at == NULL)
        return false;
    *out = (uint8_t)(at - control); /* ctrl-@ is 0, ctrl-a is 1, .. */
    return true;
}

int detach_keys_parse(const char *text, struct detach_keys *out)
{
    struct detach_keys k = { .count = 0 };

    if (text == NULL || text[0] == '\0')
        text = DETACH_KEYS_DEFAULT;
    for (;;) {
        size_t len = strcspn(text, ",");

        if (k.count == DETACH_KEYS_MAX || !parse_key(text, len, &k.keys[k.count]))
            return ERR_INVALID;
        k.count++;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    *out = k;
    return 0;
}

/* The longest beginning of the sequence that the kept bytes and this one end with. */
static size_t fall_back(const struct detach_keys *k, uint8_t byte)
{
    uint8_t seen[DETACH_KEYS_MAX + 1];
    size_t len = k->matched + 1;

    memcpy(seen, k->keys, k->matched);
    seen[k->matched] = byte;
    for (size_t n = len - 1; n > 0; n--)
        if (memcmp(seen + len - n, k->keys, n) == 0)
            return n;
    return 0;
}

bool detach_keys_filter(struct detach_keys *k, struct slice input, struct buf *out, int *rc)
{
    *rc = 0;
    for (size_t i = 0; i < input.len && *rc == 0; i++) {
        uint8_t byte = input.ptr[i];
        size_t kept;

        if (k->count > 0 && byte == k->keys[k->matched]) {
            if (++k->matched == k->count) {
                k->matched = 0;
                return true;
            }
            continue;
        }
        kept = fall_back(k, byte);
        /* What was kept back and cannot begin the sequence any more goes on. */
        *rc = buf_append(out, k->keys, MIN(k->matched + 1 - kept, k->matched));
        if (*rc == 0 && kept == 0)
            *rc = buf_append_byte(out, byte);
        k->matched = kept;
    }
    return false;
}
