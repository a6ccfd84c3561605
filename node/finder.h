/* node/finder.h - Which manager this node's agent talks to. Pure.
 *
 * There is one leader; any manager knows it. The finder tries the managers that it knows in
 * turn until one serves, follows a redirect at once, and moves on when a manager is silent. */
#ifndef NODE_FINDER_H
#define NODE_FINDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/id.h"
#include "base/units.h"

#define FINDER_MANAGERS_MAX 64
#define FINDER_ANSWER_NS    (2 * NS_PER_S)    /* a HELLO without an answer */
#define FINDER_PAUSE_NS     (200 * NS_PER_MS) /* between tries */

enum finder_state { FINDER_IDLE, FINDER_ASKING, FINDER_SERVED };

struct finder {
    struct id managers[FINDER_MANAGERS_MAX];
    size_t manager_count;
    size_t next;
    struct id target; /* none while idle */
    enum finder_state state;
    mono_ns deadline;
};

void finder_init(struct finder *f);
void finder_add(struct finder *f, const struct id *manager); /* known ones are kept as they are */
void finder_remove(struct finder *f, const struct id *manager);

/* The leader is known, from raft or a redirect: ask it next, now. One that served already was
 * elected anew, and knows nothing of those it served before. */
void finder_redirect(struct finder *f, const struct id *leader, mono_ns now);
void finder_served(struct finder *f, const struct id *by);                 /* a frame of it came */
void finder_lost(struct finder *f, const struct id *manager, mono_ns now); /* its link went down */

/* Call at f->deadline and after the calls above. True: say HELLO to f->target. */
bool finder_turn(struct finder *f, mono_ns now);

#endif /* NODE_FINDER_H */
