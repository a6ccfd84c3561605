/* X-Registry-Auth: anything is either credentials or anonymous. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "node/api/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct registry_auth auth;
    char *text = malloc(len + 1);
    json_t *held;

    CHECK(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    held = auth_parse(text, &auth);
    CHECK(auth.username == NULL || auth.username[0] != '\0');
    CHECK(held != NULL || (auth.username == NULL && auth.registry_token == NULL));
    json_decref(held);
    free(text);
    return 0;
}
