/* node/agent/rows.h - The assignment that a node holds: rows by key, and its version.
 *
 * Takes the frames of an ASSIGN one by one and says which rows came, changed or went. A
 * complete assignment (base 0) in several frames is collected aside and takes effect
 * with its last frame, so that a cut in between changes nothing. Pure. */
#ifndef NODE_AGENT_ROWS_H
#define NODE_AGENT_ROWS_H

#include "base/omap.h"
#include "node/object/dispatch.h"

#define ROWS_MAX (UINT64_C(2) * 1000 * 1000)

struct rows {
    struct omap by_key; /* key -> struct assigned *, owned */
    struct omap staged; /* of a complete assignment under way */
    uint64_t version;
    bool staging;
};

/* `row` has its new content (NULL: gone) and `before` what it replaces (NULL: new). Both are
 * valid for the call; the same content twice is not reported. On an error of it the row stays as it
 * was, and is reported again with the next assignment. */
typedef int (*rows_on_change)(void *ctx, const struct assigned *before, const struct assigned *row);

void rows_init(struct rows *r);
void rows_deinit(struct rows *r);

/* One frame. Copies.  ERR_STALE (its base is not our version), ERR_FULL, -ENOMEM, or what
 * on_change returned; after -ENOMEM the version is 0: ask for everything. */
NODISCARD int rows_assign(struct rows *r, const struct assign *a, rows_on_change on_change,
                          void *ctx);

const struct assigned *rows_get(const struct rows *r, const char *key);

#endif /* NODE_AGENT_ROWS_H */
