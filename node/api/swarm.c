/* node/api/swarm.c - /swarm: becoming and being a member of a cluster. */
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "base/err.h"
#include "base/time_text.h"
#include "node/api/api_impl.h"
#include "node/api/messages.h"
#include "node/api/tls_info.h"
#include "node/cluster/ca.h"
#include "node/cluster/token.h"

#define SUBNET_SIZE_DEFAULT 24
#define UNLOCK_KEY_LEN      32
#define UNLOCK_KEY_PREFIX   "SWMKEY-1-"

/* Of init, join, leave and unlock: there is nothing in the body but perhaps the node's id. */
static void on_membership(struct request *r, int err, const char *why, bool with_id)
{
    struct api_status st;

    if (request_is_over(r)) {
        request_release(r); /* the daemon is stopping */
        return;
    }
    if (err < 0) {
        reply_error(r, err, why);
    } else if (with_id) {
        request_status(r, &st);
        reply_json(r, MHD_HTTP_OK, json_string(st.node_id.text));
    } else {
        reply_empty(r, MHD_HTTP_OK);
    }
    request_release(r);
}

static void on_init(void *owner, int err, const char *why)
{
    on_membership(owner, err, why, true);
}

static void on_done(void *owner, int err, const char *why)
{
    on_membership(owner, err, why, false);
}

/* Refuses to start another membership. */
static bool is_member(struct request *r)
{
    struct api_status st;

    request_status(r, &st);
    if (st.membership == API_INACTIVE)
        return false;
    reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE,
                 "This node is already part of a swarm. Use \"docker swarm leave\" to leave this "
                 "swarm and join another one.");
    return true;
}

/* "10.0.0.1:2377" to "10.0.0.1": the port is that of the listener. Cuts `addr`. */
static const char *without_port(char *addr)
{
    char *colon;

    if (addr == NULL || addr[0] == '\0')
        return NULL;
    colon = strrchr(addr, ':');
    if (colon != NULL && strchr(addr, ':') == colon)
        *colon = '\0'; /* more than one colon: IPv6 without a port */
    return addr;
}

static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

void handle_swarm_init(struct request *r)
{
    const struct api_backend *b = &r->api->cfg.backend;
    struct swarm_init msg = { 0 };
    struct admit check = { .err = &r->err };
    int rc;

    if (!request_parse(r, &swarm_init_type, &msg))
        return;
    if (msg.auto_lock)
        msg.spec.encryption.auto_lock = true;
    rc = admit_cluster_spec(&check, &msg.spec);
    if (rc < 0) {
        fields_deinit(&swarm_init_type, &msg);
        reply_error(r, rc, r->err.text);
        return;
    }
    if (!msg.force_new_cluster && is_member(r)) {
        fields_deinit(&swarm_init_type, &msg);
        return;
    }
    request_hold(r);
    b->init(b->ctx,
            &(struct api_init){
                .listen = or_null(msg.listen_addr),
                .advertise = without_port(msg.advertise_addr),
                .spec = &msg.spec,
                .address_pools = (const char *const *)msg.address_pools.items,
                .address_pool_count = msg.address_pools.count,
                .subnet_size = msg.subnet_size,
                .data_port = msg.data_port,
                .availability = msg.availability,
                .force_new_cluster = msg.force_new_cluster,
            },
            on_init, r);
    fields_deinit(&swarm_init_type, &msg);
}

void handle_swarm_join(struct request *r)
{
    const struct api_backend *b = &r->api->cfg.backend;
    struct swarm_join msg = { 0 };

    if (!request_parse(r, &swarm_join_type, &msg))
        return;
    if (is_member(r)) {
        fields_deinit(&swarm_join_type, &msg);
        return;
    }
    request_hold(r);
    b->join(b->ctx,
            &(struct api_join){
                .listen = or_null(msg.listen_addr),
                .advertise = without_port(msg.advertise_addr),
                .remotes = (const char *const *)msg.remote_addrs.items,
                .remote_count = msg.remote_addrs.count,
                .token = msg.join_token,
                .availability = msg.availability,
            },
            on_done, r);
    fields_deinit(&swarm_join_type, &msg);
}

void handle_swarm_leave(struct request *r)
{
    const struct api_backend *b = &r->api->cfg.backend;
    bool forced = request_flag(r, "force");
    const char *no = NULL;
    struct api_status st;

    request_status(r, &st);
    if (st.membership == API_INACTIVE)
        no = "This node is not part of a swarm";
    else if (st.is_manager && !forced)
        no = "You are attempting to leave the swarm on a node that is participating as a manager. "
             "Removing the last manager erases all current state of the swarm. Use `--force` to "
             "ignore this message. ";
    if (no != NULL) {
        reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", no);
        return;
    }
    request_hold(r);
    b->leave(b->ctx, forced ? API_LEAVE_FORCED : API_LEAVE, on_done, r);
}

