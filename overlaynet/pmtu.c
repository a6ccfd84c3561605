/* One probe is under way at a time; the size in use is always the one that is being probed. */
#include "overlaynet/pmtu.h"

#include <stddef.h>

#include "base/attr.h"

/* Ethernet with PPPoE, and with what tunnels and clouds take from 1500 or 9000; down to the least.
 */
static const uint32_t ladder[] = { 8951, 8900, 8500, 4352, 1500, 1492, 1480, 1472,
                                   1460, 1450, 1430, 1420, 1400, 1360, 1320, PMTU_MIN };

void pmtu_init(struct pmtu *p, uint32_t top)
{
    *p = (struct pmtu){ .top = top, .size = top, .next_at = MONO_NEVER };
}

void pmtu_start(struct pmtu *p, mono_ns now)
{
    p->size = p->top;
    p->losses = 0;
    p->next_at = now;
    p->raise_at = mono_after(now, PMTU_RAISE_NS);
}

void pmtu_stop(struct pmtu *p)
{
    p->next_at = MONO_NEVER;
    p->losses = 0;
}

static uint32_t next_lower(uint32_t size)
{
    for (size_t i = 0; i < ARRAY_LEN(ladder); i++)
        if (ladder[i] < size)
            return ladder[i];
    return size;
}

bool pmtu_on_timer(struct pmtu *p, mono_ns now)
{
    if (now < p->next_at)
        return false;
    if (p->losses == 0 && p->size < p->top && now >= p->raise_at)
        pmtu_start(p, now);
    if (p->losses == PMTU_TRIES) {
        p->size = next_lower(p->size);
        p->losses = 0;
    }
    p->losses++; /* until it is answered */
    p->next_at = mono_after(now, PMTU_WAIT_NS);
    return true;
}

void pmtu_on_ack(struct pmtu *p, uint32_t size, mono_ns now)
{
    if (p->next_at == MONO_NEVER || size != p->size)
        return;
    p->losses = 0;
    p->next_at = mono_after(now, PMTU_CHECK_NS);
}
