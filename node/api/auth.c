/* node/api/auth.c - See auth.h. */
#include "node/api/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL && text[0] != '\0' ? text : NULL;
}

json_t *auth_parse(const char *header, struct registry_auth *out)
{
    size_t len = header != NULL ? strlen(header) : 0, text_len = 0;
    char *plain, *text;
    json_t *json = NULL;

    *out = (struct registry_auth){ 0 };
    if (len == 0 || len > AUTH_HEADER_LEN_MAX)
        return NULL;
    plain = malloc(len + 1);
    text = malloc(len + 1);
    if (plain != NULL && text != NULL) {
        /* One alphabet and no padding, so that one decoder reads all forms. */
        for (size_t i = 0; i < len; i++)
            plain[i] = header[i] == '+' ? '-' : header[i] == '/' ? '_' : header[i];
        while (len > 0 && plain[len - 1] == '=')
            len--;
        if (sodium_base642bin((unsigned char *)text, len + 1, plain, len, NULL, &text_len, NULL,
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0)
            json = json_loadb(text, text_len, 0, NULL);
        sodium_memzero(text, len + 1);
        sodium_memzero(plain, len + 1);
    }
    free(plain);
    free(text);
    out->username = text_of(json, "username");
    out->password = text_of(json, "password");
    out->identity_token = text_of(json, "identitytoken");
    out->registry_token = text_of(json, "registrytoken");
    return json;
}
