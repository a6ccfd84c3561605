#include "node/cli/logs.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/units.h"

#define FRAME_HEADER_LEN 8
#define FRAME_STDERR     2

const struct option_def logs_options[] = {
    { "follow", 'f', OPTION_FLAG, NULL, "go on as lines come" },
    { "tail", 'n', OPTION_TEXT, "N", "only the last lines" },
    { "since", 0, OPTION_TEXT, "TIME", "only from then on" },
    { "timestamps", 't', OPTION_FLAG, NULL, "show when" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* Prints whole frames; keeps the rest for the next piece. */
static bool on_data(void *ctx, const uint8_t *bytes, size_t len)
{
    struct buf *b = ctx;
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

int logs_run(struct invocation *in, const char *prefix)
{
    char *name = client_escape(in->client, in->args.positional[0]);
    char path[PATH_MAX_LEN];
    struct buf rest;
    int status;

    buf_init(&rest, 64 * MIB);
    (void)snprintf(path, sizeof(path),
                   "%s/%s/logs?stdout=1&stderr=1&follow=%d&timestamps=%d&tail=%s&since=%s", prefix,
                   name == NULL ? "" : name, args_flag(&in->args, "follow"),
                   args_flag(&in->args, "timestamps"), args_text(&in->args, "tail", "all"),
                   args_text(&in->args, "since", ""));
    status = client_stream(in->client, path, on_data, &rest);
    buf_deinit(&rest);
    free(name);
    return exit_of(status);
}
