/* runtime/registry_auth.h - Showing a registry who asks: for registry*.c only. Blocks. */
#ifndef RUNTIME_REGISTRY_AUTH_H
#define RUNTIME_REGISTRY_AUTH_H

#include "runtime/registry.h"

/* The header line of all further requests. Copies.
 *   ERR_TOO_LARGE */
NODISCARD int registry_set_authorization(struct registry *r, const char *scheme, const char *token);

/* After a 401 with this challenge. `used` is the number of the authorization that was refused: if
 * another thread has a newer one, that is to be tried, and nothing is done.
 *   ERR_UNAUTHENTICATED  no credentials, or they were refused
 *   ERR_FORBIDDEN        a token server that is not https
 *   ERR_MALFORMED, ERR_UNAVAILABLE  the token server's fault */
NODISCARD int registry_authorize(struct registry *r, const struct auth_challenge *challenge,
                                 uint64_t used, struct fault *f);

#endif /* RUNTIME_REGISTRY_AUTH_H */
