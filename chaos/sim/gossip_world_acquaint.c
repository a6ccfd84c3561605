/* A group in which everybody knows everybody from the first moment, as the models have it: joining
 * costs the square of the members, many times over, and is measured elsewhere. The host's words and
 * one table of all records, sealed once, are fed to each node as a stream from outside. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/gossip_world_priv.h"
#include "gossip/record.h"
#include "gossip/seal.h"

#define STREAM     2 /* even: opened by others */
#define LENGTH_LEN 4
#define BODY_MAX   (GOSSIP_FRAME_LEN_MAX - GOSSIP_SEAL_TAG_LEN)
#define ENTRY_MAX  (MESSAGE_HEADER_LEN + RECORD_LEN_MAX + GOSSIP_META_LEN_MAX)

struct frame {
    uint8_t bytes[LENGTH_LEN + GOSSIP_FRAME_LEN_MAX + GOSSIP_SEAL_LEN];
    size_t len;
};

struct table {
    struct sealer sealer;
    struct frame *frames;
    size_t count, cap;
    struct writer body; /* of the last frame */
};

static void begin_frame(struct world *w, struct table *t)
{
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 8 : t->cap * 2;
        t->frames = realloc(t->frames, t->cap * sizeof(*t->frames));
        CHECK(t->frames != NULL);
    }
    t->body = writer_of(seal_body(t->frames[t->count++].bytes + LENGTH_LEN), BODY_MAX);
    write_u64(&t->body, node_ref_of(&w->ids[0]));
    write_u64(&t->body, 0); /* a digest that nobody has */
}

static void end_frame(struct table *t)
{
    struct frame *f = &t->frames[t->count - 1];
    size_t len = seal_in_place(&t->sealer, 1, f->bytes + LENGTH_LEN, t->body.len);
    struct writer w = writer_of(f->bytes, LENGTH_LEN);

    write_u32(&w, (uint32_t)len);
    f->len = LENGTH_LEN + len;
}

/* The same bytes that the node signed at its start: Ed25519 draws no lots. */
static void add_record(struct world *w, struct table *t, unsigned index)
{
    struct gossip_member_info self;
    struct record r;
    uint8_t secret_key[GOSSIP_SECRET_KEY_LEN];
    struct blob *blob;

    CHECK(gossip_member_get(world_gossip(w, index), &w->ids[index], &self) == 0);
    r = (struct record){ .id = self.id,
                         .incarnation = self.incarnation,
                         .meta_len = (uint16_t)self.meta.len,
                         .addr = self.addr };
    meta_hash(self.meta, r.meta_hash);
    world_secret_key(w, index, secret_key);
    blob = record_sign(w->pool, &t->sealer.cluster, &r, secret_key);
    CHECK(blob != NULL);
    if (writer_room(&t->body) < ENTRY_MAX) {
        end_frame(t);
        begin_frame(w, t);
    }
    CHECK(write_message(&t->body, MESSAGE_RECORD, blob_slice(blob), self.meta));
    blob_unref(w->pool, blob);
}

static void feed(struct world *w, unsigned index, const struct gossip_event *e)
{
    CHECK(world_feed(w, index, e) == 0);
}

static void read_table(struct world *w, const struct table *t, unsigned index)
{
    struct gossip_event e = { .kind = GOSSIP_TRUST };

    for (unsigned k = 0; k < w->cfg.node_count; k++) {
        e.id = w->ids[k];
        e.public_key = w->public_keys[k]; /* derived when the node started */
        if (k != index)
            feed(w, index, &e);
    }
    e = (struct gossip_event){ .kind = GOSSIP_STREAM_INBOUND, .stream = STREAM };
    feed(w, index, &e);
    e.kind = GOSSIP_STREAM_DATA;
    for (size_t i = 0; i < t->count; i++) {
        e.bytes = slice_of(t->frames[i].bytes, t->frames[i].len);
        feed(w, index, &e);
    }
    e = (struct gossip_event){ .kind = GOSSIP_STREAM_CLOSED, .stream = STREAM };
    feed(w, index, &e);
}

void world_acquaint(struct world *w)
{
    struct table t = { .sealer = { .cluster = world_cluster(), .key_count = 1 } };

    t.sealer.keys[0] = world_gossip_key(1);
    begin_frame(w, &t);
    for (unsigned i = 0; i < w->cfg.node_count; i++)
        add_record(w, &t, i);
    end_frame(&t);
    for (unsigned i = 0; i < w->cfg.node_count; i++)
        read_table(w, &t, i);
    free(t.frames);
}
