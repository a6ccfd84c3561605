/* What people type: tokens and addresses. A token that is read prints as the same text. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "node/cluster/link_address.h"
#include "node/cluster/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_address(const char *text)
{
    char formatted[LINK_ADDRESS_LEN], again[LINK_ADDRESS_LEN], host[256];
    struct sockaddr_storage a, b;
    uint16_t port;

    if (address_parse(text, &a) < 0)
        return;
    CHECK(address_split(text, host, &port) == 0);
    address_format((const struct sockaddr *)&a, formatted);
    CHECK(address_parse(formatted, &b) == 0);
    address_format((const struct sockaddr *)&b, again);
    CHECK(strcmp(formatted, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[TOKEN_LEN + 1], address[300];
    struct join_token t;

    if (token_parse(slice_of(data, len), &t) == 0) {
        token_format(&t, text);
        CHECK(len == TOKEN_LEN && memcmp(text, data, len) == 0);
    }
    if (len < sizeof(address)) {
        if (len > 0)
            memcpy(address, data, len);
        address[len] = '\0';
        check_address(address);
    }
    return 0;
}
