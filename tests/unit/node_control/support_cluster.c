#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node_control/support_cluster.h"

struct field_error world_error;
static struct transaction pending;
static struct admit admit;

struct admit *world_admit(struct world *w)
{
    world_error.text[0] = '\0';
    admit = (struct admit){
        .store = w->store, .ids = &w->ids, .wall = w->now.wall, .out = &pending, .err = &world_error
    };
    return &admit;
}

static void apply(struct world *w, struct transaction *t)
{
    struct store_changes changes;
    struct field_error why = { "" };
    int rc;

    t->at = w->now.wall;
    rc = store_apply(w->store, ++w->index, t, &changes, &why);
    if (rc < 0)
        fail_msg("refused: %s", why.text);
    control_changed(w->control, &changes);
    fields_deinit(&transaction_type, t);
}

int world_apply(struct world *w, int rc)
{
    if (rc == 0)
        apply(w, &pending);
    else
        fields_deinit(&transaction_type, &pending);
    return rc;
}

static struct id fresh_id(struct world *w)
{
    uint8_t bits[ID_RANDOM_LEN];

    prng_bytes(&w->ids, bits, sizeof(bits));
    return id_from_random(bits);
}

static struct node make_node(struct world *w, size_t i)
{
    struct node n = { .id = fresh_id(w) };
    char text[32];

    n.spec.role = i == 0 ? ROLE_MANAGER : ROLE_WORKER;
    n.status.state = NODE_READY;
    n.description.resources.nano_cpus = 4 * SECOND;
    n.description.resources.memory_bytes = INT64_C(8) << 30;
    (void)snprintf(text, sizeof(text), "h%zu", i + 1);
    assert_int_equal(str_set(&n.description.hostname, text), 0);
    (void)snprintf(text, sizeof(text), "10.1.0.%zu:2377", i + 1);
    assert_int_equal(str_list_append(&n.description.link_addrs, text), 0);
    return n;
}

void world_init(struct world *w, size_t nodes)
{
    struct control_config cfg = { .seed = 7, .unknown_grace_ns = 10 * NS_PER_S };
    struct cluster cluster = { .subnet_size = 24 };

    *w = (struct world){ .now = { .mono = NS_PER_S, .wall = INT64_C(1700000000) * SECOND } };
    prng_init(&w->ids, 42);
    assert_int_equal(store_new(&w->store), 0);
    for (size_t i = 0; i < nodes; i++) {
        struct node n = make_node(w, i);

        w->nodes[w->node_count++] = n.id;
        cfg.node_id = w->nodes[0];
        if (i == 0) {
            assert_int_equal(control_new(&cfg, &w->control), 0);
            cluster.id = fresh_id(w);
            assert_int_equal(world_apply(w, admit_cluster_init(world_admit(w), &cluster, &n)), 0);
        } else {
            assert_int_equal(world_apply(w, admit_node_join(world_admit(w), &n)), 0);
        }
        fields_deinit(&node_type, &n);
    }
    control_start(w->control, w->store, w->now);
    for (size_t i = 0; i < nodes; i++)
        control_heard(w->control, &w->nodes[i], CONTROL_ALIVE, w->now);
    (void)world_settle(w);
}

void world_deinit(struct world *w)
{
    control_free(w->control);
    store_free(w->store);
}

void world_plan(struct world *w, struct control_output *out)
{
    apply(w, &out->plan);
    control_planned(w->control, 0);
}

size_t world_settle(struct world *w)
{
    size_t plans = 0;

    for (int turn = 0; turn < 100; turn++) {
        struct control_output out;

        assert_int_equal(control_turn(w->control, w->store, w->now, &out), 0);
        if (out.plan.changes.count == 0) {
            fields_deinit(&transaction_type, &out.plan);
            w->plans += plans;
            return plans;
        }
        plans++;
        world_plan(w, &out);
    }
    fail_msg("the reconcilers never come to rest");
    return plans;
}

