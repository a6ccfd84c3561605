/* Opening, second part, on a thread: what containers there are, and what is true of each.
 *
 *     STATE/containers/ID    a record: loaded, and its state made true (launch_recover)
 *                            none, or unreadable: half made or half removed, so removed
 *     RUN/.., exits without such a container: a crash between removing the two; swept
 *
 * Nothing is announced from here: that is the loop's, in opening.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/err.h"
#include "base/log.h"
#include "runtime/opening.h"

/* Secrets never reach a disk: their directory is memory, whatever RUN is. */
static int mount_secrets(struct runtime *rt, struct fault *f)
{
    struct path dir = path_of("%s/secrets", rt->run_dir.text);
    struct statfs fs;

    if (statfs(dir.text, &fs) < 0)
        return fault_system(f, -errno, "%s", dir.text);
    if (fs.f_type == TMPFS_MAGIC && access(path_of("%s/.mounted", dir.text).text, F_OK) == 0)
        return 0;
    if (mount("tmpfs", dir.text, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
        return fault_system(f, -errno, "%s: tmpfs", dir.text);
    return file_write(path_of("%s/.mounted", dir.text).text, slice_of_str(""), 0600);
}

static int load_container(struct opening *o, const char *id)
{
    struct runtime *rt = o->rt;
    struct path dir = path_of("%s/containers/%s", rt->state_dir.text, id);
    struct path spec = path_of("%s/spec", dir.text);
    struct container *c;
    enum recovered how;
    struct fault f;
    int rc = container_new(rt, &c);

    if (rc < 0)
        return rc;
    container_set_paths(c, id);
    rc = access(spec.text, F_OK) < 0 ? -ENOENT : record_load(dir.text, &c->record, &c->next, &f);
    if (rc == 0 && strcmp(c->record.spec.id, id) != 0)
        rc = fault_set(&f, ERR_CORRUPT, "%s: belongs to another container", spec.text);
    if (rc < 0) { /* half created or half removed, or unreadable */
        if (rc != -ENOENT)
            log_error("runtime", "container %s is lost: %s", id, f.text);
        c->record.spec.id = strdup(id);
        if (c->record.spec.id != NULL)
            (void)!launch_remove(c, REMOVE_FORCE, &f); /* logs by itself */
        container_release(c);
        return 0;
    }
    container_set_paths(c, id); /* again: now the spec's cgroup parent is known */
    if (launch_load_image(c, &f) < 0)
        log_warn("runtime", "container %s cannot be started again: %s", id, f.text);
    rc = launch_recover(c, &how, &f);
    if (rc < 0) {
        log_error("runtime", "container %s: %s", id, f.text);
        how = RECOVERED_IDLE;
    }
    c->state = c->next;
    c->next = (struct container_state_record){ 0 };
    c->found_ended = how == RECOVERED_ENDED;
    list_push_back(&o->found, &c->link);
    return 0;
}

static int load_entry(void *arg, int dir_fd, const char *name)
{
    (void)dir_fd;
    if (strlen(name) > CONTAINER_ID_LEN_MAX)
        return 0;
    return load_container(arg, name);
}

/* Bundles and secrets whose container is gone: a crash between removing the two. */
struct sweep {
    struct opening *opening;
    const char *parent;
};

static bool was_found(const struct opening *o, const char *id)
{
    LIST_EACH(it, &o->found)
    {
        if (strcmp(CONTAINER_OF(it, struct container, link)->record.spec.id, id) == 0)
            return true;
    }
    return false;
}

static int sweep_entry(void *arg, int dir_fd, const char *name)
{
    struct sweep *s = arg;
    struct container *c;
    struct path p = path_of("%s/%s", s->parent, name);

    (void)dir_fd;
    if (name[0] == '.' || strlen(name) > CONTAINER_ID_LEN_MAX || was_found(s->opening, name))
        return 0;
    if (container_new(s->opening->rt, &c) < 0)
        return -ENOMEM;
    c->record.spec.id = strdup(name);
    container_set_paths(c, name);
    if (c->record.spec.id != NULL)
        launch_clean_up(c);
    container_release(c);
    return tree_remove(p.text);
}

static int sweep(struct opening *o)
{
    struct runtime *rt = o->rt;
    struct path dirs[] = { path_of("%s/containers", rt->run_dir.text),
                           path_of("%s/secrets", rt->run_dir.text),
                           path_of("%s/exits", rt->state_dir.text) };

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        struct sweep s = { .opening = o, .parent = dirs[i].text };
        int rc = dir_each(dirs[i].text, sweep_entry, &s);

        if (rc < 0)
            return fault_system(&o->fault, rc, "%s", dirs[i].text);
    }
    return 0;
}

void opening_find_containers(struct work *w)
{
    struct opening *o = CONTAINER_OF(w, struct opening, work);
    struct path dir = path_of("%s/containers", o->rt->state_dir.text);

    o->err = mount_secrets(o->rt, &o->fault);
    if (o->err < 0)
        return;
    o->err = dir_each(dir.text, load_entry, o);
    if (o->err < 0)
        fault_system(&o->fault, o->err, "%s", dir.text);
    else
        o->err = sweep(o);
}
