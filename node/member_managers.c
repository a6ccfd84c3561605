/* The managers that this node keeps on disk: whom to ask after a restart, and for a certificate.
 * The cluster's managers change over the years; those that were there at the join may all be gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/member_impl.h"

static size_t find(const struct member *m, const struct id *node)
{
    size_t i = 0;

    while (i < m->file.managers.count && strcmp(m->file.managers.items[i], node->text) != 0)
        i++;
    return i;
}

static void save(struct member *m)
{
    int rc = member_save_file(m);

    if (rc < 0)
        log_warn("member", "the managers cannot be written down: %s", err_text(rc));
}

void managers_learn(struct member *m, const struct peer *peer)
{
    size_t i = find(m, &peer->id);
    const char *address = peer->link_addrs.count == 0 ? NULL : peer->link_addrs.items[0];
    int rc;

    if (address == NULL || m->file.managers.count != m->file.manager_addrs.count)
        return;
    if (i == MEMBER_MANAGERS_MAX ||
        (i < m->file.managers.count && strcmp(m->file.manager_addrs.items[i], address) == 0))
        return;
    if (i < m->file.managers.count) {
        rc = str_set(&m->file.manager_addrs.items[i], address);
    } else {
        rc = str_list_append(&m->file.managers, peer->id.text);
        if (rc == 0)
            rc = str_list_append(&m->file.manager_addrs, address);
        if (rc < 0 && m->file.managers.count > m->file.manager_addrs.count)
            free(m->file.managers.items[--m->file.managers.count]);
    }
    if (rc == 0)
        save(m);
}

static void take_out(struct str_list *list, size_t i)
{
    free(list->items[i]);
    list->count--;
    memmove(&list->items[i], &list->items[i + 1], (list->count - i) * sizeof(*list->items));
}

/* The last one stays: a wrong address is more than none. */
void managers_forget(struct member *m, const struct id *node)
{
    size_t i = find(m, node);

    if (i >= m->file.managers.count || m->file.managers.count == 1 ||
        m->file.managers.count != m->file.manager_addrs.count)
        return;
    take_out(&m->file.managers, i);
    take_out(&m->file.manager_addrs, i);
    save(m);
}
