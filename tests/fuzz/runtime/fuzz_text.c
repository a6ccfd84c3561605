/* Short texts from users, images, registries and log files. The first byte chooses the parser. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "runtime/logfile.h"
#include "runtime/reference.h"
#include "runtime/registry.h"
#include "runtime/userdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A full name reads as itself. */
static void check_reference(const char *text)
{
    char full[REFERENCE_TEXT_MAX], again[REFERENCE_TEXT_MAX];
    struct reference r;
    struct fault f;

    if (reference_parse(text, &r, &f) < 0)
        return;
    reference_format(&r, full);
    CHECK(strstr(full, "..") == NULL || strstr(text, "..") != NULL);
    CHECK(reference_parse(full, &r, &f) == 0);
    reference_format(&r, again);
    CHECK(strcmp(full, again) == 0);
}

static void check_user(struct slice files)
{
    const uint8_t *cut = files.len == 0 ? NULL : memchr(files.ptr, '|', files.len);
    size_t passwd_len = cut == NULL ? files.len : (size_t)(cut - files.ptr);
    struct slice group = slice_of(files.ptr + passwd_len, files.len - passwd_len);
    const struct str_list none = { 0 };
    static struct user u;
    struct fault f;

    if (user_resolve("web", &none, slice_of(files.ptr, passwd_len), group, &u, &f) == 0)
        CHECK(u.group_count <= USER_GROUP_COUNT_MAX && u.home[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct auth_challenge challenge = { 0 };
    struct log_record record;
    char text[1024];
    int signal;

    if (len == 0)
        return 0;
    (void)snprintf(text, sizeof(text), "%.*s", (int)(len - 1), (const char *)data + 1);
    switch (data[0] % 5) {
    case 0:
        check_reference(text);
        break;
    case 1:
        check_user(slice_of(data + 1, len - 1));
        break;
    case 2:
        registry_parse_challenge(slice_of(data + 1, len - 1), &challenge);
        CHECK(memchr(challenge.realm, 0, sizeof(challenge.realm)) != NULL);
        break;
    case 3:
        if (log_parse(slice_of(data + 1, len - 1), &record) == 0)
            CHECK(record.text.len < len);
        break;
    default:
        if (container_signal_parse(text, &signal) == 0)
            CHECK(signal >= 1 && signal <= 64);
        break;
    }
    return 0;
}
