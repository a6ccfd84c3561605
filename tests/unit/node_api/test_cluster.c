/* The cluster's endpoints, from HTTP to the store and back. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "tests/unit/node_api/support_api.h"

static const char web[] = "{\"Name\":\"web\",\"Labels\":{\"tier\":\"front\"},\"TaskTemplate\":{"
                          "\"ContainerSpec\":{\"Image\":\"busybox:latest\"}},\"Mode\":{"
                          "\"Replicated\":{\"Replicas\":3}}}";

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL ? text : "";
}

static void test_ping_tells_the_version_and_the_role(void **state)
{
    struct world w;
    struct answer a;

    (void)state;
    world_open(&w);
    a = ask(&w, "HEAD", "/_ping", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Api-Version: " API_VERSION));
    assert_non_null(strstr(a.head, "Ostype: linux"));
    assert_non_null(strstr(a.head, "Swarm: inactive"));
    assert_int_equal(a.body_len, 0);
    answer_free(&a);
    json_decref(ask_json(&w, "POST", "/v1.41/swarm/init", "{}", 200));
    a = ask(&w, "GET", "/_ping", NULL);
    assert_string_equal(a.body, "OK");
    assert_non_null(strstr(a.head, "Swarm: active/manager"));
    answer_free(&a);
    world_close(&w);
}

static void test_paths_that_are_not_served(void **state)
{
    struct world w;

    (void)state;
    world_open(&w);
    assert_refused(&w, "GET", "/nothing", NULL, 404, "page not found");
    assert_refused(&w, "DELETE", "/version", NULL, 405, "method not allowed");
    assert_refused(&w, "GET", "/v1.23/version", NULL, 400, "1.24 to 1.47");
    assert_refused(&w, "GET", "/v1.99/version", NULL, 400, "1.24 to 1.47");
    assert_refused(&w, "GET", "/v1.x/version", NULL, 400, "malformed path");
    assert_refused(&w, "GET", "/%ff", NULL, 400, "UTF-8");
    json_decref(ask_json(&w, "GET", "/v1.24/version", NULL, 200));
    world_close(&w);
}

static void test_outside_a_cluster_managers_paths_say_how_to_join(void **state)
{
    struct world w;

    (void)state;
    world_open(&w);
    assert_refused(&w, "GET", "/nodes", NULL, 503, "Use \"docker swarm init\"");
    assert_refused(&w, "POST", "/services/create", web, 503, "This node is not a swarm manager.");
    assert_refused(&w, "POST", "/swarm/leave", NULL, 503, "not part of a swarm");
    assert_refused(&w, "POST", "/swarm/unlock", "{\"UnlockKey\":\"k\"}", 409,
                   "swarm is not locked");
    w.membership = API_LOCKED;
    assert_refused(&w, "GET", "/nodes", NULL, 503, "Swarm is encrypted and needs to be unlocked");
    assert_refused(&w, "POST", "/swarm/unlock", "{\"UnlockKey\":\"k\"}", 401, "authentication");
    json_decref(ask_json(&w, "POST", "/swarm/unlock", "{\"UnlockKey\":\"right\"}", 200));
    assert_refused(&w, "GET", "/nodes", NULL, 503, "Worker nodes can't be used");
    world_close(&w);
}

static void test_init_inspect_and_leave(void **state)
{
    struct world w;
    json_t *json, *spec;

    (void)state;
    world_open(&w);
    json = ask_json(&w, "POST", "/swarm/init",
                    "{\"ListenAddr\":\"0.0.0.0:2377\",\"AdvertiseAddr\":\"10.0.0.1\",\"Spec\":{"
                    "\"Labels\":null},\"DefaultAddrPool\":[],\"Availability\":\"\"}",
                    200);
    assert_string_equal(json_string_value(json), w.node_id.text);
    json_decref(json);
    assert_refused(&w, "POST", "/swarm/init", "{}", 503, "already part of a swarm");
    json = ask_json(&w, "GET", "/swarm", NULL, 200);
    assert_memory_equal(text_at(json_object_get(json, "JoinTokens"), "Worker"), "SHTKN-1-", 8);
    assert_string_not_equal(text_at(json_object_get(json, "JoinTokens"), "Worker"),
                            text_at(json_object_get(json, "JoinTokens"), "Manager"));
    assert_int_equal(json_integer_value(json_object_get(json, "SubnetSize")), 24);
    spec = json_object_get(json, "Spec");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(spec, "Orchestration"),
                                                        "TaskHistoryRetentionLimit")),
                     5);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(spec, "CAConfig"), "NodeCertExpiry")),
        INT64_C(90) * 24 * 3600 * 1000000000);
    json_decref(json);
    json = ask_json(&w, "GET", "/info", NULL, 200);
    assert_string_equal(text_at(json_object_get(json, "Swarm"), "LocalNodeState"), "active");
    assert_true(json_is_true(json_object_get(json_object_get(json, "Swarm"), "ControlAvailable")));
    assert_int_equal(json_integer_value(json_object_get(json, "NCPU")), 2);
    json_decref(json);
    assert_refused(&w, "POST", "/swarm/leave", NULL, 503, "participating as a manager");
    json_decref(ask_json(&w, "POST", "/swarm/leave?force=1", NULL, 200));
    assert_int_equal(w.membership, API_INACTIVE);
    world_close(&w);
}

static void test_join(void **state)
{
    struct world w;

    (void)state;
    world_open(&w);
    assert_refused(&w, "POST", "/swarm/join", "{\"JoinToken\":\"x\"}", 400, "RemoteAddrs");
    assert_refused(&w, "POST", "/swarm/join",
                   "{\"RemoteAddrs\":[\"10.0.0.9:2377\"],\"JoinToken\":\"x\"}", 400, "invalid");
    json_decref(ask_json(&w, "POST", "/swarm/join",
                         "{\"RemoteAddrs\":[\"10.0.0.9:2377\"],\"JoinToken\":\"SHTKN-1-a\"}", 200));
    assert_string_equal(w.joined_token, "SHTKN-1-a");
    assert_string_equal(w.joined_remote, "10.0.0.9:2377");
    world_close(&w);
}

static json_int_t cluster_version(struct world *w)
{
    return (json_int_t)store_the_cluster(w->store)->version.index;
}

static void test_rotating_a_token_changes_only_that_token(void **state)
{
    struct world w;
    json_t *before, *after, *spec;
    char path[128], *body;

    (void)state;
    world_open_member(&w);
    before = ask_json(&w, "GET", "/swarm", NULL, 200);
    spec = json_object_get(before, "Spec");
    body = json_dumps(spec, 0);
    (void)snprintf(path, sizeof(path),
                   "/swarm/update?version=%d&rotateWorkerToken=true&rotateManagerToken=false",
                   (int)cluster_version(&w));
    json_decref(ask_json(&w, "POST", path, body, 200));
    after = ask_json(&w, "GET", "/swarm", NULL, 200);
    assert_string_not_equal(text_at(json_object_get(before, "JoinTokens"), "Worker"),
                            text_at(json_object_get(after, "JoinTokens"), "Worker"));
    assert_string_equal(text_at(json_object_get(before, "JoinTokens"), "Manager"),
                        text_at(json_object_get(after, "JoinTokens"), "Manager"));
    assert_refused(&w, "POST", path, body, 500, "update out of sequence");
    (void)snprintf(path, sizeof(path),
                   "/swarm/update?version=%d&rotateWorkerToken=1&rotateManagerToken=1",
                   (int)cluster_version(&w));
    assert_refused(&w, "POST", path, body, 400, "one secret");
    free(body);
    json_decref(before);
    json_decref(after);
    world_close(&w);
}

static void test_nodes(void **state)
{
    struct world w;
    json_t *json;
    char path[128];

    (void)state;
    world_open_member(&w);
    json = ask_json(&w, "GET", "/nodes", NULL, 200);
    assert_int_equal(json_array_size(json), 1);
    json_decref(json);
    json = ask_json(&w, "GET", "/nodes?filters=%7B%22role%22%3A%5B%22worker%22%5D%7D", NULL, 200);
    assert_int_equal(json_array_size(json), 0);
    json_decref(json);
    assert_refused(&w, "GET", "/nodes?filters=%7B%22x%22%3A%5B%22y%22%5D%7D", NULL, 400,
                   "invalid filter 'x'");
    json = ask_json(&w, "GET", "/nodes/self", NULL, 200);
    assert_true(json_is_true(json_object_get(json_object_get(json, "ManagerStatus"), "Leader")));
    assert_string_equal(text_at(json_object_get(json, "ManagerStatus"), "Reachability"),
                        "reachable");
    (void)snprintf(
        path, sizeof(path), "/nodes/%s/update?version=%d", w.node_id.text,
        (int)json_integer_value(json_object_get(json_object_get(json, "Version"), "Index")));
    json_decref(json);
    json_decref(ask_json(&w, "POST", path,
                         "{\"Labels\":{\"zone\":\"a\"},\"Role\":\"manager\",\"Availability\":"
                         "\"drain\"}",
                         200));
    assert_int_equal(store_node(w.store, &w.node_id)->spec.availability, AVAILABILITY_DRAIN);
    assert_refused(&w, "POST", path, "{\"Role\":\"manager\"}", 500, "update out of sequence");
    assert_refused(&w, "POST", "/nodes/self/update", "{}", 400, "version");
    assert_refused(&w, "GET", "/nodes/nobody", NULL, 404, "nobody");
    world_close(&w);
}

static void test_services(void **state)
{
    struct world w;
    json_t *json, *created;
    const struct object *service;
    char path[160];

    (void)state;
    world_open_member(&w);
    created = ask_json(&w, "POST", "/services/create", web, 201);
    assert_int_equal(strlen(text_at(created, "ID")), ID_LEN);
    json_decref(created);
    assert_refused(&w, "POST", "/services/create", web, 409, "web");
    assert_refused(&w, "POST", "/services/create", "{\"Name\":1}", 400, "Name");
    assert_refused(&w, "POST", "/services/create", "{", 400, "");
    json = ask_json(&w, "GET",
                    "/services?status=true&filters=%7B%22name%22%3A%7B%22we%22%3Atrue%7D%7D", NULL,
                    200);
    assert_int_equal(json_array_size(json), 1);
    assert_int_equal(
        json_integer_value(json_object_get(
            json_object_get(json_array_get(json, 0), "ServiceStatus"), "DesiredTasks")),
        3);
    json_decref(json);
    json = ask_json(&w, "GET", "/services/web?insertDefaults=true", NULL, 200);
    assert_string_equal(
        text_at(json_object_get(json_object_get(json, "Spec"), "UpdateConfig"), "Order"),
        "stop-first");
    json_decref(json);
    service = store_find_name(w.store, OBJECT_SERVICE, "web");
    (void)snprintf(path, sizeof(path), "/services/%s/update?version=%d", service->id.text,
                   (int)service->version.index);
    json_decref(ask_json(&w, "POST", path,
                         "{\"Name\":\"web\",\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":"
                         "\"busybox:2\"}},\"Mode\":{\"Replicated\":{\"Replicas\":5}}}",
                         200));
    assert_refused(&w, "POST", path, web, 500, "update out of sequence");
    service = store_find_name(w.store, OBJECT_SERVICE, "web");
    (void)snprintf(path, sizeof(path), "/services/web/update?version=%d&rollback=previous",
                   (int)service->version.index);
    json_decref(ask_json(&w, "POST", path, "{}", 200));
    service = store_find_name(w.store, OBJECT_SERVICE, "web");
    assert_string_equal(((const struct service *)(const void *)service)->spec.task.container->image,
                        "busybox:latest");
    json = ask_json(&w, "GET", "/services/web/why", NULL, 200);
    assert_true(json_is_false(json_object_get(json, "AsDesired")));
    assert_string_equal(text_at(json_array_get(json_object_get(json, "Reasons"), 0), "Code"),
                        "waits_for_managers"); /* there is no control in this world */
    json_decref(json);
    json_decref(ask_json(&w, "DELETE", "/services/web", NULL, 200));
    assert_refused(&w, "GET", "/services/nobody", NULL, 404, "nobody");
    assert_refused(&w, "GET", "/services/nobody/why", NULL, 404, "nobody");
    world_close(&w);
}

