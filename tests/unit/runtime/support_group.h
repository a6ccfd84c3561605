/* One runtime, with an image of busybox, for a whole group of tests. */
#ifndef SUPPORT_GROUP_H
#define SUPPORT_GROUP_H

#include "support_runtime.h"

extern struct fixture fx;

/* Do nothing where containers cannot run. */
int group_set_up(void **state);
int group_tear_down(void **state);

#endif /* SUPPORT_GROUP_H */