void handle_swarm_unlock(struct request *r)
{
    const struct api_backend *b = &r->api->cfg.backend;
    struct swarm_unlock msg = { 0 };
    struct api_status st;

    if (!request_parse(r, &swarm_unlock_type, &msg))
        return;
    request_status(r, &st);
    if (st.membership != API_LOCKED || b->unlock == NULL) {
        reply_status(r, MHD_HTTP_CONFLICT, "swarm is not locked");
    } else {
        request_hold(r);
        b->unlock(b->ctx, msg.key, on_done, r);
    }
    fields_deinit(&swarm_unlock_type, &msg);
}

/* --- The cluster object --------------------------------------------------------------------- */

/* What the spec leaves open, as it is understood. */
static int insert_defaults(json_t *spec, const struct cluster_spec *s)
{
    json_t *orchestration = json_object_get(spec, "Orchestration");
    json_t *ca = json_object_get(spec, "CAConfig");
    int rc = 0;

    if (s->orchestration.task_history == NULL)
        rc |= json_object_set_new(orchestration, "TaskHistoryRetentionLimit",
                                  json_integer(TASK_HISTORY_DEFAULT));
    if (s->ca.node_cert_expiry == 0)
        rc |= json_object_set_new(ca, "NodeCertExpiry", json_integer(CERT_VALIDITY_NS));
    return rc;
}

/* A client that read a spec sends the defaults back with it: what was left open stays open. */
static void drop_defaults(struct cluster_spec *spec, const struct cluster_spec *held)
{
    int64_t *history = spec->orchestration.task_history;

    if (held->orchestration.task_history == NULL && history != NULL &&
        *history == TASK_HISTORY_DEFAULT) {
        free(history);
        spec->orchestration.task_history = NULL;
    }
    if (held->ca.node_cert_expiry == 0 && spec->ca.node_cert_expiry == CERT_VALIDITY_NS)
        spec->ca.node_cert_expiry = 0;
}

json_t *swarm_json(const struct request *r, const struct cluster *c)
{
    json_t *json = NULL;
    int rc = fields_to_json(&cluster_type, c, FIELDS_JSON_PLAIN, &json);

    (void)r;
    if (rc < 0)
        return NULL;
    if (c->subnet_size == 0)
        rc |= json_object_set_new(json, "SubnetSize", json_integer(SUBNET_SIZE_DEFAULT));
    rc |= insert_defaults(json_object_get(json, "Spec"), &c->spec);
    rc |= json_object_set_new(json, "TLSInfo",
                              c->roots.count == 0 ? json_object()
                                                  : tls_info_json(c->roots.items[0].public_key));
    rc |= json_object_set_new(json, "RootRotationInProgress", json_boolean(c->roots.count > 1));
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

/* NULL where the secret is missing or not ours to see. While roots rotate a token names the oldest:
 * a joiner follows the signatures from there, and not every manager can be known by the newest. */
static json_t *token_json(const struct cluster *c, const struct bytes *secret)
{
    struct join_token t;
    char text[TOKEN_LEN + 1];
    json_t *json;

    if (c->roots.count == 0 || secret->len != TOKEN_SECRET_LEN)
        return json_string("");
    token_init(&t, c->roots.items[c->roots.count - 1].public_key, secret->ptr);
    token_format(&t, text);
    json = json_string(text);
    sodium_memzero(&t, sizeof(t));
    sodium_memzero(text, sizeof(text));
    return json;
}

void handle_swarm_inspect(struct request *r)
{
    const struct cluster *c = store_the_cluster(request_store(r));
    json_t *json;

    if (c == NULL) {
        reply_error(r, ERR_UNAVAILABLE, "the cluster is still being created; try again");
        return;
    }
    json = swarm_json(r, c);
    if (json_object_set_new(json, "JoinTokens",
                            json_pack("{s:o,s:o}", "Worker", token_json(c, &c->join.worker),
                                      "Manager", token_json(c, &c->join.manager))) < 0) {
        json_decref(json);
        json = NULL;
    }
    reply_json(r, MHD_HTTP_OK, json);
}

/* Which secret to renew: a value of enum admit_rotation, 0 for none, or -1 for several at once. */
static int rotation_of(const struct request *r)
{
    bool worker = request_flag(r, "rotateWorkerToken");
    bool manager = request_flag(r, "rotateManagerToken");
    bool key = request_flag(r, "rotateManagerUnlockKey");

    if (worker + manager + key > 1)
        return -1;
    return worker    ? ROTATE_WORKER_TOKEN
           : manager ? ROTATE_MANAGER_TOKEN
           : key     ? ROTATE_UNLOCK_KEY
                     : 0;
}

static int rotate(struct admit *a, int what, uint64_t version)
{
    const struct cluster *c = store_the_cluster(a->store);
    uint8_t secret[UNLOCK_KEY_LEN];
    size_t len = what == ROTATE_UNLOCK_KEY ? sizeof(secret) : TOKEN_SECRET_LEN;
    int rc;

    if (c == NULL || c->version.index != version)
        return ERR_STALE;
    randombytes_buf(secret, sizeof(secret));
    rc = admit_rotate(a, (unsigned)what, slice_of(secret, len));
    sodium_memzero(secret, sizeof(secret));
    return rc;
}

/* The authority is the cluster's own: what Docker lets users bring is refused, not ignored. */
static bool brings_foreign_root(const struct request *r)
{
    static const char *const members[] = { "SigningCACert", "SigningCAKey", "ExternalCAs" };
    json_t *body = json_loadb((const char *)r->body.ptr, r->body.len, 0, NULL);
    const json_t *ca = json_object_get(body, "CAConfig");
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const json_t *value = json_object_get(ca, members[i]);

        found = found || json_string_length(value) > 0 || json_array_size(value) > 0;
    }
    json_decref(body);
    return found;
}