static void test_networks_secrets_and_configs(void **state)
{
    struct world w;
    json_t *json;

    (void)state;
    world_open_member(&w);
    json_decref(ask_json(&w, "POST", "/networks/create",
                         "{\"Name\":\"back\",\"Driver\":\"overlay\",\"IPAM\":{\"Driver\":"
                         "\"default\",\"Options\":{},\"Config\":[]},\"ConfigFrom\":null}",
                         201));
    json = ask_json(&w, "GET", "/networks/back", NULL, 200);
    assert_string_equal(text_at(json, "Driver"), "overlay");
    assert_string_equal(text_at(json, "Scope"), "swarm");
    json_decref(json);
    json = ask_json(&w, "GET", "/networks?filters=%7B%22name%22%3A%5B%22ac%22%5D%7D", NULL, 200);
    assert_int_equal(json_array_size(json), 1);
    json_decref(json);
    json_decref(ask_json(&w, "DELETE", "/networks/back", NULL, 204));
    assert_refused(&w, "GET", "/networks/nobody", NULL, 404, "nobody");

    json_decref(ask_json(&w, "POST", "/secrets/create", "{\"Name\":\"s\",\"Data\":\"c2Vj\"}", 201));
    json = ask_json(&w, "GET", "/secrets/s", NULL, 200);
    assert_null(json_object_get(json_object_get(json, "Spec"), "Data"));
    json_decref(json);
    json_decref(ask_json(&w, "POST", "/configs/create", "{\"Name\":\"c\",\"Data\":\"Y29u\"}", 201));
    json =
        ask_json(&w, "GET", "/configs?filters=%7B%22names%22%3A%7B%22c%22%3Atrue%7D%7D", NULL, 200);
    assert_string_equal(text_at(json_object_get(json_array_get(json, 0), "Spec"), "Data"), "Y29u");
    json_decref(json);
    json_decref(ask_json(&w, "DELETE", "/secrets/s", NULL, 204));
    json_decref(ask_json(&w, "DELETE", "/configs/c", NULL, 204));
    assert_refused(&w, "DELETE", "/configs/c", NULL, 404, "c");
    world_close(&w);
}

