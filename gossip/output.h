/* gossip/output.h - What one step puts out, gathered until the step ends. */
#ifndef GOSSIP_OUTPUT_H
#define GOSSIP_OUTPUT_H

#include "base/buf.h"
#include "gossip/blob.h"
#include "gossip/gossip.h"

/* Bytes move while they are gathered; slices are made when the step ends. */
struct output {
    struct gossip_packet packets[GOSSIP_PACKETS_OUT_MAX];
    size_t packet_count;
    struct gossip_stream_op *streams;
    size_t stream_count, stream_cap;
    struct gossip_notice *notices;
    struct blob **notice_meta; /* keeps the metadata of each notice alive */
    size_t notice_count, notice_cap;
    struct buf packet_bytes;
    struct buf stream_bytes;
};

void output_init(struct output *o);
void output_deinit(struct output *o, struct gossip_pool *pool);
void output_clear(struct output *o, struct gossip_pool *pool);

/* Each copies. False: full, or out of memory; nothing was added. */
bool output_packet(struct output *o, const struct gossip_addr *to, struct slice bytes);
bool output_stream(struct output *o, const struct gossip_stream_op *op);
bool output_notice(struct output *o, const struct gossip_notice *notice, struct blob *meta);

void output_finish(struct output *o, mono_ns deadline, struct gossip_output *out);

#endif /* GOSSIP_OUTPUT_H */
