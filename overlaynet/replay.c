/* Bit (counter mod 64) of word (counter / 64 mod REPLAY_WORDS). */
#include "overlaynet/replay.h"

#include <string.h>

void replay_init(struct replay *r)
{
    memset(r, 0, sizeof(*r));
}

bool replay_is_new(const struct replay *r, uint64_t counter)
{
    if (counter == UINT64_MAX)
        return false; /* `next` could not say so */
    if (counter >= r->next)
        return true;
    if (r->next - counter > REPLAY_WINDOW)
        return false;
    return (r->words[counter / 64 % REPLAY_WORDS] >> (counter % 64) & 1) == 0;
}

void replay_accept(struct replay *r, uint64_t counter)
{
    if (counter >= r->next) {
        uint64_t from = r->next == 0 ? 0 : (r->next - 1) / 64, to = counter / 64;
        uint64_t steps = to - from;

        if (steps > REPLAY_WORDS)
            steps = REPLAY_WORDS;
        for (uint64_t i = 1; i <= steps; i++) /* words that the window enters anew */
            r->words[(from + i) % REPLAY_WORDS] = 0;
        if (steps == REPLAY_WORDS)
            memset(r->words, 0, sizeof(r->words));
        r->next = counter + 1;
    }
    r->words[counter / 64 % REPLAY_WORDS] |= UINT64_C(1) << (counter % 64);
}
