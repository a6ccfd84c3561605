/* node/cli/listing.h - Rows of text in aligned columns, or the same as JSON lines. */
#ifndef NODE_CLI_LISTING_H
#define NODE_CLI_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fields.h"

#define LISTING_COLUMNS_MAX 12

struct listing {
    const char *const *titles; /* NULL-terminated; borrowed */
    size_t column_count;
    struct str_list cells;
};

void listing_init(struct listing *t, const char *const *titles);
void listing_deinit(struct listing *t);

/* Appends one cell, row by row. Copies; NULL is "". Out of memory ends the program: there is
 * nothing to print then. */
void listing_add(struct listing *t, const char *text);
void listing_addf(struct listing *t, const char *format, ...) PRINTF_LIKE(2, 3);

/* Prints: "table" aligned, "json" one object a line, "quiet" the first column alone. */
enum listing_format { LISTING_ALIGNED, LISTING_JSON, LISTING_QUIET };
void listing_print(const struct listing *t, enum listing_format format);

#endif /* NODE_CLI_LISTING_H */
