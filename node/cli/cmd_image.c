/* Images of this node. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/command.h"

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def load_options[] = {
    { "input", 'i', OPTION_TEXT, "FILE", "the archive; standard input without it" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def save_options[] = {
    { "output", 'o', OPTION_TEXT, "FILE", "the archive; standard output without it" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct option_def prune_options[] = {
    { "all", 'a', OPTION_FLAG, NULL, "also those with a name that no container uses" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int upload(struct invocation *in, const char *file, const char *path)
{
    int fd = STDIN_FILENO, status;

    if (file != NULL && strcmp(file, "-") != 0)
        fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)fprintf(stderr, "shoal: %s: %s\n", file, strerror(errno));
        return EXIT_ERROR;
    }
    status = client_upload(in->client, path, fd, "Content-Type: application/x-tar");
    if (fd != STDIN_FILENO)
        (void)close(fd); /* read only */
    return exit_of(status);
}

static int run_load(struct invocation *in)
{
    return upload(in, args_text(&in->args, "input", NULL), "/images/load?quiet=1");
}

static int run_import(struct invocation *in)
{
    char *repo = client_escape(in->client, in->args.count > 1 ? in->args.positional[1] : "");
    char path[PATH_MAX_LEN];

    (void)snprintf(path, sizeof(path), "/images/create?fromSrc=-&repo=%s",
                   repo == NULL ? "" : repo);
    free(repo);
    return upload(in, in->args.positional[0], path);
}

static int run_list(struct invocation *in)
{
    static const char *const titles[] = { "ID", "NAME", "SIZE", NULL };
    json_t *images = get_json(in, "/images/json");
    struct listing t;

    if (images == NULL)
        return EXIT_ERROR;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *image = json_array_get(images, i), *tags = at(image, "RepoTags");
        const char *id = text_at(image, "Id"), *colon = strchr(id, ':');

        for (size_t j = 0; j < MAX(json_array_size(tags), 1u); j++) {
            const char *tag = json_string_value(json_array_get(tags, j));

            listing_addf(&t, "%.12s", colon == NULL ? id : colon + 1);
            listing_add(&t, tag == NULL ? "<none>" : tag);
            listing_addf(&t, "%.1f MB", (double)number_at(image, "Size") / 1e6);
        }
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(images);
    return EXIT_OK;
}

static int run_inspect(struct invocation *in)
{
    json_t *image;
    char *name = client_escape(in->client, in->args.positional[0]);
    int result;

    image = get_json(in, "/images/%s/json", name == NULL ? "" : name);
    free(name);
    result = print_inspected(image);
    json_decref(image);
    return result;
}

static int run_pull(struct invocation *in)
{
    char *name = client_escape(in->client, in->args.positional[0]);
    char path[PATH_MAX_LEN];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), status;

    (void)snprintf(path, sizeof(path), "/images/create?fromImage=%s", name == NULL ? "" : name);
    free(name);
    status = client_upload(in->client, path, null, "Content-Type: text/plain");
    if (null >= 0)
        (void)close(null); /* read only */
    return exit_of(status);
}

static int run_tag(struct invocation *in)
{
    char *from = client_escape(in->client, in->args.positional[0]);
    char repo[512];
    const char *colon = strrchr(in->args.positional[1], ':');
    const char *slash = strrchr(in->args.positional[1], '/');
    bool has_tag = colon != NULL && (slash == NULL || colon > slash);
    char *escaped;
    int status;

    (void)snprintf(
        repo, sizeof(repo), "%.*s",
        (int)(has_tag ? (size_t)(colon - in->args.positional[1]) : strlen(in->args.positional[1])),
        in->args.positional[1]);
    escaped = client_escape(in->client, repo);
    status = call(in, "POST", NULL, NULL, "/images/%s/tag?repo=%s&tag=%s", from == NULL ? "" : from,
                  escaped == NULL ? "" : escaped, has_tag ? colon + 1 : "latest");
    free(from);
    free(escaped);
    return exit_of(status);
}

static int run_remove(struct invocation *in)
{
    return remove_each(in, "/images", "");
}

static bool write_piece(void *ctx, const uint8_t *bytes, size_t len)
{
    return fwrite(bytes, 1, len, ctx) == len;
}

/* One archive of all that are named. */
static int run_save(struct invocation *in)
{
    const char *file = args_text(&in->args, "output", NULL);
    FILE *out = file == NULL ? stdout : fopen(file, "we");
    char path[PATH_MAX_LEN];
    int len = snprintf(path, sizeof(path), "/images/get"), status;

    if (out == NULL) {
        (void)fprintf(stderr, "shoal: %s: %s\n", file, strerror(errno));
        return EXIT_ERROR;
    }
    for (size_t i = 0; i < in->args.count && len < (int)sizeof(path); i++) {
        char *name = client_escape(in->client, in->args.positional[i]);

        len += snprintf(path + len, sizeof(path) - (size_t)len, "%cnames=%s", i == 0 ? '?' : '&',
                        name == NULL ? "" : name);
        free(name);
    }
    if (len >= (int)sizeof(path)) {
        (void)fprintf(stderr, "shoal: image save: too many names; save them in two archives\n");
        status = -1;
    } else {
        status = client_stream(in->client, path, write_piece, out);
    }
    if ((file == NULL ? fflush(out) : fclose(out)) != 0) {
        (void)fprintf(stderr, "shoal: %s: %s\n", file == NULL ? "standard output" : file,
                      strerror(errno));
        return EXIT_ERROR;
    }
    return exit_of(status);
}

static int run_prune(struct invocation *in)
{
    json_t *answer = NULL;
    int result =
        exit_of(call(in, "POST", NULL, &answer, "/images/prune?filters=%s",
                     args_flag(&in->args, "all") ? "%7B%22dangling%22%3A%5B%22false%22%5D%7D"
                                                 : "%7B%22dangling%22%3A%5B%22true%22%5D%7D"));

    if (result == EXIT_OK)
        (void)printf("freed %.1f MB\n", (double)number_at(answer, "SpaceReclaimed") / 1e6);
    json_decref(answer);
    return result;
}

const struct command image_commands[] = {
    { "image load", "", "load a `docker save` archive or an OCI image", load_options, 0, 0, false,
      run_load },
    { "image import", "FILE NAME", "make an image of a root file system's tar", no_options, 1, 2,
      false, run_import },
    { "image ls", "", "list the images of this node", list_options, 0, 0, false, run_list },
    { "image inspect", "IMAGE", "show all that is known of an image", no_options, 1, 1, false,
      run_inspect },
    { "image pull", "IMAGE", "fetch an image from other nodes or a registry", no_options, 1, 1,
      false, run_pull },
    { "image tag", "IMAGE NAME", "give an image one more name", no_options, 2, 2, false, run_tag },
    { "image save", "IMAGE..", "write images to an archive that `image load` reads", save_options,
      1, 64, false, run_save },
    { "image prune", "", "remove images that have no name", prune_options, 0, 0, false, run_prune },
    { "image rm", "IMAGE..", "remove images", no_options, 1, 64, false, run_remove },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