void world_advance(struct world *w, int64_t ns)
{
    w->now.mono += (uint64_t)ns;
    w->now.wall += ns;
}

void world_report(struct world *w, const struct task *t, enum task_state state, int64_t exit_code)
{
    struct container_status container = { .exit_code = exit_code };
    struct reported row = { .task_id = t->id };
    struct report report = { .sequence = 1, .tasks = { .items = &row, .count = 1 } };

    row.status.state = state;
    row.status.timestamp = w->now.wall;
    row.status.healthy = state == TASK_RUNNING;
    row.status.container = &container;
    assert_int_equal(control_reported(w->control, &t->node_id, &report, w->now), 0);
}

static bool node_is_up(struct world *w, const struct id *id)
{
    const struct node *n = store_node(w->store, id);

    return n != NULL && n->status.state == NODE_READY;
}

void world_agents(struct world *w)
{
    struct store_iter it;

    STORE_EACH(&it, w->store, OBJECT_TASK, struct task, t)
    {
        enum task_state to = t->desired_state >= TASK_SHUTDOWN ? TASK_SHUTDOWN : t->desired_state;

        if (t->status.state < TASK_ASSIGNED || t->status.state >= to ||
            task_state_is_terminal(t->status.state) || !node_is_up(w, &t->node_id))
            continue;
        world_report(w, t, to, 0);
    }
    (void)world_settle(w);
}

struct id world_service(struct world *w, const char *name, uint64_t replicas)
{
    struct replicated replicated = { .replicas = &replicas };
    char image[] = "web:1", *text = strdup(name);
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = text };
    struct id id;

    spec.task.container = &container;
    spec.mode.replicated = &replicated;
    if (world_apply(w, admit_service_create(world_admit(w), &spec, &id)) < 0)
        fail_msg("%s", world_error.text);
    free(text);
    return id;
}

size_t world_count(struct world *w, const struct id *service, enum task_state state)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, w->store, service, t)
    count += t->status.state == state;
    return count;
}

size_t world_live(struct world *w, const struct id *service)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, w->store, service, t)
    count += t->desired_state <= TASK_RUNNING;
    return count;
}

const struct task *world_task(struct world *w, const struct id *service, uint64_t slot)
{
    struct store_iter it;

    STORE_EACH_OF_SERVICE(&it, w->store, service, t)
    if (t->slot == slot && t->desired_state <= TASK_RUNNING)
        return t;
    return NULL;
}

struct id world_create(struct world *w, const char *name, uint64_t replicas, struct task_spec task,
                       struct endpoint_spec *endpoint)
{
    struct replicated replicated = { .replicas = &replicas };
    char image[] = "web:1", *text = strdup(name);
    struct task_container container = { .image = image };
    struct service_spec spec = {
        .name = text, .task = task, .mode.replicated = &replicated, .endpoint = endpoint
    };
    struct id id;

    spec.task.container = &container;
    if (world_apply(w, admit_service_create(world_admit(w), &spec, &id)) < 0)
        fail_msg("%s", world_error.text);
    free(text);
    (void)world_settle(w);
    return id;
}

void world_change(struct world *w, const struct id *service, uint64_t replicas, const char *image,
                  const struct update_config *update)
{
    const struct service *s = store_service(w->store, service);
    struct service_spec spec;

    assert_int_equal(fields_copy(&service_spec_type, &s->spec, &spec), 0);
    assert_int_equal(str_set(&spec.task.container->image, image), 0);
    *spec.mode.replicated->replicas = replicas;
    if (update != NULL) { /* it owns nothing */
        if (spec.update == NULL)
            spec.update = malloc(sizeof(*spec.update));
        assert_non_null(spec.update);
        *spec.update = *update;
    }
    assert_int_equal(
        world_apply(w, admit_service_update(world_admit(w), service, s->version.index, &spec)), 0);
    fields_deinit(&service_spec_type, &spec);
    (void)world_settle(w);
}
