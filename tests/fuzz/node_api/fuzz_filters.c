/* The filters parameter: what is accepted can be asked about every key, known or not. */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "node/api/filters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const known[] = { "id", "label", "name", NULL };
    struct str_map_item items[] = { { (char[]){ "a" }, (char[]){ "1" } },
                                    { (char[]){ "b" }, (char[]){ "" } } };
    const struct str_map labels = { items, ARRAY_LEN(items) };
    struct field_error err = { "" };
    struct filters f;
    char *text = malloc(len + 1);

    CHECK(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    if (filters_parse(text, known, &f, &err) == 0) {
        for (size_t i = 0; known[i] != NULL; i++) {
            for (size_t k = 0; k < filters_count(&f, known[i]); k++) {
                const char *value = filters_value(&f, known[i], k);

                CHECK(value != NULL);
                CHECK(filters_exact(&f, known[i], value));
                CHECK(filters_prefix(&f, known[i], value));
                CHECK(filters_part(&f, known[i], value));
            }
        }
        (void)filters_labels(&f, "label", &labels);
        CHECK(filters_exact(&f, "unknown", "x"));
    } else {
        CHECK(err.text[0] != '\0' && f.map == NULL);
    }
    filters_deinit(&f);
    free(text);
    return 0;
}
