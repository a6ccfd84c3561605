/* AVL tree: the heights of a node's two subtrees differ by at most one, so depth stays below
 * 1.45 log2(count). After an insertion or removal rebalance() walks from the changed place to
 * the root, mending heights and rotating where they differ by two. */
#include "base/omap.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum side { LEFT, RIGHT };

struct omap_node {
    struct omap_node *parent;
    struct omap_node *child[2];
    void *value;
    int height; /* of the subtree; a leaf has 1 */
    size_t key_len;
    uint8_t key[];
};

void omap_init(struct omap *m)
{
    *m = (struct omap){ 0 };
}

void omap_deinit(struct omap *m)
{
    struct omap_node *n = m->root;

    while (n != NULL) { /* down to a leaf, free it, back to its parent */
        struct omap_node *next = n->child[LEFT] != NULL ? n->child[LEFT] : n->child[RIGHT];

        if (next == NULL) {
            next = n->parent;
            if (next != NULL)
                next->child[next->child[RIGHT] == n] = NULL;
            free(n);
        }
        n = next;
    }
    omap_init(m);
}

static int compare(struct slice a, struct slice b)
{
    size_t common = MIN(a.len, b.len);
    int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

struct slice omap_key(const struct omap_node *n)
{
    return slice_of(n->key, n->key_len);
}

void *omap_value(const struct omap_node *n)
{
    return n->value;
}

bool omap_has_prefix(const struct omap_node *n, struct slice prefix)
{
    return n->key_len >= prefix.len && slice_equal(slice_of(n->key, prefix.len), prefix);
}

static int height(const struct omap_node *n)
{
    return n == NULL ? 0 : n->height;
}

static void mend_height(struct omap_node *n)
{
    n->height = 1 + MAX(height(n->child[LEFT]), height(n->child[RIGHT]));
}

/* Hangs `n` (may be NULL) where `old` hangs. */
static void replace_in_parent(struct omap *m, struct omap_node *old, struct omap_node *n)
{
    struct omap_node *p = old->parent;

    if (p == NULL)
        m->root = n;
    else
        p->child[p->child[RIGHT] == old] = n;
    if (n != NULL)
        n->parent = p;
}

/* Lifts the child on `side` above `n` and returns it. */
static struct omap_node *lift(struct omap *m, struct omap_node *n, enum side side)
{
    struct omap_node *up = n->child[side];
    struct omap_node *middle = up->child[!side];

    replace_in_parent(m, n, up);
    up->child[!side] = n;
    n->parent = up;
    n->child[side] = middle;
    if (middle != NULL)
        middle->parent = n;
    mend_height(n);
    mend_height(up);
    return up;
}

static void rebalance(struct omap *m, struct omap_node *n)
{
    for (; n != NULL; n = n->parent) {
        int lean = height(n->child[RIGHT]) - height(n->child[LEFT]);
        enum side heavy = lean > 0 ? RIGHT : LEFT;

        mend_height(n);
        if (lean >= -1 && lean <= 1)
            continue;
        if (height(n->child[heavy]->child[!heavy]) > height(n->child[heavy]->child[heavy]))
            (void)lift(m, n->child[heavy], !heavy); /* only its place changes */
        n = lift(m, n, heavy);
    }
}

/* The node of a key, or NULL and where it would hang: *out_parent and *out_side. */
static struct omap_node *find(const struct omap *m, struct slice key, struct omap_node **out_parent,
                              enum side *out_side)
{
    struct omap_node *n = m->root;

    *out_parent = NULL;
    *out_side = LEFT;
    while (n != NULL) {
        int order = compare(key, omap_key(n));

        if (order == 0)
            return n;
        *out_parent = n;
        *out_side = order < 0 ? LEFT : RIGHT;
        n = n->child[*out_side];
    }
    return NULL;
}

int omap_set(struct omap *m, struct slice key, void *value)
{
    struct omap_node *parent;
    enum side side;
    struct omap_node *n = find(m, key, &parent, &side);

    CHECK(value != NULL);
    if (n != NULL) {
        n->value = value;
        return 0;
    }
    n = key.len > SIZE_MAX - sizeof(*n) ? NULL : malloc(sizeof(*n) + key.len);
    if (n == NULL)
        return -ENOMEM;
    *n = (struct omap_node){ .parent = parent, .value = value, .height = 1, .key_len = key.len };
    if (key.len > 0)
        memcpy(n->key, key.ptr, key.len);
    if (parent == NULL)
        m->root = n;
    else
        parent->child[side] = n;
    m->count++;
    rebalance(m, parent);
    return 0;
}

const struct omap_node *omap_find(const struct omap *m, struct slice key)
{
    struct omap_node *parent;
    enum side side;

    return find(m, key, &parent, &side);
}

void *omap_get(const struct omap *m, struct slice key)
{
    const struct omap_node *n = omap_find(m, key);

    return n == NULL ? NULL : n->value;
}

size_t omap_depth(const struct omap *m, struct slice key)
{
    size_t depth = 0;

    for (const struct omap_node *n = m->root; n != NULL; depth++) {
        int order = compare(key, omap_key(n));

        if (order == 0)
            return depth + 1;
        n = n->child[order < 0 ? LEFT : RIGHT];
    }
    return depth;
}

static struct omap_node *outermost(struct omap_node *n, enum side side)
{
    while (n != NULL && n->child[side] != NULL)
        n = n->child[side];
    return n;
}

/* Unhangs `n` from the tree. With two children its successor, which has no left child, takes
 * its place: nodes move, contents do not, so other nodes that callers hold stay valid. */
static void unhang(struct omap *m, struct omap_node *n)
{
    struct omap_node *changed = n->parent; /* the lowest node whose subtree changed */
    struct omap_node *heir;

    if (n->child[LEFT] == NULL || n->child[RIGHT] == NULL) {
        replace_in_parent(m, n, n->child[LEFT] != NULL ? n->child[LEFT] : n->child[RIGHT]);
        rebalance(m, changed);
        return;
    }
    heir = outermost(n->child[RIGHT], LEFT);
    changed = heir->parent == n ? heir : heir->parent;
    replace_in_parent(m, heir, heir->child[RIGHT]);
    replace_in_parent(m, n, heir);
    for (int side = LEFT; side <= RIGHT; side++) {
        heir->child[side] = n->child[side];
        if (heir->child[side] != NULL)
            heir->child[side]->parent = heir;
    }
    rebalance(m, changed);
}

void *omap_remove(struct omap *m, struct slice key)
{
    struct omap_node *parent;
    enum side side;
    struct omap_node *n = find(m, key, &parent, &side);
    void *value;

    if (n == NULL)
        return NULL;
    value = n->value;
    unhang(m, n);
    free(n);
    m->count--;
    return value;
}

const struct omap_node *omap_lower_bound(const struct omap *m, struct slice key)
{
    const struct omap_node *n = m->root;
    const struct omap_node *best = NULL;

    while (n != NULL) {
        if (compare(omap_key(n), key) >= 0) {
            best = n;
            n = n->child[LEFT];
        } else {
            n = n->child[RIGHT];
        }
    }
    return best;
}

const struct omap_node *omap_first(const struct omap *m)
{
    return outermost(m->root, LEFT);
}

const struct omap_node *omap_last(const struct omap *m)
{
    return outermost(m->root, RIGHT);
}

static const struct omap_node *neighbour(const struct omap_node *n, enum side side)
{
    if (n->child[side] != NULL)
        return outermost(n->child[side], !side);
    while (n->parent != NULL && n->parent->child[side] == n)
        n = n->parent;
    return n->parent;
}

const struct omap_node *omap_next(const struct omap_node *n)
{
    return neighbour(n, RIGHT);
}

const struct omap_node *omap_prev(const struct omap_node *n)
{
    return neighbour(n, LEFT);
}
