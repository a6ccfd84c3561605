/* node/api/auth.h - Credentials for a registry, as clients send them with a request. Pure. */
#ifndef NODE_API_AUTH_H
#define NODE_API_AUTH_H

#include <jansson.h>

#include "runtime/runtime.h"

#define AUTH_HEADER_LEN_MAX (16 * 1024)

/* Reads the value of X-Registry-Auth: JSON in base64, URL-safe or not, padded or not. NULL or
 * anything else is anonymous, as with Docker. `out` borrows from the returned value (json_decref;
 * may be NULL). */
json_t *auth_parse(const char *header, struct registry_auth *out);

#endif /* NODE_API_AUTH_H */
