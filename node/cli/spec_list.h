/* node/cli/spec_list.h - Lists of a spec: entries are added, take the place of others, go away.
 *
 * `create` has one option for each list, which may be given again and again; `update` has two,
 * NAME-add and NAME-rm, and what neither of them names stays. An entry that is added takes the
 * place of the one that is the same: a variable of that name, a mount at that path. To take away
 * what is not there is no error. Removals come first, so an entry can be exchanged in one update.
 */
#ifndef NODE_CLI_SPEC_LIST_H
#define NODE_CLI_SPEC_LIST_H

#include "node/cli/spec_value.h"

/* What the cluster knows by a name: secrets, configs and networks are referred to by id. */
struct spec_names {
    /* The object; `collection` is "secrets", "configs" or "networks". Owned by the caller.
     * NULL: it has been printed why */
    json_t *(*find)(void *ctx, const char *collection, const char *name);
    void *ctx;
};

/* A kind of entry. Functions that return int: ERR_INVALID, ERR_NOT_FOUND: it has been printed why.
 */
struct spec_entry {
    /* Appends what `text` stands for: one entry, seldom none or several. */
    int (*read)(const struct spec_names *names, const char *option, const char *text, json_t *out);
    /* Whether `entry` is to be gone when `added` comes. */
    bool (*same)(const json_t *entry, const json_t *added);
    /* Appends what -rm means by `text`, as is() takes it; NULL: the text itself. */
    int (*name)(const struct spec_names *names, const char *option, const char *text, json_t *out);
    bool (*is)(const json_t *entry, const json_t *name);
};

struct spec_list {
    const char *option;       /* of create; NULL ends a table */
    const char *add, *remove; /* of update */
    const char *path;
    const struct spec_entry *entry; /* NULL: not a list but a map of texts */
};

/* A table of lists is a macro over L(option, letter, placeholder, how -rm names an entry, kind,
 * path, help); these make rows of an option_def, of create, and of a spec_list of it. */
#define SPEC_LIST_OPTION(option, letter, placeholder, named, entry, path, help) \
    { option, letter, OPTION_LIST, placeholder, help },
#define SPEC_LIST_ROW(option, letter, placeholder, named, entry, path, help) \
    { option, option "-add", option "-rm", path, entry },

/* The kinds, each in the file of its noun. */
extern const struct spec_entry spec_text_entry;       /* as it is */
extern const struct spec_entry spec_env_entry;        /* KEY=VALUE; KEY: as it is in ours */
extern const struct spec_entry spec_address_entry;    /* of IPv4 or IPv6 */
extern const struct spec_entry spec_host_entry;       /* NAME:ADDRESS, to a line of /etc/hosts */
extern const struct spec_entry spec_preference_entry; /* spread=KEY */
extern const struct spec_entry spec_ulimit_entry;     /* NAME=SOFT[:HARD] */
extern const struct spec_entry spec_port_entry;
extern const struct spec_entry spec_mount_entry;
extern const struct spec_entry spec_network_entry;
extern const struct spec_entry spec_secret_entry, spec_config_entry;

/* Adds what `text` says; `option` is for errors. */
NODISCARD int spec_list_add(const struct spec_list *list, const struct spec_names *names,
                            const char *option, const char *text, json_t *spec);

/* What was given of each list of the table. ERR_INVALID, ERR_NOT_FOUND: it has been printed why */
NODISCARD int spec_lists_create(const struct spec_list *lists, const struct spec_names *names,
                                const struct args *a, json_t *spec);
NODISCARD int spec_lists_update(const struct spec_list *lists, const struct spec_names *names,
                                const struct args *a, json_t *spec);

#endif /* NODE_CLI_SPEC_LIST_H */