static void test_a_change_that_loses_a_race_is_decided_anew(void **state)
{
    struct world w;

    (void)state;
    world_open_member(&w);
    w.stale_count = 2;
    json_decref(ask_json(&w, "POST", "/services/create", web, 201));
    assert_int_equal(w.proposals, 3);
    w.stale_count = 100;
    assert_refused(&w, "POST", "/configs/create", "{\"Name\":\"c\",\"Data\":\"Y29u\"}", 500,
                   "update out of sequence");
    world_close(&w);
}

static void test_without_a_quorum_the_answer_says_so(void **state)
{
    struct world w;

    (void)state;
    world_open_member(&w);
    w.fail_read = ERR_UNAVAILABLE;
    assert_refused(&w, "GET", "/nodes", NULL, 503, "The swarm does not have a leader.");
    w.fail_propose = ERR_TIMEOUT;
    assert_refused(&w, "POST", "/services/create", web, 503, "The swarm does not have a leader.");
    world_close(&w);
}

static void test_a_body_over_the_limit_is_refused(void **state)
{
    struct world w;
    size_t len = API_BODY_MAX + 2;
    char *body = malloc(len + 1);

    (void)state;
    assert_non_null(body);
    memset(body, ' ', len);
    body[len] = '\0';
    world_open_member(&w);
    assert_refused(&w, "POST", "/services/create", body, 413, "limit");
    free(body);
    world_close(&w);
}

