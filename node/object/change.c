/* Building transactions. */
#include "node/object/change.h"

#include <errno.h>

#include "base/check.h"
#include "base/err.h"

/* One transaction fits one log entry with room for its frame. */
#define TRANSACTION_LEN_MAX (8 * MIB)

static int add_change(struct transaction *t, enum change_op op, unsigned kind,
                      const struct object *object)
{
    struct buf bytes;
    struct change *c;
    int rc = 0;

    if (t->changes.count >= CHANGES_MAX)
        return ERR_FULL;
    buf_init(&bytes, TRANSACTION_LEN_MAX);
    if (op != CHANGE_REMOVE) {
        rc = fields_encode(object_kind_type(kind), object, &bytes, NULL);
        if (rc < 0)
            goto out;
    }
    c = LIST_ADD(&t->changes);
    if (c == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    c->op = op;
    c->kind = kind;
    c->id = object->id;
    c->based_on = op == CHANGE_CREATE ? 0 : object->version.index;
    rc = bytes_set(&c->object, buf_slice(&bytes));
    if (rc < 0)
        t->changes.count--; /* it owns nothing yet */
out:
    buf_deinit(&bytes);
    return rc;
}

int transaction_create(struct transaction *t, unsigned kind, const struct object *object)
{
    return add_change(t, CHANGE_CREATE, kind, object);
}

int transaction_update(struct transaction *t, unsigned kind, const struct object *object)
{
    return add_change(t, CHANGE_UPDATE, kind, object);
}

int transaction_remove(struct transaction *t, unsigned kind, const struct object *object)
{
    return add_change(t, CHANGE_REMOVE, kind, object);
}
