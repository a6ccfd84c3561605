/* The stock docker client against the API: a fake cluster, real containers. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/node_api/support_api.h"

static void assert_says(struct world *w, const char *script, const char *part)
{
    char *text = run_script(w, script);

    if (strstr(text, part) == NULL)
        fail_msg("%s\nprinted:\n%s\nwithout: %s", script, text, part);
    free(text);
}

static int skip_where_it_cannot_run(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    return 0;
}

#define NEEDS_HOST()                                                  \
    do {                                                              \
        const char *missing = world_host_missing();                   \
                                                                      \
        if (missing != NULL) {                                        \
            print_message("skipped: this host has no %s\n", missing); \
            skip();                                                   \
        }                                                             \
    } while (0)

static void test_cluster_commands(void **state)
{
    struct world w;

    (void)state;
    NEEDS_HOST();
    world_open_host(&w);
    assert_says(&w, "docker version", "API version:      " API_VERSION);
    assert_says(&w, "docker info", "Is Manager: true");
    assert_says(&w, "docker node ls", "Leader");
    assert_says(&w, "docker swarm join-token -q worker", "SHTKN-1-");
    assert_says(&w, "docker swarm join-token --rotate -q worker", "SHTKN-1-");
    assert_says(&w, "docker node update --availability drain host1 && docker node ls", "Drain");
    assert_says(&w,
                "docker network create -d overlay --subnet 10.9.0.0/24 back && "
                "docker network inspect back",
                "10.9.0.0/24");
    assert_says(&w, "docker network ls", "overlay");
    assert_says(&w, "printf x | docker secret create s - && docker secret ls", "s ");
    assert_says(&w, "printf x | docker config create c - && docker config inspect --pretty c", "x");
    assert_says(&w,
                "docker service create -d --name web --network back --secret s --config c "
                "--replicas 2 -p 8080:80 busybox sleep 1d 2>/dev/null && docker service ls",
                "0/2");
    assert_says(&w, "docker service scale -d web=5 && docker service ls", "0/5");
    assert_says(&w,
                "docker service update -d --image busybox:2 web && "
                "docker service inspect --pretty web",
                "busybox:2");
    assert_says(&w, "docker service rollback -d web && docker service inspect web",
                "busybox:latest");
    assert_says(&w, "docker service ps web 2>&1; docker service rm web", "web");
    assert_says(&w,
                "docker service create -d --name nightly --mode replicated-job --replicas 3 "
                "busybox true && docker service ls",
                "0/3 (0/3 completed)");
    assert_says(&w,
                "docker service update -d --force nightly && docker service inspect -f "
                "'iteration {{.JobStatus.JobIteration.Index}}' nightly",
                "iteration 1");
    assert_says(&w,
                "docker service create -d --name everywhere --mode global-job busybox true && "
                "docker service ls --filter mode=global-job",
                "global job");
    assert_says(&w, "docker service rm nightly everywhere", "nightly");
    assert_says(&w,
                "docker service inspect -f '{{.Spec.Name}}' $(docker service create -d busybox) | "
                "grep -qE '^[a-z]+_[a-z]+$' && echo named",
                "named");
    assert_says(&w, "docker secret rm s; docker config rm c; docker network rm back", "back");
    assert_says(&w, "docker service inspect nobody 2>&1 || true", "no such service");
    assert_says(&w, "docker events --since 1h --until 0s --filter type=network", "create");
    assert_says(&w, "docker swarm leave 2>&1 || docker swarm leave --force", "left");
    world_close(&w);
}

static void test_image_commands(void **state)
{
    struct world w;

    (void)state;
    NEEDS_HOST();
    world_open_host(&w);
    assert_says(&w, "docker images", "busybox");
    assert_says(&w, "docker tag busybox local/bb:1 && docker images", "local/bb");
    assert_says(&w, "docker image inspect local/bb:1", "\"local/bb:1\"");
    assert_says(&w, "docker save -o $DIR/bb.tar local/bb:1 && docker rmi local/bb:1",
                "Untagged: local/bb:1");
    assert_says(&w, "docker load -i $DIR/bb.tar", "Loaded image: local/bb:1");
    assert_says(&w, "docker save nobody 2>&1 >/dev/null || true", "nobody");
    assert_says(&w, "docker image history busybox", "IMAGE");
    assert_says(&w, "head -c 100000 /dev/zero | docker load 2>&1 || true", "Error");
    assert_says(&w, "docker volume create v1 && docker volume ls && docker volume rm v1", "local");
    assert_says(&w, "docker system df", "Images");
    world_close(&w);
}

static void test_container_commands(void **state)
{
    struct world w;
    struct id task;
    char script[256];

    (void)state;
    NEEDS_HOST();
    world_open_host(&w);
    assert_says(&w, "docker service create -d --name web busybox 2>/dev/null && echo made", "made");
    task = world_start_task(&w, "web", "echo out; echo err >&2; sleep 1d");
    assert_says(&w, "docker ps", "Up ");
    assert_says(&w, "docker ps -q --no-trunc --filter label=com.docker.swarm.service.name=web",
                task.text);
    (void)snprintf(script, sizeof(script), "docker inspect -f '{{.State.Status}}' %s", task.text);
    assert_says(&w, script, "running");
    (void)snprintf(script, sizeof(script), "until docker logs %s 2>&1 | grep err; do :; done",
                   task.text);
    assert_says(&w, script, "err");
    assert_says(&w, "docker service logs web 2>&1", "web.1.");
    assert_says(&w, "docker service logs --raw -t web 2>/dev/null", "Z out");
    assert_says(&w, "timeout 2 docker service logs -f web 2>/dev/null || test $? = 124", "out");
    (void)snprintf(script, sizeof(script), "docker exec %s echo hello", task.text);
    assert_says(&w, script, "hello");
    (void)snprintf(script, sizeof(script), "printf in | docker exec -i %s cat", task.text);
    assert_says(&w, script, "in");
    (void)snprintf(script, sizeof(script), "docker exec %s sh -c 'exit 7' || echo code $?",
                   task.text);
    assert_says(&w, script, "code 7");
    (void)snprintf(script, sizeof(script), "! docker exec %s nothing 2>&1", task.text);
    assert_says(&w, script, "not found");
    (void)snprintf(script, sizeof(script),
                   "docker exec %s sh -c 'busybox head -c 3000000 /dev/zero' | wc -c", task.text);
    assert_says(&w, script, "3000000");
    (void)snprintf(script, sizeof(script), "docker stats --no-stream %s", task.text);
    assert_says(&w, script, "PIDS");
    (void)snprintf(script, sizeof(script),
                   "docker exec -d %s sh -c 'while :; do :; done' && docker stats --no-stream "
                   "--format '{{.CPUPerc}}' %s | grep -E '^[0-9]{2}' && echo busy",
                   task.text, task.text);
    assert_says(&w, script, "busy");
    /* One container that goes on, and one that ends, which its stream does too. */
    (void)snprintf(script, sizeof(script),
                   "C=$(docker run -d busybox sh -c 'sleep 5'); curl -s --unix-socket "
                   "${DOCKER_HOST#unix://} http://d/containers/$C/stats | grep '\"preread\":\"2'");
    assert_says(&w, script, "pids_stats");
    (void)snprintf(script, sizeof(script), "docker stop -t 1 %s && docker ps -a", task.text);
    assert_says(&w, script, "Exited (");
    assert_says(&w, "docker container prune -f; docker ps -aq | wc -l", "1"); /* a task's stays */
    (void)snprintf(script, sizeof(script), "docker rm %s && docker ps -aq | wc -l", task.text);
    assert_says(&w, script, "0");
    world_close(&w);
}

