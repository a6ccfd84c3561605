/* Windows of counting; one that was dense decides about the time after it. */
#include "overlaynet/pace.h"

mono_ns pace_after(struct pace *p, unsigned datagrams, unsigned others, mono_ns now)
{
    mono_ns length = now - p->since;

    if (others > 0) /* who waits for an answer shares the lane: count afresh */
        *p = (struct pace){ .since = now };
    if (datagrams == 0 || others > 0)
        return 0;
    p->count += datagrams;
    if (length >= PACE_WINDOW_NS) {
        if (p->count * PACE_WINDOW_NS >= PACE_DENSE * length)
            p->dense_until = now + PACE_HOLD_NS;
        p->since = now;
        p->count = 0;
    }
    return now < p->dense_until ? PACE_WAIT_NS : 0;
}
