/* What gossip says about others, and what it must know: keys, certificate, boot epoch. */
#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/member_impl.h"

/* A node that nobody told us about shows its certificate in its metadata. */
static void judge_candidate(struct member *m, const struct gossip_notice *notice)
{
    struct cert cert;

    if (cert_decode(notice->meta, &cert) == 0 && id_equal(&cert.node, &notice->id) &&
        cert_check(&cert, &m->identity.trust, member_wall_now(), 0) == 0)
        gossip_driver_trust(m->gossip, &notice->id, cert.identity_key);
    else
        gossip_driver_forget(m->gossip, &notice->id);
}

static void on_notice(void *ctx, const struct gossip_notice *notice)
{
    struct member *m = ctx;

    switch (notice->kind) {
    case GOSSIP_NOTICE_JOINED:
        if (notice->status == GOSSIP_ALIVE)
            traffic_tell_reachable(m, &notice->id, CONTROL_ALIVE);
        break;
    case GOSSIP_NOTICE_ALIVE:
        log_info("gossip", "node %s is alive", notice->id.text);
        traffic_tell_reachable(m, &notice->id, CONTROL_ALIVE);
        break;
    case GOSSIP_NOTICE_UNREACHABLE:
        log_warn("gossip", "node %s is unreachable", notice->id.text);
        traffic_tell_reachable(m, &notice->id, CONTROL_UNREACHABLE);
        break;
    case GOSSIP_NOTICE_LEFT:
        log_info("gossip", "node %s has left", notice->id.text);
        traffic_tell_reachable(m, &notice->id, CONTROL_LEFT);
        break;
    case GOSSIP_NOTICE_CANDIDATE:
        judge_candidate(m, notice);
        break;
    case GOSSIP_NOTICE_EPOCH:
        m->file.boot_epoch = notice->incarnation.epoch;
        if (member_save(m) < 0)
            log_warn("gossip", "the boot epoch cannot be written");
        break;
    case GOSSIP_NOTICE_CONFLICT:
        log_error("gossip", "another process runs with this node's identity: one of the two must "
                            "leave the cluster and join anew");
        break;
    case GOSSIP_NOTICE_SUSPECT:
    case GOSSIP_NOTICE_META:
    case GOSSIP_NOTICE_ADDR:
    case GOSSIP_NOTICE_DONE:
        break;
    }
}

/* A new epoch must be on disk before it is used. */
static int next_boot_epoch(struct member *m)
{
    m->file.boot_epoch++;
    return member_save(m);
}

static size_t copy_keys(const struct cluster_record *record, struct gossip_key *out)
{
    size_t count = 0;

    for (size_t i = 0; i < record->gossip_keys.count && count < GOSSIP_KEYS_MAX; i++) {
        const struct gossip_secret *secret = &record->gossip_keys.items[i];

        if (secret->key.len != GOSSIP_KEY_LEN)
            continue;
        out[count].epoch = (uint32_t)secret->epoch;
        memcpy(out[count].bytes, secret->key.ptr, GOSSIP_KEY_LEN);
        count++;
    }
    return count;
}

/* Secret: the caller wipes *core. */
static int fill_config(struct member *m, const struct cluster_record *record,
                       struct gossip_config *core, struct buf *meta)
{
    int rc;

    gossip_config_init(core);
    core->id = m->identity.cert.node;
    core->cluster = m->identity.cert.cluster;
    memcpy(core->secret_key, m->identity.keys.identity_seed, CLUSTER_KEY_LEN);
    memcpy(core->secret_key + CLUSTER_KEY_LEN, m->identity.keys.identity_key, CLUSTER_KEY_LEN);
    core->key_count = copy_keys(record, core->keys);
    rc = gossip_addr_parse(m->description.gossip_addr, &core->addr);
    if (rc == 0)
        rc = cert_encode(&m->identity.cert, meta);
    if (rc < 0)
        return rc;
    core->meta = buf_slice(meta);
    rc = next_boot_epoch(m);
    core->boot_epoch = m->file.boot_epoch;
    return core->key_count == 0 ? ERR_INVALID : rc;
}

void member_show_cert(struct member *m)
{
    struct buf meta;

    if (m->gossip == NULL)
        return;
    buf_init(&meta, CERT_LEN_MAX);
    if (cert_encode(&m->identity.cert, &meta) == 0)
        gossip_driver_meta(m->gossip, buf_slice(&meta));
    buf_deinit(&meta);
}

/* Managers rotate keys by what their nodes say they have. */
static void tell_keys(struct member *m, const struct cluster_record *record)
{
    struct node_description *d = &m->description;
    uint64_t first = 0, newest = 0;

    for (size_t i = 0; i < record->gossip_keys.count; i++) {
        first = i == 0 ? record->gossip_keys.items[i].epoch : first;
        newest = MAX(newest, record->gossip_keys.items[i].epoch);
    }
    if (d->gossip_key == first && d->gossip_key_newest == newest &&
        m->gossip_key_count == record->gossip_keys.count)
        return;
    m->gossip_key_count = record->gossip_keys.count;
    d->gossip_key = first;
    d->gossip_key_newest = newest;
    log_info("gossip", "gossip is sealed with key %llu, which is %s", (unsigned long long)first,
             record->gossip_keys.count == 1 ? "alone"
             : newest > first               ? "about to be replaced"
                                            : "new");
    traffic_describe(m);
}

void member_open_gossip(struct member *m, const struct cluster_record *record)
{
    struct gossip_driver_config cfg = {
        .loop = m->cfg.loop,
        .bind = m->cfg.options->gossip,
        .transport = gossip_link_transport(m->gossip_link),
        .ctx = m,
        .on_notice = on_notice,
    };
    struct gossip_key keys[GOSSIP_KEYS_MAX];
    struct gossip_config core;
    struct buf meta;
    int rc;

    if (m->gossip != NULL) {
        gossip_driver_keys(m->gossip, keys, copy_keys(record, keys));
        sodium_memzero(keys, sizeof(keys));
        tell_keys(m, record);
        return;
    }
    buf_init(&meta, CERT_LEN_MAX);
    rc = fill_config(m, record, &core, &meta);
    cfg.core = &core;
    if (rc == 0)
        rc = gossip_driver_open(&cfg, &m->gossip);
    sodium_memzero(&core, sizeof(core));
    buf_deinit(&meta);
    if (rc < 0) {
        log_error("gossip", "cannot start on %s: %s", m->cfg.options->gossip, err_text(rc));
        return;
    }
    tell_keys(m, record);
    gossip_link_attach(m->gossip_link, m->gossip);
    gossip_driver_contacts(m->gossip, m->contacts, m->contact_count);
}
