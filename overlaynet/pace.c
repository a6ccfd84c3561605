/* Windows of counting; one that was dense decides about the time after it. */
#include "overlaynet/pace.h"

mono_ns pace_after(struct pace *p, const struct pace_turn *turn, mono_ns now)
{
    unsigned datagrams = turn->sent + turn->received;
    bool receives = turn->received > 0;
    bool is_mixed = turn->others > 0 || (turn->sent > 0 && receives);
    mono_ns length;

    if (is_mixed || (datagrams > 0 && receives != p->receives)) {
        /* Who waits for an answer shares the lane: count afresh, from the next turn on. */
        *p = (struct pace){ .receives = receives, .since = now };
        return 0;
    }
    if (datagrams == 0)
        return 0;
    p->count += datagrams;
    length = now - p->since;
    if (length >= PACE_WINDOW_NS) {
        if (p->count * PACE_WINDOW_NS >= PACE_DENSE * length)
            p->dense_until = now + PACE_HOLD_NS;
        p->since = now;
        p->count = 0;
    }
    return now < p->dense_until ? PACE_WAIT_NS : 0;
}
