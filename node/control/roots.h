/* node/control/roots.h - The end of a rotation of the authority's root. Private to control. Pure.
 *
 *     [old]  ->  [new, crossed by old; old]  ->  [new]
 *        a request           every node has a certificate of the new one
 *
 * The request makes the new root (node/control/admit.h: admit_root_rotate). From then on managers
 * sign with it, and every node that hears of it renews. A node that is away holds the end up, for
 * it would be locked out: it has to come back, or to be removed. Another rotation may begin before
 * the end; then all older roots go together. */
#ifndef NODE_CONTROL_ROOTS_H
#define NODE_CONTROL_ROOTS_H

#include "node/control/plan.h"

void roots_reconcile(struct plan *p);

#endif /* NODE_CONTROL_ROOTS_H */
