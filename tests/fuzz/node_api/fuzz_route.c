/* Paths: a row that is found leaves arguments that are parts of the path; none is empty. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/api/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const methods[] = { "GET", "POST", "DELETE", "HEAD", "PUT" };
    char *text = malloc(len + 1);
    char *args[ROUTE_ARGS_MAX];

    CHECK(text != NULL);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        const char *path = text;
        bool other = false;
        unsigned minor;

        memcpy(text, data, len);
        text[len] = '\0';
        if (route_version(&path, &minor) < 0)
            break;
        CHECK(minor >= 24 && minor <= 47);
        if (path[0] == '/' && route_find(methods[i], text + (path - text) + 1, args, &other)) {
            for (size_t k = 0; k < ROUTE_ARGS_MAX && args[k] != NULL; k++) {
                CHECK(args[k] > text && args[k] + strlen(args[k]) <= text + len);
                CHECK(args[k][0] != '\0');
            }
        }
    }
    free(text);
    return 0;
}