static void test_events_since_are_told_and_end_at_until(void **state)
{
    struct world w;
    struct answer a;

    (void)state;
    world_open_member(&w);
    json_decref(ask_json(&w, "POST", "/services/create", web, 201));
    a = ask(&w, "GET",
            "/events?since=1&until=0s&filters=%7B%22type%22%3A%7B%22service%22%3Atrue%7D%7D", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"Action\":\"create\""));
    assert_non_null(strstr(a.body, "\"name\":\"web\""));
    assert_null(strstr(a.body, "\"Type\":\"node\""));
    answer_free(&a);
    world_close(&w);
}

static void close_when_a_call_waits(uv_prepare_t *prepare)
{
    struct world *w = prepare->data;

    if (w->pending == NULL)
        return;
    world_close_api(w);
    uv_close((uv_handle_t *)prepare, NULL);
}

static void test_closing_answers_what_still_waits(void **state)
{
    struct world w;
    uv_prepare_t prepare;

    (void)state;
    world_open_member(&w);
    assert_int_equal(uv_prepare_init(&w.loop, &prepare), 0);
    prepare.data = &w;
    assert_int_equal(uv_prepare_start(&prepare, close_when_a_call_waits), 0);
    w.silent = 1;
    assert_refused(&w, "GET", "/nodes", NULL, 503, "the daemon is stopping");
    assert_false(w.closed); /* the daemon still owes an answer to the API */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_tells_the_version_and_the_role),
        cmocka_unit_test(test_paths_that_are_not_served),
        cmocka_unit_test(test_outside_a_cluster_managers_paths_say_how_to_join),
        cmocka_unit_test(test_init_inspect_and_leave),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_rotating_a_token_changes_only_that_token),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_networks_secrets_and_configs),
        cmocka_unit_test(test_a_change_that_loses_a_race_is_decided_anew),
        cmocka_unit_test(test_without_a_quorum_the_answer_says_so),
        cmocka_unit_test(test_a_body_over_the_limit_is_refused),
        cmocka_unit_test(test_events_since_are_told_and_end_at_until),
        cmocka_unit_test(test_closing_answers_what_still_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
