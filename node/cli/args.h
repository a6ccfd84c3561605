/* node/cli/args.h - Options and arguments of a command, from a table. Pure.
 *
 * Options may stand anywhere before "--"; --name=value and --name value are the same; short
 * ones may be bundled when they are flags. What the table does not know is an error. */
#ifndef NODE_CLI_ARGS_H
#define NODE_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/fields.h"

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST };

struct option_def {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* 0: none */
    enum option_kind kind;
    const char *placeholder; /* of the value, for --help; NULL for flags */
    const char *help;
};

#define ARGS_OPTIONS_MAX 128
#define ARGS_MAX         1024

struct args {
    const struct option_def *defs;
    struct str_list values[ARGS_OPTIONS_MAX]; /* by position in defs */
    const char *positional[ARGS_MAX];
    size_t count;
    bool help;
};

/* Borrows argv. ERR_INVALID: `err` says what is wrong.  -ENOMEM. args_deinit() in any case. */
NODISCARD int args_parse(struct args *a, const struct option_def *defs, int argc, char **argv,
                         bool stop_at_first, struct field_error *err);
void args_deinit(struct args *a);

bool args_flag(const struct args *a, const char *name);
const char *args_text(const struct args *a, const char *name, const char *otherwise);
const struct str_list *args_list(const struct args *a, const char *name);
bool args_given(const struct args *a, const char *name);

/* "500m", "1g" to bytes; "1.5" to nano-CPUs.  ERR_INVALID */
NODISCARD int parse_bytes(const char *text, int64_t *out);
NODISCARD int parse_cpus(const char *text, int64_t *out);

#endif /* NODE_CLI_ARGS_H */
