/* Bytes into objects of several types. What decodes is valid, and its encoding is stable: it
 * decodes to an equal object that encodes to the same bytes; so do copies. The first byte chooses
 * the type. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/fields.h"
#include "base/wire.h"
#include "tests/support/every_kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct fields *const types[] = { &every_type, &tree_type,   &named_type,
                                              &point_type, &choice_type, &perhaps_type };

union any {
    struct every every;
    struct tree tree;
    struct named named;
    struct choice choice;
    struct perhaps perhaps;
};

static void check_stable(const struct fields *type, const union any *obj)
{
    struct field_error err;
    struct buf first, second;
    union any again;

    buf_init(&first, SIZE_MAX);
    buf_init(&second, SIZE_MAX);
    CHECK(fields_validate(type, obj, &err) == 0);
    CHECK(fields_encode(type, obj, &first, &err) == 0);
    CHECK(wire_check(buf_slice(&first)) == 0);
    CHECK(fields_decode(type, buf_slice(&first), &again, &err) == 0);
    CHECK(fields_equal(type, obj, &again));
    CHECK(fields_hash(type, obj) == fields_hash(type, &again));
    CHECK(fields_encode(type, &again, &second, &err) == 0);
    CHECK(slice_equal(buf_slice(&first), buf_slice(&second)));
    fields_deinit(type, &again);
    CHECK(fields_copy(type, obj, &again) == 0);
    CHECK(fields_equal(type, obj, &again));
    fields_deinit(type, &again);
    buf_deinit(&first);
    buf_deinit(&second);
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
    rc = fields_decode(type, slice_of(data + 1, len - 1), &obj, &err);
    CHECK((rc == 0) == (err.text[0] == '\0'));
    if (rc == 0) {
        check_stable(type, &obj);
        fields_deinit(type, &obj);
    }
    return 0;
}
