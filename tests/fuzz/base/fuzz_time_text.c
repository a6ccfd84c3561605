/* Durations and times: what is read prints to a text that reads as the same value. */
#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/time_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[TIME_TEXT_MAX];
    int64_t value, again;

    static_assert(DURATION_TEXT_MAX <= TIME_TEXT_MAX, "text holds either");
    if (duration_parse(slice_of(data, len), &value) == 0) {
        duration_format(value, text);
        CHECK(strlen(text) < DURATION_TEXT_MAX);
        CHECK(duration_parse(slice_of_str(text), &again) == 0);
        CHECK(again == value);
    }
    if (time_parse(slice_of(data, len), &value) == 0) {
        time_format(value, text);
        CHECK(strlen(text) < TIME_TEXT_MAX);
        CHECK(time_parse(slice_of_str(text), &again) == 0);
        CHECK(again == value);
    }
    return 0;
}