static void test_prune_commands(void **state)
{
    struct world w;

    (void)state;
    NEEDS_HOST();
    world_open_host(&w);
    assert_says(&w,
                "docker run --name old busybox sh -c : && docker container prune -f --filter "
                "until=1h && docker ps -aq | wc -l",
                "1");
    assert_says(&w, "docker container prune -f --filter label=x && docker ps -aq | wc -l", "1");
    assert_says(&w, "! docker container prune -f --filter until=soon 2>&1", "such as 24h");
    assert_says(&w,
                "docker run -d --name runs busybox sh -c 'sleep 1d' && docker container prune -f",
                "Deleted Containers");
    assert_says(&w, "docker ps -a --format '{{.Names}}' | tr '\\n' .", "runs.");
    assert_says(&w, "docker volume create kept && docker volume prune -f && docker volume ls -q",
                "kept");
    assert_says(&w, "docker volume prune -a -f && docker volume ls -q | wc -l", "0");
    assert_says(&w, "docker network create -d overlay idle && docker system prune -f --volumes",
                "Deleted Networks:\nidle");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cluster_commands, world_sweep_host),
        cmocka_unit_test_teardown(test_image_commands, world_sweep_host),
        cmocka_unit_test_teardown(test_container_commands, world_sweep_host),
        cmocka_unit_test_teardown(test_prune_commands, world_sweep_host),
    };

    return cmocka_run_group_tests(tests, skip_where_it_cannot_run, NULL);
}
