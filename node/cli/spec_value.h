/* node/cli/spec_value.h - One value of an option, and its place in the JSON of a spec.
 *
 * What people write ("1m30s", "64m", "a=b") becomes what the API takes. Tables of rows say which
 * option is of which kind and where it goes; paths are dotted:
 * "TaskTemplate.Resources.Limits.Pids". */
#ifndef NODE_CLI_SPEC_VALUE_H
#define NODE_CLI_SPEC_VALUE_H

#include <jansson.h>

#include "node/cli/args.h"

enum spec_kind {
    SPEC_TEXT,     /* as it is */
    SPEC_SWITCH,   /* nothing, true or false */
    SPEC_COUNT,    /* a whole number from 0 */
    SPEC_INTEGER,  /* a whole number */
    SPEC_RATIO,    /* 0 to 1 */
    SPEC_DURATION, /* "1m30s" to nanoseconds */
    SPEC_BYTES,    /* "64m" to bytes */
    SPEC_CPUS,     /* "1.5" to billionths */
    SPEC_MODE,     /* of a file: octal, "0440" */
    SPEC_WORDS,    /* a command line, split as a shell does: a list of texts */
    SPEC_MEMBER,   /* a text that is added to a list */
    SPEC_PAIR,     /* KEY=VALUE, which is added to a map; without '=' the value is "" */
};

struct spec_row {
    const char *option;
    enum spec_kind kind;
    const char *path;
};

/* A table of such options is a macro over V(option, letter, kind, placeholder, path, help); these
 * make rows of an option_def and of a spec_row of it. */
#define SPEC_VALUE_OPTION(option, letter, kind, placeholder, path, help) \
    { option, letter, SPEC_##kind == SPEC_SWITCH ? OPTION_FLAG : OPTION_TEXT, placeholder, help },
#define SPEC_VALUE_ROW(option, letter, kind, placeholder, path, help) { option, SPEC_##kind, path },

/* The object at `path`, made, with all above it, where it is not there. Borrowed. */
json_t *spec_object(json_t *spec, const char *path);

/* The array at `path`, likewise. Borrowed. */
json_t *spec_array(json_t *spec, const char *path);

/* What is at `path`, or NULL; nothing is made. Borrowed. */
json_t *spec_at(json_t *spec, const char *path);

/* Puts `value` (taken) at `path`; NULL takes away what is there. */
void spec_put(json_t *spec, const char *path, json_t *value);

/* Puts what `text` says where it belongs: a member and a pair beside the others, all else instead
 * of what was there.  ERR_INVALID: `*expected` says what was expected instead, and nothing changed
 */
NODISCARD int spec_value_set(const struct spec_row *row, const char *text, json_t *spec,
                             const char **expected);

/* Each option of the table that was given, also one by one where it is a list; the table ends with
 * a NULL option.  ERR_INVALID: it has been printed why */
NODISCARD int spec_values_apply(const struct spec_row *rows, const struct args *a, json_t *spec);

/* Prints "shoal: --option text: expected"; returns ERR_INVALID. */
int spec_refuse(const char *option, const char *text, const char *expected);

#endif /* NODE_CLI_SPEC_VALUE_H */
