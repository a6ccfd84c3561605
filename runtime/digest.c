#include "runtime/digest.h"

#include <stdio.h>

#include "base/err.h"

int digest_parse(struct slice text, struct digest *out)
{
    if (text.len != DIGEST_TEXT_LEN || memcmp(text.ptr, "sha256:", 7) != 0)
        return ERR_MALFORMED;
    for (size_t i = 7; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return ERR_MALFORMED;
    }
    memcpy(out->text, text.ptr, text.len);
    out->text[text.len] = '\0';
    return 0;
}

void digest_begin(struct digest_state *s)
{
    s->len = 0;
    (void)SHA256_Init(&s->sha256); /* these three fail for no input */
}

void digest_update(struct digest_state *s, struct slice bytes)
{
    s->len += bytes.len;
    (void)SHA256_Update(&s->sha256, bytes.ptr, bytes.len);
}

struct digest digest_end(struct digest_state *s)
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    struct digest d = { "sha256:" };

    (void)SHA256_Final(raw, &s->sha256);
    (void)sodium_bin2hex(d.text + 7, DIGEST_HEX_LEN + 1, raw, sizeof(raw));
    return d;
}

struct digest digest_of(struct slice bytes)
{
    struct digest_state s;

    digest_begin(&s);
    digest_update(&s, bytes);
    return digest_end(&s);
}

struct digest digest_chain(const struct digest *parent, const struct digest *diff_id)
{
    char pair[2 * DIGEST_TEXT_LEN + 2];

    if (parent == NULL)
        return *diff_id;
    (void)snprintf(pair, sizeof(pair), "%s %s", parent->text, diff_id->text);
    return digest_of(slice_of_str(pair));
}
