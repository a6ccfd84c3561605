/* node/api/route.h - Which function serves which path. */
#ifndef NODE_API_ROUTE_H
#define NODE_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

struct request;

#define ROUTE_ARGS_MAX 2

enum route_flag {
    ROUTE_LOCAL = 0,   /* about this node: always served */
    ROUTE_MANAGER = 1, /* needs a manager, and a store that is not stale */
    ROUTE_CLUSTER = 2, /* as ROUTE_MANAGER where there is a manager, else as ROUTE_LOCAL */
    ROUTE_UPLOAD = 4,  /* handled as soon as the headers are there: the body streams */
};

/* In a pattern "*" stands for one part of a path and "**" for one or more: images have
 * slashes in their names. */
struct route {
    const char *method;
    const char *pattern;
    unsigned flags;
    void (*handle)(struct request *r);
};

/* Takes "/v1.41" off the front of *path. Without one *minor is API_VERSION's.
 *   ERR_MALFORMED  no such form; ERR_UNSUPPORTED  older or newer than what is served */
int route_version(const char **path, unsigned *minor);

/* Matches `path` (without version, without leading slash) and cuts it into `args`, which point
 * into it. On false `path` is unchanged. */
bool route_match(const char *pattern, char *path, char *args[ROUTE_ARGS_MAX]);

/* NULL: none; *other_method tells whether the path exists with another method. */
const struct route *route_find(const char *method, char *path, char *args[ROUTE_ARGS_MAX],
                               bool *other_method);

/* What to tell those who ask for a path of Docker's that nothing here serves; NULL: it is none. */
const char *route_unserved(const char *method, char *path);

/* Every handler, by the file that holds it.
 * system.c */
void handle_ping(struct request *r);
void handle_version(struct request *r);
void handle_info(struct request *r);
void handle_auth(struct request *r);
void handle_plugin_list(struct request *r);
/* events.c */
void handle_events(struct request *r);
/* swarm.c */
void handle_swarm_init(struct request *r);
void handle_swarm_join(struct request *r);
void handle_swarm_leave(struct request *r);
void handle_swarm_inspect(struct request *r);
void handle_swarm_update(struct request *r);
void handle_swarm_unlock(struct request *r);
void handle_swarm_unlock_key(struct request *r);
/* nodes.c */
void handle_node_list(struct request *r);
void handle_node_inspect(struct request *r);
void handle_node_update(struct request *r);
void handle_node_remove(struct request *r);
/* services.c */
void handle_service_list(struct request *r);
void handle_service_create(struct request *r);
void handle_service_inspect(struct request *r);
void handle_service_update(struct request *r);
void handle_service_remove(struct request *r);
void handle_service_why(struct request *r);
/* tasks.c */
void handle_task_list(struct request *r);
void handle_task_inspect(struct request *r);
/* logs.c */
void handle_service_logs(struct request *r);
void handle_task_logs(struct request *r);
void handle_container_logs(struct request *r);
/* networks.c */
void handle_network_list(struct request *r);
void handle_network_create(struct request *r);
void handle_network_inspect(struct request *r);
void handle_network_remove(struct request *r);
void handle_network_prune(struct request *r);
/* secrets.c */
void handle_secret_list(struct request *r);
void handle_secret_create(struct request *r);
void handle_secret_inspect(struct request *r);
void handle_secret_update(struct request *r);
void handle_secret_remove(struct request *r);
void handle_config_list(struct request *r);
void handle_config_create(struct request *r);
void handle_config_inspect(struct request *r);
void handle_config_update(struct request *r);
void handle_config_remove(struct request *r);
/* images.c, image_transfer.c */
void handle_image_list(struct request *r);
void handle_image_inspect(struct request *r);
void handle_image_history(struct request *r);
void handle_image_tag(struct request *r);
void handle_image_remove(struct request *r);
void handle_image_prune(struct request *r);
void handle_image_load(struct request *r);
void handle_image_create(struct request *r);
void handle_image_save(struct request *r);
void handle_image_save_many(struct request *r);
void handle_distribution(struct request *r);
/* containers.c */
void handle_container_list(struct request *r);
void handle_container_inspect(struct request *r);
void handle_container_stop(struct request *r);
void handle_container_start(struct request *r);
void handle_container_restart(struct request *r);
void handle_container_kill(struct request *r);
void handle_container_pause(struct request *r);
void handle_container_unpause(struct request *r);
void handle_container_resize(struct request *r);
void handle_container_create(struct request *r);
void handle_container_remove(struct request *r);
/* container_wait.c */
void handle_container_wait(struct request *r);
/* attach.c */
void handle_container_attach(struct request *r);
/* exec.c */
void handle_exec_create(struct request *r);
void handle_exec_start(struct request *r);
void handle_exec_inspect(struct request *r);
void handle_exec_resize(struct request *r);
/* volumes.c */
void handle_volume_list(struct request *r);
void handle_volume_create(struct request *r);
void handle_volume_inspect(struct request *r);
void handle_volume_remove(struct request *r);
void handle_df(struct request *r);
/* stats.c */
void handle_container_stats(struct request *r);
/* prune.c */
void handle_container_prune(struct request *r);
void handle_volume_prune(struct request *r);
void handle_build_prune(struct request *r);

#endif /* NODE_API_ROUTE_H */
