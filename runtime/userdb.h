/* runtime/userdb.h - Users and groups as the image's own /etc/passwd and /etc/group name them. */
#ifndef RUNTIME_USERDB_H
#define RUNTIME_USERDB_H

#include "base/fields.h"
#include "base/slice.h"
#include "runtime/fault.h"

#define USER_GROUP_COUNT_MAX 1024

struct user {
    uint32_t uid, gid;
    uint32_t groups[USER_GROUP_COUNT_MAX]; /* besides gid */
    size_t group_count;
    char home[1024]; /* "/" when nothing names one */
};

/* `text` is "", "name", "uid", "name:group", "uid:gid" ..; "" is root. `extra` are more groups,
 * names or numbers. A user given by name gets the groups that list it, unless `text` names a
 * group, as with Docker. The files' bytes may be empty and are not trusted.
 *   ERR_INVALID  no such user or group in the image */
NODISCARD int user_resolve(const char *text, const struct str_list *extra, struct slice passwd,
                           struct slice group, struct user *out, struct fault *f);

#endif /* RUNTIME_USERDB_H */
