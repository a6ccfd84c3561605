/* node/cli/client.h - Requests to the node's API over its unix socket. */
#ifndef NODE_CLI_CLIENT_H
#define NODE_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct client;

/* ERR_UNSUPPORTED: an address that is no unix socket.  -ENOMEM */
NODISCARD int client_open(const char *socket, struct client **out);
void client_close(struct client *c);
const char *client_socket(const struct client *c); /* where it calls; borrowed */

/* One request with a JSON body (borrowed; NULL: none). `*out` (may be NULL) is the decoded answer,
 * owned by the caller, NULL when it was empty. Errors are printed as "shoal: ..": the API's own
 * sentence where it gave one. Returns the HTTP status, or a negative code. */
NODISCARD int client_call(struct client *c, const char *method, const char *path,
                          const json_t *body, json_t **out);

/* As client_call, without printing an error; `why` gets the API's sentence. */
NODISCARD int client_try(struct client *c, const char *method, const char *path, const json_t *body,
                         json_t **out, char *why, size_t why_len);

/* Sends a file as the body, and prints "stream" and "error" lines of the answer as they come. */
NODISCARD int client_upload(struct client *c, const char *path, int fd, const char *type);

/* Hands the answer over piece by piece; on_data returns false to end it. */
NODISCARD int client_stream(struct client *c, const char *path,
                            bool (*on_data)(void *ctx, const uint8_t *bytes, size_t len),
                            void *ctx);

/* Percent-encoded, appended to a fixed path; returns owned memory (free) or NULL. */
char *client_escape(struct client *c, const char *text);

#endif /* NODE_CLI_CLIENT_H */
