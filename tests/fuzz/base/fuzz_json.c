/* JSON text into objects. What is read is valid, prints as JSON that reads as an equal object, and
 * survives the bytes too. The first byte chooses type and strictness. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/fields.h"
#include "tests/support/every_kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct fields *const types[] = { &every_type, &tree_type, &named_type, &choice_type };

union any {
    struct every every;
    struct tree tree;
    struct named named;
    struct choice choice;
};

static void check_stable(const struct fields *type, const union any *obj)
{
    struct field_error err;
    struct buf text, bytes;
    union any again;

    buf_init(&text, SIZE_MAX);
    buf_init(&bytes, SIZE_MAX);
    CHECK(fields_validate(type, obj, &err) == 0);
    CHECK(fields_to_json_text(type, obj, FIELDS_JSON_SECRETS, &text) == 0);
    CHECK(fields_from_json_text(type, buf_slice(&text), FIELDS_JSON_STRICT, &again, &err) == 0);
    CHECK(fields_equal(type, obj, &again));
    fields_deinit(type, &again);
    CHECK(fields_encode(type, obj, &bytes, &err) == 0);
    CHECK(fields_decode(type, buf_slice(&bytes), &again, &err) == 0);
    CHECK(fields_equal(type, obj, &again));
    fields_deinit(type, &again);
    buf_deinit(&text);
    buf_deinit(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct fields *type;
    struct field_error err = { "" };
    union any obj;
    int rc;

    if (len == 0)
        return 0;
    type = types[data[0] % ARRAY_LEN(types)];
    rc = fields_from_json_text(type, slice_of(data + 1, len - 1), data[0] >> 7, &obj, &err);
    CHECK((rc == 0) == (err.text[0] == '\0'));
    if (rc == 0) {
        check_stable(type, &obj);
        fields_deinit(type, &obj);
    }
    return 0;
}
