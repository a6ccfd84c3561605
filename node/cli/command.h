/* node/cli/command.h - What a command is, and what all of them use. Private to node/cli. */
#ifndef NODE_CLI_COMMAND_H
#define NODE_CLI_COMMAND_H

#include <jansson.h>

#include "node/cli/args.h"
#include "node/cli/client.h"
#include "node/cli/listing.h"

#define EXIT_OK      0
#define EXIT_ERROR   1
#define EXIT_USAGE   2
#define PATH_MAX_LEN 4096

struct invocation {
    const struct command *command;
    struct client *client;
    struct args args;
};

struct command {
    const char *name;  /* "service create"; NULL ends the list */
    const char *usage; /* of its arguments */
    const char *help;
    const struct option_def *options;
    size_t min_args, max_args; /* max 0: any number from min */
    bool stop_at_first;        /* what follows the first argument is not ours to parse */
    int (*run)(struct invocation *in);
};

/* Each file's commands. */
extern const struct command cluster_commands[], node_commands[], service_commands[],
    network_commands[], secret_commands[], image_commands[], container_commands[],
    volume_commands[], exec_commands[], run_commands[], system_commands[];

/* EXIT_OK for a status below 400, else EXIT_ERROR: the client has said why. */
int exit_of(int status);

/* GET; NULL after an error, which has been printed. The caller owns the result. */
json_t *get_json(struct invocation *in, const char *format, ...) PRINTF_LIKE(2, 3);
int call(struct invocation *in, const char *method, const json_t *body, json_t **out,
         const char *format, ...) PRINTF_LIKE(5, 6);

/* Texts and numbers inside objects; "" and 0 when absent. `path` is dotted: "Spec.Name". */
const char *text_at(const json_t *object, const char *path);
json_int_t number_at(const json_t *object, const char *path);
const json_t *at(const json_t *object, const char *path);

/* Adds "KEY=VALUE" texts as an object of texts: labels, options. */
json_t *pairs_of(const struct str_list *list);
json_t *texts_of(const struct str_list *list);

enum listing_format format_of(const struct invocation *in); /* needs LIST_OPTIONS */
#define LIST_OPTIONS                                             \
    { "format", 0, OPTION_TEXT, "FORMAT", "table or json" },     \
    {                                                            \
        "quiet", 'q', OPTION_FLAG, NULL, "only the first column" \
    }

/* Prints JSON for people. */
int print_inspected(json_t *object);

/* "3 minutes ago" for an RFC 3339 time. */
const char *ago(const char *time, char *out, size_t len);

/* DELETE of each argument; prints what was removed. */
int remove_each(struct invocation *in, const char *path_prefix, const char *suffix);
int inspect_each(struct invocation *in, const char *path_prefix);
/* POST of a path that prunes, with one filter (NULL: none); prints what the answer lists. */
int prune(struct invocation *in, const char *path, const char *list, const char *filter,
          const char *value);

/* The containers of this node: `ps`, also as `container ps`. */
extern const struct option_def ps_options[];
int run_ps(struct invocation *in);

#endif /* NODE_CLI_COMMAND_H */
