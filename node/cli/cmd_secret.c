/* Secrets and configs: the same commands on two kinds. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/units.h"
#include "node/cli/command.h"

#define DATA_LEN_MAX (1 * MIB)

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def create_options[] = {
    { "label", 'l', OPTION_LIST, "KEY=VALUE", "label" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int read_all(const char *path, struct buf *out)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    uint8_t piece[4096];
    ssize_t n = 0;
    int rc = fd < 0 ? -errno : 0;

    while (rc == 0 && (n = read(fd, piece, sizeof(piece))) > 0)
        rc = buf_append(out, piece, (size_t)n);
    if (rc == 0 && n < 0)
        rc = -errno;
    sodium_memzero(piece, sizeof(piece));
    if (fd > STDIN_FILENO)
        (void)close(fd); /* read only */
    if (rc < 0)
        (void)fprintf(stderr, "shoal: %s: %s\n", path, err_text(rc));
    return rc;
}

static json_t *base64_of(const struct buf *data)
{
    size_t len = sodium_base64_ENCODED_LEN(data->len, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(len);
    json_t *json = NULL;

    if (text == NULL)
        return NULL;
    (void)sodium_bin2base64(text, len, data->ptr, data->len, sodium_base64_VARIANT_ORIGINAL);
    json = json_string(text);
    sodium_memzero(text, len);
    free(text);
    return json;
}

static int create(struct invocation *in, const char *kind)
{
    json_t *body, *answer = NULL;
    struct buf data;
    int status;

    buf_init(&data, DATA_LEN_MAX);
    if (read_all(in->args.count > 1 ? in->args.positional[1] : "-", &data) < 0) {
        buf_deinit(&data);
        return EXIT_ERROR;
    }
    body = json_pack("{s:s, s:o, s:o}", "Name", in->args.positional[0], "Labels",
                     pairs_of(args_list(&in->args, "label")), "Data", base64_of(&data));
    if (data.ptr != NULL)
        sodium_memzero(data.ptr, data.len);
    buf_deinit(&data);
    status = call(in, "POST", body, &answer, "/%ss/create", kind);
    if (exit_of(status) == EXIT_OK)
        (void)puts(text_at(answer, "ID"));
    json_decref(body);
    json_decref(answer);
    return exit_of(status);
}

static int list(struct invocation *in, const char *kind)
{
    static const char *const titles[] = { "ID", "NAME", "CREATED", "UPDATED", NULL };
    json_t *all = get_json(in, "/%ss", kind);
    struct listing t;

    if (all == NULL)
        return EXIT_ERROR;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *o = json_array_get(all, i);
        char when[64];

        listing_add(&t, text_at(o, "ID"));
        listing_add(&t, text_at(o, "Spec.Name"));
        listing_add(&t, ago(text_at(o, "CreatedAt"), when, sizeof(when)));
        listing_add(&t, ago(text_at(o, "UpdatedAt"), when, sizeof(when)));
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(all);
    return EXIT_OK;
}

#define KIND_COMMANDS(kind)                                \
    static int run_##kind##_create(struct invocation *in)  \
    {                                                      \
        return create(in, #kind);                          \
    }                                                      \
    static int run_##kind##_ls(struct invocation *in)      \
    {                                                      \
        return list(in, #kind);                            \
    }                                                      \
    static int run_##kind##_inspect(struct invocation *in) \
    {                                                      \
        return inspect_each(in, "/" #kind "s");            \
    }                                                      \
    static int run_##kind##_rm(struct invocation *in)      \
    {                                                      \
        return remove_each(in, "/" #kind "s", "");         \
    }
KIND_COMMANDS(secret)
KIND_COMMANDS(config)

#define KIND_ROWS(kind)                                                                         \
    { #kind " create",                                                                          \
      "NAME [FILE]",                                                                            \
      "store a " #kind " from a file or standard input",                                        \
      create_options,                                                                           \
      1,                                                                                        \
      2,                                                                                        \
      false,                                                                                    \
      run_##kind##_create },                                                                    \
        { #kind " ls", "", "list the " #kind "s", list_options, 0, 0, false, run_##kind##_ls }, \
        { #kind " inspect",                                                                     \
          "NAME..",                                                                             \
          "show what is known of " #kind "s",                                                   \
          no_options,                                                                           \
          1,                                                                                    \
          64,                                                                                   \
          false,                                                                                \
          run_##kind##_inspect },                                                               \
    {                                                                                           \
#kind " rm", "NAME..", "remove " #kind "s", no_options, 1, 64, false, run_##kind##_rm   \
    }

const struct command secret_commands[] = {
    KIND_ROWS(secret),
    KIND_ROWS(config),
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
