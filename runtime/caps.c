#include "runtime/caps.h"

#include <string.h>

#include "base/err.h"

#define BIT(name) (UINT64_C(1) << CAP_BIT_##name)

/* What Docker leaves to root in a container. */
static const cap_set default_set = BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(FSETID) | BIT(FOWNER) |
                                   BIT(MKNOD) | BIT(NET_RAW) | BIT(SETGID) | BIT(SETUID) |
                                   BIT(SETFCAP) | BIT(SETPCAP) | BIT(NET_BIND_SERVICE) |
                                   BIT(SYS_CHROOT) | BIT(KILL) | BIT(AUDIT_WRITE);

static const char *const names[CAP_COUNT] = {
#define CAP_NAME(name, number) [number] = "CAP_" #name,
    CAP_LIST(CAP_NAME)
#undef CAP_NAME
};

const char *cap_name(unsigned number)
{
    return number < CAP_COUNT ? names[number] : "";
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool equal_any_case(const char *a, const char *b)
{
    while (*a != '\0' && upper(*a) == upper(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool find(const char *text, cap_set *out)
{
    if (equal_any_case(text, "ALL") || equal_any_case(text, "CAP_ALL")) {
        *out = (UINT64_C(1) << CAP_COUNT) - 1;
        return true;
    }
    for (unsigned i = 0; i < CAP_COUNT; i++) {
        if (equal_any_case(text, names[i]) || equal_any_case(text, names[i] + 4)) {
            *out = UINT64_C(1) << i;
            return true;
        }
    }
    return false;
}

static bool is_all(cap_set set)
{
    return (set & (set - 1)) != 0;
}

int cap_set_of(const struct str_list *add, const struct str_list *drop, cap_set *out,
               const char **out_unknown)
{
    cap_set added = 0, dropped = 0, one = 0;
    bool add_all = false, drop_all = false;

    for (size_t i = 0; i < add->count; i++) {
        *out_unknown = add->items[i];
        if (!find(add->items[i], &one))
            return ERR_INVALID;
        add_all |= is_all(one);
        added |= one;
    }
    for (size_t i = 0; i < drop->count; i++) {
        *out_unknown = drop->items[i];
        if (!find(drop->items[i], &one))
            return ERR_INVALID;
        drop_all |= is_all(one);
        dropped |= is_all(one) ? 0 : one;
    }
    if (drop_all)
        *out = (add_all ? 0 : added) & ~dropped;
    else
        *out = (default_set | added) & ~dropped;
    return 0;
}
