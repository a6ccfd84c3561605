/* The worker's kernel objects: opening, paths and names, left-overs. Networks are in
 * plumb_network.c, sandboxes in plumb_sandbox.c, the way out of the cluster in uplink.c. */
#include "overlaynet/plumb_impl.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/netns.h"

int plumb_explain(char *why, int rc, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, PLUMB_WHY_MAX, format, args);
    va_end(args);
    return rc;
}

void plumb_sandbox_path(const char *run_dir, const struct id *id, char out[OVERLAY_PATH_MAX])
{
    (void)snprintf(out, OVERLAY_PATH_MAX, "%s/netns/%s", run_dir, id->text);
}

void plumb_network_path(const struct plumb *p, const struct id *id, char out[OVERLAY_PATH_MAX])
{
    (void)snprintf(out, OVERLAY_PATH_MAX, "%.200s/netns/net-%s", p->run_dir, id->text);
}

/* --- Life ------------------------------------------------------------------------------------ */

int plumb_new(const struct plumb_config *cfg, struct plumb **out, char *why)
{
    struct plumb *p = calloc(1, sizeof(*p));
    char path[OVERLAY_PATH_MAX];
    int rc;

    if (p == NULL)
        return plumb_explain(why, -ENOMEM, "out of memory");
    list_init(&p->networks);
    (void)snprintf(p->run_dir, sizeof(p->run_dir), "%s", cfg->run_dir);
    (void)snprintf(path, sizeof(path), "%.200s/netns", cfg->run_dir);
    if ((mkdir(cfg->run_dir, 0755) < 0 && errno != EEXIST) ||
        (mkdir(path, 0755) < 0 && errno != EEXIST)) {
        rc = plumb_explain(why, -errno, "cannot create %s: %s", path, strerror(errno));
        goto fail;
    }
    rc = netlink_open(&p->host);
    if (rc < 0) {
        (void)plumb_explain(why, rc, "cannot open a netlink socket: %s", err_text(rc));
        goto fail;
    }
    if (!cfg->no_egress) {
        rc = uplink_new(p->host, &cfg->egress4, &cfg->egress6, &p->uplink, why);
        if (rc < 0)
            goto fail;
    }
    *out = p;
    return 0;
fail:
    plumb_free(p);
    return rc;
}

void plumb_free(struct plumb *p)
{
    if (p == NULL)
        return;
    LIST_EACH_SAFE(it, &p->networks)
    plumb_forget_network(CONTAINER_OF(it, struct wired_network, link));
    uplink_free(p->uplink);
    netlink_close(p->host);
    free(p);
}

/* --- Left-overs ------------------------------------------------------------------------------ */

static bool is_kept(const struct id *keep, size_t count, const char *name)
{
    const char *text = strncmp(name, "net-", 4) == 0 ? name + 4 : name;

    for (size_t i = 0; i < count; i++)
        if (strcmp(keep[i].text, text) == 0)
            return true;
    return false;
}

void plumb_purge(struct plumb *p, const struct id *keep, size_t count)
{
    char path[OVERLAY_PATH_MAX + NAME_MAX];
    struct dirent *entry;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%.200s/netns", p->run_dir);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || is_kept(keep, count, entry->d_name))
            continue;
        (void)snprintf(path, sizeof(path), "%.200s/netns/%s", p->run_dir, entry->d_name);
        (void)netns_delete(path); /* busy ones are tried again at the next start */
    }
    if (dir != NULL)
        (void)closedir(dir);
    if (p->uplink != NULL)
        uplink_purge(p->uplink, keep, count);
}
