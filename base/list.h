/* base/list.h - Intrusive doubly linked list.
 *
 * A struct list is both the head and the link embedded in each item; the item comes back
 * with CONTAINER_OF. Nothing is allocated. A link that is in no list points to itself, so
 * list_remove() may be called twice and list_is_linked() can be asked. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct list {
    struct list *prev, *next;
};

/* For every link, oldest first. The body must not remove `it`; LIST_EACH_SAFE's may. */
#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define LIST_EACH_SAFE(it, head)                                              \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *link)
{
    return link->next != link;
}

/* clang's analyzer loses track of links that are changed through their neighbours, and then
 * believes in freed or missing ones: hence the NOLINTs below. */

/* Puts `link`, which must be in no list, just before `at`. */
static inline void list_insert_before(struct list *at, struct list *link)
{
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link; /* NOLINT(clang-analyzer-core.NullDereference) */
    at->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

/* Takes `link` out of its list, if it is in one. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next; /* NOLINT(clang-analyzer-unix.Malloc) */
    link->next->prev = link->prev; /* NOLINT(clang-analyzer-unix.Malloc) */
    list_init(link);
}

/* The first and last link; NULL when the list is empty. */
static inline struct list *list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next; /* NOLINT(clang-analyzer-unix.Malloc) */
}

static inline struct list *list_last(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->prev;
}

/* Removes and returns the first link; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *link = list_first(head);

    if (link != NULL)
        list_remove(link);
    return link;
}

/* Moves all of `from` to the end of `to`; `from` is left empty. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif /* BASE_LIST_H */
