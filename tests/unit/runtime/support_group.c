#include "support_group.h"

struct fixture fx;

int group_set_up(void **state)
{
    (void)state;
    if (fixture_missing() == NULL) {
        fixture_init(&fx);
        fixture_import_busybox(&fx);
    }
    return 0;
}

int group_tear_down(void **state)
{
    (void)state;
    if (fixture_missing() == NULL)
        fixture_deinit(&fx);
    return 0;
}
