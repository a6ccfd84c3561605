/* Texts of our own codes come from the one list; those of the system from strerror. */
#include "base/err.h"

#include <stddef.h>
#include <string.h>

const char *err_text(int err)
{
    switch (err) {
#define ERR_CASE(name, number, text)                                                               \
    case name:                                                                                     \
        return text;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    default:
        break;
    }
    if (err >= 0)
        return "success";
    if (err > -4096)
        return strerror(-err);
    return "unknown error";
}

const char *err_name(int err)
{
    switch (err) {
#define ERR_CASE(name, number, text)                                                               \
    case name:                                                                                     \
        return #name;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    default:
        return err >= 0 ? "OK" : "ERRNO";
    }
}
