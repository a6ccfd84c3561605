/* chaos/sim/cluster_links.h - Private to cluster_links*.c. */
#ifndef SIM_CLUSTER_LINKS_H
#define SIM_CLUSTER_LINKS_H

#include "chaos/sim/cluster_sim.h"

enum link_message_kind {
    LINK_MESSAGE,
    LINK_STREAM_OPEN,
    LINK_STREAM_DATA,
    LINK_STREAM_FINISH,
    LINK_STREAM_RESET,
};

struct link_message {
    struct list link;
    enum link_message_kind kind;
    enum link_channel channel;
    uint64_t stream;
    int status;
    mono_ns at; /* not before */
    size_t len;
    uint8_t bytes[];
};

/* What one program knows of one other computer. */
struct peer_link {
    struct links *links;
    unsigned index;
    struct conn *conn; /* usable */
    bool dialling;
    unsigned failures;
    mono_ns retry_at;
    enum link_want want;
    struct list waiting; /* struct link_message, for the link that is being dialled */
};

struct links {
    struct world *world;
    struct daemon *daemon;
    struct links_events events;
    struct link_handler handlers[LINK_CHANNEL_MAX + 1];
    struct peer_link peers[COMPUTERS_MAX];
    struct list streams; /* struct link_stream */
    struct list own;     /* struct link_message to itself */
    bool dead;
};

struct end {
    unsigned computer;
    struct links *links; /* NULL: no program holds it any more */
    bool up, pumping;
    mono_ns heard, last_at;
    struct list out; /* struct link_message */
};

struct conn {
    struct list link;
    struct world *world;
    struct end ends[2];
};

struct link_stream {
    struct list link;
    struct links *links;
    struct peer_link *peer;
    uint64_t id;
    enum link_channel channel;
    struct link_stream_callbacks callbacks;
    void *ctx;
    bool accepted, finished_here, finished_there;
};

struct link_message *link_message_new(enum link_message_kind kind, enum link_channel channel,
                                      uint64_t stream, int status, struct slice bytes);

/* Takes `m`.  ERR_UNAVAILABLE, as link_send() */
NODISCARD int links_submit(struct links *l, unsigned to, struct link_message *m);

/* A message of computer `from` has arrived. */
void links_take(struct links *l, unsigned from, struct conn *c, const struct link_message *m);

/* It is over without a word of the other side: on_closed, then it is freed. Not in the list. */
void link_stream_end(struct link_stream *s, int reason);

#endif /* SIM_CLUSTER_LINKS_H */
