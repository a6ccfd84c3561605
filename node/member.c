/* A member's life: what the last run left, becoming active again, and what others may ask. How it
 * becomes a member: member_init.c, member_join.c; how it ceases to be one: member_leave.c. */
#include "node/member.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/api/api.h"
#include "node/description.h"
#include "node/images.h"
#include "node/member_impl.h"

wall_ns member_wall_now(void)
{
    uv_timeval64_t tv;

    if (uv_gettimeofday(&tv) != 0)
        return 0;
    return tv.tv_sec * INT64_C(1000000000) + (int64_t)tv.tv_usec * 1000;
}

void member_serve(struct member *m)
{
    m->serving = true;
    host_start(m->host);
    m->finder.deadline = 0;
    traffic_turn(m);
    cert_check_renewal(m);
}

/* --- Start of the program */

int member_new(const struct member_config *cfg, struct member **out)
{
    struct member *m = calloc(1, sizeof(*m));
    int rc;

    if (m == NULL)
        return -ENOMEM;
    m->cfg = *cfg;
    finder_init(&m->finder);
    CHECK(uv_timer_init(cfg->loop, &m->timer) == 0); /* cannot fail */
    CHECK(uv_timer_init(cfg->loop, &m->renew_timer) == 0);
    CHECK(uv_timer_init(cfg->loop, &m->settle_timer) == 0);
    m->timer.data = m;
    m->renew_timer.data = m;
    m->settle_timer.data = m;
    rc = member_read_identity(m);
    if (rc == 0 && m->identity.is_member)
        rc = member_read_file(m);
    if (rc == 0 && m->identity.is_member)
        rc = member_read_data_key(m);
    if (rc < 0) {
        m->state = MEMBER_ERROR;
        (void)snprintf(m->error, sizeof(m->error),
                       "%s: what makes this node a member cannot be read: %s",
                       cfg->options->state_dir, err_text(rc));
    }
    *out = m;
    return 0;
}

static void adopt(void *owner, const struct container_info *info)
{
    struct member *m = owner;

    host_container_found(m->host, info);
}

void member_start(struct member *m)
{
    int rc;

    if (m->state == MEMBER_ERROR || !m->identity.is_member)
        return;
    rc = member_activate(m);
    if (rc == 0 && m->file.raft_id != 0)
        rc = member_start_manager(m, false);
    if (rc < 0) {
        m->state = MEMBER_ERROR;
        log_error("member", "%s", m->error);
        m->cfg.on_failed(m->cfg.ctx, m->error);
        return;
    }
    m->state = MEMBER_ACTIVE;
    runtime_container_list(m->cfg.runtime, adopt, m);
    member_serve(m);
}

void member_fetch_image(struct member *m, const char *reference, host_image_done done, void *owner)
{
    if (m->images == NULL)
        done(owner, ERR_UNAVAILABLE, "this node is in no cluster");
    else
        images_fetch(m->images, reference, done, owner);
}

void member_container(struct member *m, enum container_event_kind kind,
                      const struct container_info *info)
{
    if (m->serving)
        host_container_event(m->host, kind, info);
}

void member_shut_down(struct member *m)
{
    if (m->host != NULL)
        host_shut_down(m->host);
}

/* --- One init, join or leave at a time */

int member_begin(struct member *m, member_done done, void *owner)
{
    static const char joining[] = "This node is joining a swarm already.";
    static const char leaving[] = "This node is leaving a swarm: wait until it has.";
    static const char broken[] = "This node cannot read what made it part of a swarm. Use \"docker "
                                 "swarm leave --force\" to forget that swarm.";
    static const char active[] = "This node is already part of a swarm. Use \"docker swarm leave\" "
                                 "to leave this swarm and join another one.";

    if (m->state != MEMBER_NONE) {
        done(owner, ERR_EXISTS,
             m->state == MEMBER_PENDING   ? joining
             : m->state == MEMBER_LEAVING ? leaving
             : m->state == MEMBER_ERROR   ? broken
                                          : active);
        return ERR_EXISTS;
    }
    m->state = MEMBER_PENDING;
    m->error[0] = '\0';
    member_remove_dir(m, "raft"); /* of an init that was interrupted */
    member_remove_dir(m, "store");
    m->done = done;
    m->done_owner = owner;
    return 0;
}

void member_finish(struct member *m, int err, const char *why)
{
    member_done done = m->done;

    m->done = NULL;
    if (done != NULL)
        done(m->done_owner, err, why);
}

int member_choose_address(struct member *m, const char *wanted)
{
    char found[256];
    int rc = 0;

    if (wanted == NULL || wanted[0] == '\0')
        wanted = m->cfg.options->advertise;
    if (wanted == NULL) {
        rc = description_only_address(found, sizeof(found));
        wanted = found;
    }
    if (rc == ERR_CONFLICT)
        (void)snprintf(m->error, sizeof(m->error),
                       "could not choose an IP address to advertise since this system has multiple "
                       "addresses (%s) - specify one with --advertise-addr",
                       found);
    if (rc == ERR_NOT_FOUND)
        (void)snprintf(m->error, sizeof(m->error),
                       "this system has no address that other nodes could reach - specify one with "
                       "--advertise-addr");
    return rc < 0 ? rc : str_set(&m->file.advertise, wanted);
}

/* --- Reading */

enum member_state member_state(const struct member *m)
{
    return m->state;
}

const char *member_error(const struct member *m)
{
    return m->error;
}

const struct id *member_node_id(const struct member *m)
{
    return m->state == MEMBER_ACTIVE ? &m->identity.cert.node : NULL;
}

const char *member_address(const struct member *m)
{
    return m->state == MEMBER_ACTIVE && m->file.advertise != NULL ? m->file.advertise : "";
}

struct manager *member_manager(const struct member *m)
{
    return m->closing_manager || m->state != MEMBER_ACTIVE ? NULL : m->manager;
}

struct links *member_links(const struct member *m)
{
    return m->links;
}

struct host *member_host(const struct member *m)
{
    return m->host;
}

const struct node_description *member_description(const struct member *m)
{
    return &m->description;
}

size_t member_remotes(const struct member *m, struct api_remote *out, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < m->file.managers.count && i < m->file.manager_addrs.count && count < max;
         i++) {
        if (id_parse(slice_of_str(m->file.managers.items[i]), &out[count].node_id) < 0)
            continue;
        (void)snprintf(out[count].addr, sizeof(out[count].addr), "%s",
                       m->file.manager_addrs.items[i]);
        count++;
    }
    return count;
}
