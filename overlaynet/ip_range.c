/* A bitmap of leased offsets that grows as far as the highest lease, and a cursor: the search for a
 * free one starts behind the last one given out and wraps, which is what makes reuse late. */
#include "overlaynet/ip_range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/ipam.h"

void ip_range_init(struct ip_range *r, const struct ip_prefix *subnet,
                   const struct ip_addr *gateway)
{
    uint64_t size = ip_prefix_size(subnet);

    *r = (struct ip_range){ .first = 1, .gateway = IP_RANGE_NONE };
    if (subnet->addr.len == 0)
        return; /* first > last: nothing to lease */
    r->last = subnet->addr.len == IP4_LEN ? size - 2 : MIN(size, IPAM_SUBNET6_LEASES_MAX) - 1;
    r->gateway = ip_prefix_offset(subnet, gateway);
    r->cursor = r->first;
}

void ip_range_deinit(struct ip_range *r)
{
    free(r->words);
    *r = (struct ip_range){ 0 };
}

uint64_t ip_range_size(const struct ip_range *r)
{
    uint64_t all = r->last < r->first ? 0 : r->last - r->first + 1;

    return r->gateway >= r->first && r->gateway <= r->last ? all - 1 : all;
}

bool ip_range_used(const struct ip_range *r, uint64_t offset)
{
    size_t word = (size_t)(offset / 64);

    return word < r->word_count && (r->words[word] >> (offset % 64) & 1) != 0;
}

int ip_range_mark(struct ip_range *r, uint64_t offset)
{
    size_t word = (size_t)(offset / 64);

    if (word >= r->word_count) {
        size_t count = MAX(word + 1, r->word_count * 2);
        uint64_t *words = realloc(r->words, count * sizeof(*words));

        if (words == NULL)
            return -ENOMEM;
        memset(words + r->word_count, 0, (count - r->word_count) * sizeof(*words));
        r->words = words;
        r->word_count = count;
    }
    CHECK(!ip_range_used(r, offset));
    r->words[word] |= UINT64_C(1) << (offset % 64);
    r->leased++;
    return 0;
}

void ip_range_clear(struct ip_range *r, uint64_t offset)
{
    CHECK(ip_range_used(r, offset));
    r->words[offset / 64] &= ~(UINT64_C(1) << (offset % 64));
    r->leased--;
}

/* The first free offset in from..to, or IP_RANGE_NONE. Skips full words whole. */
static uint64_t search(const struct ip_range *r, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at <= to;) {
        if (at % 64 == 0 && at / 64 < r->word_count && r->words[at / 64] == UINT64_MAX) {
            at += 64;
            continue;
        }
        if (at != r->gateway && !ip_range_used(r, at))
            return at;
        at++;
    }
    return IP_RANGE_NONE;
}

uint64_t ip_range_next(const struct ip_range *r)
{
    uint64_t found;

    if (r->leased >= ip_range_size(r))
        return IP_RANGE_NONE;
    found = search(r, r->cursor, r->last);
    return found != IP_RANGE_NONE ? found : search(r, r->first, r->cursor - 1);
}

void ip_range_advance(struct ip_range *r, uint64_t taken)
{
    r->cursor = taken >= r->last ? r->first : taken + 1;
}
