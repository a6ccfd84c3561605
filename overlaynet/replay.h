/* overlaynet/replay.h - Which packet counters were seen: a sliding bitmap. Pure.
 *
 * RFC 6479: the bitmap is a ring of words, and moving the window on clears whole words, so nothing
 * is ever shifted. Check before opening a packet, accept only after it was authentic: an attacker
 * who moves the window with forged counters would shut out real packets. */
#ifndef OVERLAYNET_REPLAY_H
#define OVERLAYNET_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLAY_WORDS  129 /* one word is always being refilled: the window is one word shorter */
#define REPLAY_WINDOW ((REPLAY_WORDS - 1) * 64) /* 8192 */

struct replay {
    uint64_t next; /* one more than the highest counter accepted; 0 = none yet */
    uint64_t words[REPLAY_WORDS];
};

void replay_init(struct replay *r);

/* False when the counter was accepted before, or is too old to know. */
bool replay_is_new(const struct replay *r, uint64_t counter);

/* Records a counter that replay_is_new() and that was authentic. */
void replay_accept(struct replay *r, uint64_t counter);

#endif /* OVERLAYNET_REPLAY_H */
