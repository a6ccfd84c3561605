/* A complete assignment is a difference too: what is not in it is gone. */
#include "node/agent/rows.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

void rows_init(struct rows *r)
{
    *r = (struct rows){ 0 };
    omap_init(&r->by_key);
    omap_init(&r->staged);
}

static void free_row(struct assigned *row)
{
    if (row == NULL)
        return;
    fields_deinit(&assigned_type, row);
    free(row);
}

static void clear_rows(struct omap *m)
{
    for (const struct omap_node *n = omap_first(m); n != NULL; n = omap_next(n))
        free_row(omap_value(n));
    omap_deinit(m);
    omap_init(m);
}

void rows_deinit(struct rows *r)
{
    clear_rows(&r->by_key);
    clear_rows(&r->staged);
}

static int copy_row(const struct assigned *row, struct assigned **out)
{
    struct assigned *copy = malloc(sizeof(*copy));
    int rc;

    if (copy == NULL)
        return -ENOMEM;
    rc = fields_copy(&assigned_type, row, copy);
    if (rc < 0) {
        free(copy);
        return rc;
    }
    *out = copy;
    return 0;
}

static int drop_row(struct rows *r, struct assigned *row, rows_on_change on_change, void *ctx)
{
    int rc = on_change(ctx, row, NULL);

    if (rc < 0)
        return rc;
    (void)omap_remove(&r->by_key, slice_of_str(row->key)); /* it is `row` */
    free_row(row);
    return 0;
}

/* Takes `row`. A change that could not be told has not happened: it comes again. */
static int put_row(struct rows *r, struct assigned *row, rows_on_change on_change, void *ctx)
{
    struct slice key = slice_of_str(row->key);
    struct assigned *before = omap_get(&r->by_key, key);
    int rc = 0;

    if (before != NULL && fields_equal(&assigned_type, before, row)) {
        free_row(row);
        return 0;
    }
    if (before == NULL && r->by_key.count >= ROWS_MAX)
        rc = ERR_FULL;
    if (rc == 0)
        rc = omap_set(&r->by_key, key, row);
    if (rc == 0) {
        rc = on_change(ctx, before, row);
        if (rc == 0) {
            free_row(before);
            return 0;
        }
        if (before == NULL)
            (void)omap_remove(&r->by_key, key); /* it is `row` */
        else
            CHECK(omap_set(&r->by_key, key, before) == 0); /* the key is there */
    }
    free_row(row);
    return rc;
}

static int stage(struct rows *r, const struct assign *a)
{
    for (size_t i = 0; i < a->rows.count; i++) {
        struct assigned *row;
        int rc;

        if (a->rows.items[i].gone)
            continue;
        if (r->staged.count >= ROWS_MAX)
            return ERR_FULL;
        rc = copy_row(&a->rows.items[i], &row);
        if (rc < 0)
            return rc;
        free_row(omap_get(&r->staged, slice_of_str(row->key)));
        rc = omap_set(&r->staged, slice_of_str(row->key), row);
        if (rc < 0) {
            (void)omap_remove(&r->staged, slice_of_str(row->key));
            free_row(row);
            return rc;
        }
    }
    return 0;
}

static int remove_unstaged(struct rows *r, rows_on_change on_change, void *ctx)
{
    const struct omap_node *n = omap_first(&r->by_key);

    while (n != NULL) {
        struct assigned *row = omap_value(n);
        int rc;

        n = omap_next(n); /* the removal frees its own node only */
        if (omap_get(&r->staged, slice_of_str(row->key)) != NULL)
            continue;
        rc = drop_row(r, row, on_change, ctx);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* New and changed rows first, then those that are gone: a renamed thing exists throughout. */
static int commit_staged(struct rows *r, rows_on_change on_change, void *ctx)
{
    int rc = 0;

    for (const struct omap_node *n = omap_first(&r->staged); n != NULL && rc == 0;
         n = omap_next(n)) {
        struct assigned *copy;

        rc = copy_row(omap_value(n), &copy);
        if (rc == 0)
            rc = put_row(r, copy, on_change, ctx);
    }
    if (rc == 0)
        rc = remove_unstaged(r, on_change, ctx);
    clear_rows(&r->staged);
    r->staging = false;
    return rc;
}

static int assign_all(struct rows *r, const struct assign *a, rows_on_change on_change, void *ctx)
{
    int rc;

    if (!r->staging)
        clear_rows(&r->staged);
    r->staging = true;
    rc = stage(r, a);
    if (rc < 0) {
        clear_rows(&r->staged);
        r->staging = false;
        return rc;
    }
    if (a->more)
        return 0;
    return commit_staged(r, on_change, ctx);
}

static int assign_difference(struct rows *r, const struct assign *a, rows_on_change on_change,
                             void *ctx)
{
    int rc = 0;

    if (r->staging || a->base != r->version || r->version == 0)
        return ERR_STALE;
    for (size_t i = 0; i < a->rows.count && rc == 0; i++) {
        const struct assigned *row = &a->rows.items[i];
        struct assigned *held = omap_get(&r->by_key, slice_of_str(row->key)), *copy;

        if (row->gone) {
            rc = held == NULL ? 0 : drop_row(r, held, on_change, ctx);
            continue;
        }
        rc = copy_row(row, &copy);
        if (rc == 0)
            rc = put_row(r, copy, on_change, ctx);
    }
    return rc;
}

int rows_assign(struct rows *r, const struct assign *a, rows_on_change on_change, void *ctx)
{
    int rc =
        a->base == 0 ? assign_all(r, a, on_change, ctx) : assign_difference(r, a, on_change, ctx);

    if (rc == ERR_STALE)
        return rc;
    if (rc < 0)
        r->version = 0; /* half of it is here: only a complete one helps */
    else if (!a->more)
        r->version = a->version;
    return rc;
}

const struct assigned *rows_get(const struct rows *r, const char *key)
{
    return omap_get(&r->by_key, slice_of_str(key));
}
