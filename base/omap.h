/* base/omap.h - Ordered map from byte strings to pointers.
 *
 * An AVL tree. The map owns copies of the keys and borrows the values, which are never NULL.
 * Order is memcmp order, a prefix before what it begins. Nodes stay where they are until
 * their key is removed, so one may keep a node while others come and go.
 *
 *     for (const struct omap_node *n = omap_lower_bound(&m, prefix);
 *          n != NULL && omap_has_prefix(n, prefix); n = omap_next(n))
 *         use(omap_key(n), omap_value(n));
 */
#ifndef BASE_OMAP_H
#define BASE_OMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct omap_node;

struct omap {
    struct omap_node *root;
    size_t count;
};

void omap_init(struct omap *m);   /* allocates nothing */
void omap_deinit(struct omap *m); /* frees keys and nodes; the values are the caller's */

/* Sets the value of a key, adding the key if needed.  -ENOMEM */
NODISCARD int omap_set(struct omap *m, struct slice key, void *value);

/* The value; NULL when the key is not there. */
void *omap_get(const struct omap *m, struct slice key);

/* Removes the key and returns its value; NULL when the key is not there. */
void *omap_remove(struct omap *m, struct slice key);

/* Nodes borrow until their key is removed. NULL: there is none. */
const struct omap_node *omap_find(const struct omap *m, struct slice key);
const struct omap_node *omap_lower_bound(const struct omap *m, struct slice key); /* first >= key */
const struct omap_node *omap_first(const struct omap *m);
const struct omap_node *omap_last(const struct omap *m);
const struct omap_node *omap_next(const struct omap_node *n);
const struct omap_node *omap_prev(const struct omap_node *n);

struct slice omap_key(const struct omap_node *n);
void *omap_value(const struct omap_node *n);
size_t omap_depth(const struct omap *m, struct slice key); /* nodes that a search visits */
bool omap_has_prefix(const struct omap_node *n, struct slice prefix);

#endif /* BASE_OMAP_H */
