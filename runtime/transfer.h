/* runtime/transfer.h - One HTTP transfer from a registry, over libcurl: for registry*.c only.
 *
 *     t.curl = curl_easy_init(), then for each try:
 *         transfer_set_up, further options, curl_easy_perform
 *         transfer_judge says whether a failure is final; transfer_back_off waits before the next
 *
 * A body goes to `text`, or to `writer` and then at most blob->size bytes of it, from `offset` on.
 * Everything blocks, for as long as the registry's `cancel` is not set. */
#ifndef RUNTIME_TRANSFER_H
#define RUNTIME_TRANSFER_H

#include <curl/curl.h>

#include "runtime/registry.h"

/* One transfer under way. */
struct transfer {
    struct registry *r;
    CURL *curl;
    uint64_t offset; /* asked to begin there */
    bool checked;    /* the status of the answer has been looked at */

    struct buf *text; /* where the body goes, or else .. */
    struct blob_writer *writer;
    const struct registry_blob *blob;
    int write_err;

    struct digest content_digest; /* header Docker-Content-Digest */
    struct auth_challenge challenge;
    long retry_after_s;
};

/* Sets all options that every request has; whoever needs more sets them afterwards. */
void transfer_set_up(struct transfer *t, const char *url, bool is_http);

/* What a failed try means. 0: another one may help; `f` is set all the same. */
NODISCARD int transfer_judge(const struct transfer *t, CURLcode code, long status, struct fault *f);

/* Sleeps before try `attempt` + 1, as long as the server asked for if it did (0: it did not). */
void transfer_back_off(const struct registry *r, int attempt, long retry_after_s);

#endif /* RUNTIME_TRANSFER_H */
