/* A complete binary tree of linked nodes. The place of the n-th node (root = 1) is read from
 * the bits of n below the highest: 0 = left, 1 = right. So the last node and the next free
 * place are found without an array, and inserting allocates nothing. */
#include "base/heap.h"

#include <string.h>

#include "base/check.h"

void heap_init(struct heap *h)
{
    *h = (struct heap){ 0 };
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    if (a->deadline != b->deadline)
        return a->deadline < b->deadline;
    return a->sequence < b->sequence;
}

/* The pointer that holds the n-th node, or would; *out_parent is the node it is in. */
static struct heap_node **place(struct heap *h, size_t n, struct heap_node **out_parent)
{
    struct heap_node **at = &h->root;
    size_t bit = 1;

    *out_parent = NULL;
    while (bit <= n / 2)
        bit *= 2;
    for (bit /= 2; bit > 0; bit /= 2) {
        *out_parent = *at;
        at = n & bit ? &(*at)->right : &(*at)->left;
    }
    return at;
}

/* The pointer that holds `n`. */
static struct heap_node **holder(struct heap *h, const struct heap_node *n)
{
    if (n->parent == NULL)
        return &h->root;
    return n->parent->left == n ? &n->parent->left : &n->parent->right;
}

/* Puts `n` where `old` is, with old's parent and children. */
static void put_in_place_of(struct heap *h, struct heap_node *old, struct heap_node *n)
{
    *holder(h, old) = n;
    n->parent = old->parent;
    n->left = old->left;
    n->right = old->right;
    if (n->left != NULL)
        n->left->parent = n;
    if (n->right != NULL)
        n->right->parent = n;
}

static void swap_with_parent(struct heap *h, struct heap_node *n)
{
    struct heap_node *p = n->parent;
    struct heap_node old = *n;

    *holder(h, p) = n;
    n->parent = p->parent;
    if (p->left == n) {
        n->left = p;
        n->right = p->right;
        if (n->right != NULL)
            n->right->parent = n;
    } else {
        n->right = p;
        n->left = p->left;
        if (n->left != NULL)
            n->left->parent = n;
    }
    p->parent = n;
    p->left = old.left;
    p->right = old.right;
    if (p->left != NULL)
        p->left->parent = p;
    if (p->right != NULL)
        p->right->parent = p;
}

static void sift(struct heap *h, struct heap_node *n)
{
    struct heap_node *child;

    while (n->parent != NULL && is_before(n, n->parent))
        swap_with_parent(h, n);
    for (;;) {
        child = n->left;
        if (child != NULL && n->right != NULL && is_before(n->right, child))
            child = n->right;
        if (child == NULL || !is_before(child, n))
            return;
        swap_with_parent(h, child);
    }
}

static void insert(struct heap *h, struct heap_node *n)
{
    h->count++;
    *place(h, h->count, &n->parent) = n;
    n->left = n->right = NULL;
    sift(h, n);
}

void heap_set(struct heap *h, struct heap_node *n, mono_ns deadline)
{
    bool is_new = !heap_node_is_set(n);

    n->deadline = deadline;
    n->sequence = ++h->last_sequence;
    if (is_new)
        insert(h, n);
    else
        sift(h, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    struct heap_node *last, *parent;
    struct heap_node **at;

    if (!heap_node_is_set(n))
        return;
    CHECK(h->count > 0);
    at = place(h, h->count, &parent);
    last = *at;
    *at = NULL;
    h->count--;
    if (last != n) {
        put_in_place_of(h, n, last);
        sift(h, last);
    }
    *n = (struct heap_node){ 0 };
}

struct heap_node *heap_pop_due(struct heap *h, mono_ns now)
{
    struct heap_node *n = h->root;

    if (n == NULL || n->deadline > now)
        return NULL;
    heap_remove(h, n);
    return n;
}
