/* node/member_impl.h - Private to member*.c. */
#ifndef NODE_MEMBER_IMPL_H
#define NODE_MEMBER_IMPL_H

#include "node/cluster/gossip_driver_link.h"
#include "node/cluster/identity.h"
#include "node/cluster/renewal.h"
#include "node/images.h"
#include "node/member.h"
#include "node/task_exec.h"

#define DATA_KEY_LEN        32
#define MEMBER_WHY_MAX      512
#define MEMBER_MANAGERS_MAX 64

/* What "<state_dir>/member" keeps beside the identity. */
#define MEMBER_FILE_FIELDS(X, S)                                       \
    X(S, 1, STR, LEN(64), advertise, NULL, REQUIRED)                   \
    X(S, 2, U64, ANY, raft_id, NULL, OPTIONAL) /* 0: no manager */     \
    X(S, 3, U64, ANY, boot_epoch, NULL, OPTIONAL)                      \
    X(S, 4, LIST_STR, COUNT(MEMBER_MANAGERS_MAX), managers, NULL,      \
      OPTIONAL) /* node ids to ask first ... */                        \
    X(S, 5, LIST_STR, COUNT(MEMBER_MANAGERS_MAX), manager_addrs, NULL, \
      OPTIONAL) /* ... and where they were */                          \
    X(S, 6, U64, ANY, availability, NULL, OPTIONAL)
FIELDS_STRUCT(member_file, MEMBER_FILE_FIELDS);

enum leave_step { LEAVE_DEMOTING, LEAVE_LET_GO, LEAVE_STOPPING };

struct leave {
    enum leave_step step;
    mono_ns deadline; /* of the step */
    bool is_proposing;
    bool is_let_go; /* raft has removed this manager */
};

struct member {
    struct member_config cfg;
    enum member_state state;
    char error[MEMBER_WHY_MAX];

    struct identity identity;
    struct member_file file;
    uint8_t data_key[DATA_KEY_LEN];
    struct node_description description;

    struct overlay *overlay;
    struct overlay_services *services;
    struct links *links;
    struct gossip_link *gossip_link; /* the streams of gossip, on the links */
    struct gossip_driver *gossip;    /* NULL until the first keys have come */
    size_t gossip_key_count;         /* as last told */
    struct host *host;
    struct images *images;
    struct task_exec_server execs;
    struct manager *manager;
    struct finder finder;
    struct gossip_contact contacts[FINDER_MANAGERS_MAX];
    size_t contact_count;
    uv_timer_t timer;        /* the finder's */
    uv_timer_t renew_timer;  /* of the certificate */
    uv_timer_t settle_timer; /* once, when the start is over */
    struct renewal renewal;

    bool serving; /* runtime ready, host started */
    bool closing_manager;
    bool has_keys;                /* the identity could be read */
    struct enroll *enroll;        /* a join or renewal under way */
    struct cluster_record record; /* as last told */
    bool has_record;

    /* init, join or leave under way */
    member_done done;
    void *done_owner;
    struct cluster *new_cluster; /* init: proposed once this manager leads */
    struct node *new_node;
    struct leave leave;

    bool is_closing; /* the parts, one after the other */
    bool forgets;    /* and then what is on disk goes, too */
    int abandoned;   /* why init or join was given up; 0 */
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    int open_timers;
};

/* member.c */
wall_ns member_wall_now(void);
/* For init and join: ERR_EXISTS, and `done` was told, unless the node is in no cluster. */
NODISCARD int member_begin(struct member *m, member_done done, void *owner);
void member_finish(struct member *m, int err, const char *why);
NODISCARD int member_choose_address(struct member *m, const char *wanted);
void member_serve(struct member *m); /* active from here on */

/* member_parts.c. What member_activate() opened when it failed stays open: member_abandon(), or the
 * end of the program, closes it. */
NODISCARD int member_activate(struct member *m);
NODISCARD int member_start_manager(struct member *m, bool bootstrap);
void member_stop_manager(struct member *m);
void member_close_parts(struct member *m);
/* Init or join failed half way: closes and forgets everything, then tells who waits. m->error, if
 * it is set, says why. */
void member_abandon(struct member *m, int err);
/* To be called first when an enrolment has ended. True: the parts are closing, do nothing. */
NODISCARD bool member_enroll_is_over(struct member *m);

/* member_init.c, member_join.c, member_leave.c: what they are told */
void init_on_leading(struct member *m); /* this manager leads */
void init_forget(struct member *m);
/* Whoever joined as a manager is told so once it can answer as one: it knows itself and a leader.
 */
void join_on_manager(struct member *m);
void join_is_late(struct member *m);
void leave_on_removed(struct member *m); /* raft has removed this manager */

/* member_files.c: what is on disk. member_dir writes the path of a folder to `out`. */
const char *member_dir(const struct member *m, const char *name, char out[OPTIONS_PATH_MAX + 64]);
NODISCARD int member_save(struct member *m);
NODISCARD int member_save_file(const struct member *m); /* without the identity */
NODISCARD int member_read_file(struct member *m);
NODISCARD int member_read_data_key(struct member *m);
NODISCARD int member_read_identity(struct member *m);
void member_remove_dir(const struct member *m,
                       const char *name); /* and all in it, if it is there */
void member_wipe(struct member *m);       /* forgets the cluster that the node is not in any more */

/* member_traffic.c: what comes over links, and where it goes */
NODISCARD int traffic_open_links(struct member *m);
void traffic_send(void *ctx, const struct dispatch *frame);
void traffic_dispatch_to(void *ctx, const struct id *node, const struct dispatch *frame);
void traffic_on_peer(void *ctx, const struct peer *peer, bool gone);
void traffic_on_leader(void *ctx, const struct id *leader);
void traffic_describe(struct member *m); /* m->description has changed */
void traffic_turn(struct member *m);     /* the finder's deadline */
/* What gossip says; a node whose link is up is not unreachable. */
void traffic_tell_reachable(struct member *m, const struct id *node, enum control_hearing what);

/* member_gossip.c: starts gossip with the first keys, and hands it the later ones */
void member_open_gossip(struct member *m, const struct cluster_record *record);
void member_show_cert(struct member *m); /* in gossip, to nodes that were not told about this one */

/* member_cert.c: certificates, this node's own and those that it signs as a manager */
NODISCARD int cert_sign(const struct cluster *cluster, struct cert *cert);
void cert_check_renewal(struct member *m); /* asks for a new one, now or when it is time */

/* member_managers.c: the managers that are kept for the next start, and for renewals */
void managers_learn(struct member *m, const struct peer *peer);
void managers_forget(struct member *m, const struct id *node);

/* member_role.c: who may take part, and being a manager or not */
void role_on_cluster(void *ctx, const struct cluster_record *record);
void role_on_enroll(void *ctx, const struct link_enrollment *request);
int role_admit(void *ctx, const struct cert *cert, enum node_role *role);
void role_on_removed(void *ctx);
void role_follow(struct member *m);

#endif /* NODE_MEMBER_IMPL_H */
