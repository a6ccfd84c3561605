/* One probe is under way at a time; the size in use is always the one that is being probed. */
#include "overlaynet/probe.h"

#include <stddef.h>

#include "base/attr.h"

/* Ethernet with PPPoE, and with what tunnels and clouds take from 1500 or 9000; down to the least.
 */
static const uint32_t ladder[] = { 8951, 8900, 8500, 4352, 1500, 1492, 1480, 1472,
                                   1460, 1450, 1430, 1420, 1400, 1360, 1320, PROBE_MTU_MIN };

void probe_init(struct probe *p, uint32_t top)
{
    *p = (struct probe){ .top = top, .size = top, .next_at = MONO_NEVER };
}

void probe_start(struct probe *p, mono_ns now)
{
    p->size = p->top;
    p->losses = 0;
    p->next_at = now;
    p->raise_at = mono_after(now, PROBE_RAISE_NS);
}

void probe_stop(struct probe *p)
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

bool probe_on_timer(struct probe *p, mono_ns now)
{
    if (now < p->next_at)
        return false;
    if (p->losses == 0 && p->size < p->top && now >= p->raise_at)
        probe_start(p, now);
    if (p->losses == PROBE_TRIES) {
        p->size = next_lower(p->size);
        p->losses = 0;
    }
    p->losses++; /* until it is answered */
    p->next_at = mono_after(now, PROBE_WAIT_NS);
    return true;
}

void probe_on_ack(struct probe *p, uint32_t size, mono_ns now)
{
    if (p->next_at == MONO_NEVER || size != p->size)
        return;
    p->losses = 0;
    p->next_at = mono_after(now, PROBE_CHECK_NS);
}
