/* node/cli/table.h - Rows of text in aligned columns, or the same as JSON lines. */
#ifndef NODE_CLI_TABLE_H
#define NODE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fields.h"

#define TABLE_COLUMNS_MAX 12

struct table {
    const char *const *titles; /* NULL-terminated; borrowed */
    size_t column_count;
    struct str_list cells;
};

void table_init(struct table *t, const char *const *titles);
void table_deinit(struct table *t);

/* Appends one cell, row by row. Copies; NULL is "". Out of memory ends the program: there is
 * nothing to print then. */
void table_add(struct table *t, const char *text);
void table_addf(struct table *t, const char *format, ...) PRINTF_LIKE(2, 3);

/* Prints: "table" aligned, "json" one object a line, "quiet" the first column alone. */
enum table_format { TABLE_ALIGNED, TABLE_JSON, TABLE_QUIET };
void table_print(const struct table *t, enum table_format format);

#endif /* NODE_CLI_TABLE_H */
