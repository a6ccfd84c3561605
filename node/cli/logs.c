#include "node/cli/logs.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/units.h"

#define FRAME_HEADER_LEN 8
#define FRAME_STDERR     2

const struct option_def logs_options[] = { LOGS_OPTIONS, { NULL, 0, OPTION_FLAG, NULL, NULL } };

bool logs_print(struct buf *b, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    if (buf_append(b, bytes, len) < 0)
        return false;
    while (b->len - at >= FRAME_HEADER_LEN) {
        const uint8_t *p = b->ptr + at;
        size_t text_len = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
        FILE *out = p[0] == FRAME_STDERR ? stderr : stdout;

        if (b->len - at - FRAME_HEADER_LEN < text_len)
            break;
        (void)fwrite(p + FRAME_HEADER_LEN, 1, text_len, out);
        (void)fflush(out);
        at += FRAME_HEADER_LEN + text_len;
    }
    buf_consume(b, at);
    return true;
}

static bool on_data(void *ctx, const uint8_t *bytes, size_t len)
{
    return logs_print(ctx, bytes, len);
}

static int print_all(struct invocation *in, const char *path)
{
    struct buf rest;
    int status;

    buf_init(&rest, 64 * MIB);
    status = client_stream(in->client, path, on_data, &rest);
    buf_deinit(&rest);
    return exit_of(status);
}

int logs_follow(struct invocation *in, const char *id)
{
    char path[PATH_MAX_LEN];

    (void)snprintf(path, sizeof(path), "/containers/%s/logs?stdout=1&stderr=1&follow=1&tail=all",
                   id);
    return print_all(in, path);
}

int logs_run(struct invocation *in, const char *prefix)
{
    char *name = client_escape(in->client, in->args.positional[0]);
    char path[PATH_MAX_LEN];
    int result;

    (void)snprintf(path, sizeof(path),
                   "%s/%s/logs?stdout=1&stderr=1&follow=%d&timestamps=%d&tail=%s&since=%s", prefix,
                   name == NULL ? "" : name, args_flag(&in->args, "follow"),
                   args_flag(&in->args, "timestamps"), args_text(&in->args, "tail", "all"),
                   args_text(&in->args, "since", ""));
    result = print_all(in, path);
    free(name);
    return result;
}
