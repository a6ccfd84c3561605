/* crun says
 *     executable file `web` not found in $PATH: No such file or directory
 *     open executable: Permission denied
 * and runc
 *     exec: "web": executable file not found in $PATH
 *     exec: "/web": stat /web: no such file or directory
 *     exec: "/etc": is a directory, exec: "/etc/passwd": permission denied */
#include "runtime/refusal.h"

#include <stdbool.h>
#include <string.h>

static bool says(const char *words, const char *what)
{
    return strstr(words, what) != NULL;
}

int refusal_exit_code(const char *words)
{
    bool by_crun = says(words, "executable file `") || says(words, "open executable: ");

    if (!by_crun && !says(words, "exec: \""))
        return REFUSAL_OTHER;
    if (says(words, "not found in $PATH") || says(words, ": no such file or directory"))
        return REFUSAL_NOT_FOUND;
    return REFUSAL_NOT_EXECUTABLE;
}
