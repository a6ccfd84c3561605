/* chaos/sim/linear.c - Depth-first search for an order.
 *
 * Calls and returns are one list in order of time. The search takes any call before the first
 * return that is left as the next operation, if the register allows it, removes both its events and
 * goes on; at a dead end it puts the last one back. A set of (operations taken, register) that
 * failed before is not tried again, which is what makes it fast enough. */
#include "chaos/sim/linear.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { WORDS = LINEAR_OPS_MAX / 64 };

struct point { /* a call or a return */
    mono_ns at;
    size_t op;
    bool is_return;
    struct point *match; /* of a call: its return; NULL when unknown */
    struct point *prev, *next;
};

struct visited { /* open addressing */
    uint64_t (*keys)[WORDS + 1];
    bool *used;
    size_t cap, count;
};

static uint64_t hash_key(const uint64_t *key)
{
    uint64_t h = UINT64_C(0x243f6a8885a308d3);

    for (size_t i = 0; i <= WORDS; i++) {
        h = (h ^ key[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return h;
}

static bool insert_key(struct visited *v, const uint64_t *key);

static void grow(struct visited *v)
{
    struct visited bigger = { .cap = v->cap == 0 ? 256 : v->cap * 2 };

    bigger.keys = malloc(bigger.cap * sizeof(*bigger.keys));
    bigger.used = calloc(bigger.cap, 1);
    CHECK(bigger.keys != NULL && bigger.used != NULL);
    for (size_t i = 0; i < v->cap; i++)
        if (v->used[i])
            (void)insert_key(&bigger, v->keys[i]);
    free(v->keys);
    free(v->used);
    *v = bigger;
}

/* False when the key was there already. */
static bool insert_key(struct visited *v, const uint64_t *key)
{
    size_t i;

    if (2 * v->count >= v->cap)
        grow(v);
    for (i = (size_t)hash_key(key) & (v->cap - 1); v->used[i]; i = (i + 1) & (v->cap - 1))
        if (memcmp(v->keys[i], key, sizeof(v->keys[i])) == 0)
            return false;
    memcpy(v->keys[i], key, sizeof(v->keys[i]));
    v->used[i] = true;
    v->count++;
    return true;
}

static int compare_points(const void *a, const void *b)
{
    const struct point *p = a, *q = b;

    if (p->at != q->at)
        return p->at < q->at ? -1 : 1;
    if (p->is_return != q->is_return)
        return p->is_return ? 1 : -1; /* closed intervals: touching ones overlap */
    return p->op < q->op ? -1 : p->op > q->op;
}

/* Applies the operation; false when the register could not have answered so. */
static bool apply(const struct linear_op *op, uint64_t state, uint64_t *out)
{
    *out = state;
    switch (op->kind) {
    case LINEAR_READ:
        return state == op->value;
    case LINEAR_WRITE:
        *out = op->value;
        return true;
    case LINEAR_CAS:
        if (state == op->expected)
            *out = op->value;
        return op->unknown || op->matched == (state == op->expected);
    }
    return false;
}

static void unlink_point(struct point *p)
{
    p->prev->next = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
}

static void relink_point(struct point *p)
{
    p->prev->next = p;
    if (p->next != NULL)
        p->next->prev = p;
}

struct taken {
    struct point *call;
    uint64_t state_before;
};

static size_t build_list(const struct linear_op *ops, size_t count, struct point *points,
                         struct point *head)
{
    struct point *return_of[LINEAR_OPS_MAX] = { NULL };
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == LINEAR_READ && ops[i].unknown)
            continue; /* says nothing */
        points[n++] = (struct point){ .at = ops[i].called, .op = i };
        if (!ops[i].unknown)
            points[n++] = (struct point){ .at = ops[i].returned, .op = i, .is_return = true };
    }
    qsort(points, n, sizeof(points[0]), compare_points);
    for (size_t i = 0; i < n; i++)
        if (points[i].is_return)
            return_of[points[i].op] = &points[i];
    *head = (struct point){ 0 };
    for (size_t i = 0; i < n; i++) {
        points[i].prev = i == 0 ? head : &points[i - 1];
        points[i].prev->next = &points[i];
        points[i].next = NULL;
        if (!points[i].is_return)
            points[i].match = return_of[points[i].op];
    }
    return n;
}

static enum linear_verdict search(const struct linear_op *ops, struct point *head,
                                  struct taken *stack, struct visited *seen, uint64_t steps_max,
                                  size_t open_returns)
{
    uint64_t key[WORDS + 1] = { 0 }; /* operations taken; the register */
    struct point *at = head->next;
    uint64_t state = 0;
    size_t depth = 0;

    for (uint64_t steps = 0; open_returns > 0; steps++) {
        uint64_t next;

        if (steps == steps_max)
            return LINEAR_GAVE_UP;
        if (at != NULL && !at->is_return) {
            size_t word = at->op / 64;
            uint64_t bit = UINT64_C(1) << (at->op % 64);
            bool fits = apply(&ops[at->op], state, &next);

            key[word] |= bit;
            key[WORDS] = next;
            if (fits && insert_key(seen, key)) {
                stack[depth++] = (struct taken){ at, state };
                state = next;
                unlink_point(at);
                if (at->match != NULL) {
                    unlink_point(at->match);
                    open_returns--;
                }
                at = head->next;
            } else {
                key[word] &= ~bit;
                at = at->next;
            }
            continue;
        }
        if (depth == 0)
            return LINEAR_VIOLATED;
        at = stack[--depth].call;
        state = stack[depth].state_before;
        key[at->op / 64] &= ~(UINT64_C(1) << (at->op % 64));
        if (at->match != NULL) {
            relink_point(at->match);
            open_returns++;
        }
        relink_point(at);
        at = at->next;
    }
    return LINEAR_OK;
}

enum linear_verdict linear_check(const struct linear_op *ops, size_t count, uint64_t steps_max)
{
    struct point *points, head;
    struct taken *stack;
    struct visited seen = { 0 };
    enum linear_verdict verdict;
    size_t returns = 0, n;

    if (count > LINEAR_OPS_MAX)
        return LINEAR_GAVE_UP;
    points = calloc(2 * count + 1, sizeof(*points));
    stack = calloc(count + 1, sizeof(*stack));
    CHECK(points != NULL && stack != NULL);
    n = build_list(ops, count, points, &head);
    for (size_t i = 0; i < n; i++)
        returns += points[i].is_return;
    verdict = search(ops, &head, stack, &seen, steps_max, returns);
    free(points);
    free(stack);
    free(seen.keys);
    free(seen.used);
    return verdict;
}