static int rotate_root(struct admit *a, const struct cluster *c, uint64_t version,
                       const struct cluster_spec *spec)
{
    uint8_t seed[CLUSTER_KEY_LEN];
    struct ca_root root = { 0 };
    int rc;

    if (c->roots.count == 0)
        return ERR_UNAVAILABLE;
    randombytes_buf(seed, sizeof(seed));
    rc = ca_succeed(&c->roots.items[0], &c->id, seed, &root);
    sodium_memzero(seed, sizeof(seed));
    if (rc == 0)
        rc = admit_root_rotate(a, version, spec, &root);
    fields_deinit(&ca_root_type, &root);
    return rc;
}

/* Docker's clients ask for a rotation by counting ForceRotate up. */
static int update(struct request *r, struct admit *a, uint64_t version,
                  const struct cluster_spec *spec)
{
    const struct cluster *c = store_the_cluster(a->store);
    const char *period = request_query(r, "gossipKeyPeriod");
    int64_t ns;

    if (period != NULL) {
        if (duration_parse(slice_of_str(period), &ns) == 0 && ns >= 0)
            return admit_gossip_key_period(a, version, ns);
        (void)snprintf(r->err.text, sizeof(r->err.text),
                       "gossipKeyPeriod=%.32s: write a length of time such as 12h", period);
        return ERR_INVALID;
    }

    if (brings_foreign_root(r)) {
        (void)snprintf(r->err.text, sizeof(r->err.text),
                       "the authority of a cluster is its own: certificates and keys from outside "
                       "are not taken, `shoal ca --rotate` makes new ones");
        return ERR_INVALID;
    }
    if (c != NULL && spec->ca.force_rotate != c->spec.ca.force_rotate)
        return rotate_root(a, c, version, spec);
    return admit_cluster_update(a, version, spec);
}

void handle_swarm_update(struct request *r)
{
    struct cluster_spec spec = { 0 };
    const struct cluster *c = store_the_cluster(request_store(r));
    struct admit a = { 0 };
    uint64_t version;
    int what = rotation_of(r), rc;

    if (!request_version(r, &version) || !request_parse(r, &cluster_spec_type, &spec))
        return;
    if (c != NULL)
        drop_defaults(&spec, &c->spec);
    request_admit(r, &a);
    if (what < 0 || (what > 0 && c != NULL && !fields_equal(&cluster_spec_type, &spec, &c->spec))) {
        (void)snprintf(r->err.text, sizeof(r->err.text),
                       "one request may change the settings or rotate one secret, not both");
        rc = ERR_INVALID;
    } else {
        rc = what > 0 ? rotate(&a, what, version) : update(r, &a, version, &spec);
    }
    fields_deinit(&cluster_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_OK, NULL);
}

void handle_swarm_unlock_key(struct request *r)
{
    const struct cluster *c = store_the_cluster(request_store(r));
    char text[sizeof(UNLOCK_KEY_PREFIX) +
              sodium_base64_ENCODED_LEN(UNLOCK_KEY_LEN,
                                        sodium_base64_VARIANT_ORIGINAL_NO_PADDING)] = "";
    size_t prefix = sizeof(UNLOCK_KEY_PREFIX) - 1;

    if (c != NULL && c->spec.encryption.auto_lock && c->unlock_key.len == UNLOCK_KEY_LEN) {
        memcpy(text, UNLOCK_KEY_PREFIX, prefix);
        (void)sodium_bin2base64(text + prefix, sizeof(text) - prefix, c->unlock_key.ptr,
                                c->unlock_key.len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    }
    reply_json(r, MHD_HTTP_OK, json_pack("{s:s}", "UnlockKey", text));
    sodium_memzero(text, sizeof(text));
}
