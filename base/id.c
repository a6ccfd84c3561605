#include "base/id.h"

#include "base/err.h"

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* Long division by 36, least digit first: 36^25 > 2^128, so nothing is left over. */
struct id id_from_random(const uint8_t random[ID_RANDOM_LEN])
{
    uint8_t n[ID_RANDOM_LEN];
    struct id id;

    memcpy(n, random, sizeof(n));
    for (size_t at = ID_LEN; at > 0; at--) {
        unsigned rest = 0;

        for (size_t i = 0; i < sizeof(n); i++) {
            rest = rest * 256 + n[i];
            n[i] = (uint8_t)(rest / 36);
            rest %= 36;
        }
        id.text[at - 1] = digits[rest];
    }
    id.text[ID_LEN] = '\0';
    return id;
}

int id_parse(struct slice text, struct id *out)
{
    if (text.len != ID_LEN)
        return ERR_MALFORMED;
    for (size_t i = 0; i < ID_LEN; i++)
        if (text.ptr[i] == '\0' || strchr(digits, text.ptr[i]) == NULL)
            return ERR_MALFORMED;
    memcpy(out->text, text.ptr, ID_LEN);
    out->text[ID_LEN] = '\0';
    return 0;
}
