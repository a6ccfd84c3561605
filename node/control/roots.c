#include "node/control/roots.h"

#include <string.h>

static bool have_all_renewed(struct plan *p, const struct ca_root *newest)
{
    struct objects_view nodes = plan_all(p, OBJECT_NODE);

    for (size_t i = 0; i < nodes.count; i++) {
        const struct node *n = (const struct node *)(const void *)nodes.items[i];

        if (memcmp(n->description.issuer, newest->public_key, sizeof(newest->public_key)) != 0)
            return false;
    }
    return true;
}

void roots_reconcile(struct plan *p)
{
    const struct cluster *seen = store_the_cluster(p->store);
    struct cluster *c;

    if (seen == NULL || seen->roots.count < 2 || !have_all_renewed(p, &seen->roots.items[0]))
        return;
    c = plan_edit_cluster(p, &seen->id);
    if (c == NULL)
        return; /* no memory: the plan says so */
    while (c->roots.count > 1)
        fields_deinit(&ca_root_type, &c->roots.items[--c->roots.count]);
}
