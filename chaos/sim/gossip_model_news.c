/* Fewest transmits first and the newest among equals, as memberlist's transmit-limited queue; each
 * goes out RETRANSMIT_MULT * ceil(log10(n + 1)) times. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/gossip_model_priv.h"

#define RETRANSMIT_MULT 4

static void drop(struct model *m, size_t at)
{
    m->news_count--;
    memmove(m->news + at, m->news + at + 1, (m->news_count - at) * sizeof(*m->news));
}

void model_spread(struct model *m, const struct model_claim *c)
{
    for (size_t i = 0; i < m->news_count; i++) {
        if (m->news[i].claim.subject == c->subject) {
            drop(m, i);
            break;
        }
    }
    if (m->news_count == m->news_cap) {
        m->news_cap = m->news_cap == 0 ? 16 : m->news_cap * 2;
        m->news = realloc(m->news, m->news_cap * sizeof(*m->news));
        CHECK(m->news != NULL);
    }
    m->news[m->news_count++] = (struct model_news){ .claim = *c };
}

static void drop_said(struct model *m, unsigned limit)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->news_count; i++) {
        if (m->news[i].transmits < limit)
            m->news[kept++] = m->news[i];
    }
    m->news_count = kept;
}

static bool is_taken(const struct model_message *msg, size_t own, uint32_t subject)
{
    for (size_t i = own; i < msg->count; i++) {
        if (msg->claims[i].subject == subject)
            return true;
    }
    return false;
}

/* One pass over the queue per number of transmits, while there is room. */
static void fill(struct model *m, struct model_message *msg)
{
    unsigned limit = RETRANSMIT_MULT * (unsigned)ceil(log10((double)m->alive + 1));
    size_t own = msg->count, left = m->news_count;

    if (left == 0)
        return;
    for (unsigned level = 0; level < limit && left > 0; level++) {
        for (size_t i = m->news_count; i-- > 0 && msg->count < MODEL_CLAIMS_MAX;) {
            struct model_news *news = &m->news[i];

            if (news->transmits != level || is_taken(msg, own, news->claim.subject))
                continue;
            msg->claims[msg->count++] = news->claim;
            news->transmits++;
            left--;
        }
    }
    drop_said(m, limit);
}

void model_send(struct world *w, struct world_node *n, unsigned to, struct model_message *msg)
{
    fill(n->state, msg);
    world_send(w, n, to, slice_of(msg, sizeof(*msg)));
}
