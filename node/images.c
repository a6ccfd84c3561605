/* Fetching, as one flow:
 *     ASKING    all peers, who has the reference?
 *     MISSING   which blobs of its manifest are not here?
 *     BLOBS     they come one after the other from that peer
 *     REGISTER  unpacked and named
 *     PULLING   no peer has it: a registry */
#include "node/images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/images_impl.h"

#define ASK_MAX 16

struct waiting {
    struct list link;
    host_image_done done;
    void *owner;
};

struct fetch;

struct question {
    struct fetch *fetch; /* NULL: nobody listens any more */
    struct id peer;
    char digest[IMAGES_DIGEST_MAX];
    size_t digest_len;
};

struct fetch {
    struct list link;
    struct images *images;
    struct list waiting;
    char reference[IMAGES_REFERENCE_MAX];
    struct question *questions[ASK_MAX];
    size_t asked, answered;
    bool chosen;
    struct id peer;
    char digest[IMAGES_DIGEST_MAX];
};

static void end(struct fetch *f, int err, const char *message)
{
    struct list *link;

    list_remove(&f->link);
    f->images->fetch_count--;
    for (size_t i = 0; i < ASK_MAX; i++)
        if (f->questions[i] != NULL)
            f->questions[i]->fetch = NULL;
    while ((link = list_pop_front(&f->waiting)) != NULL) {
        struct waiting *w = CONTAINER_OF(link, struct waiting, link);

        w->done(w->owner, err, message);
        free(w);
    }
    free(f);
}

/* --- PULLING */

static void on_pulled(void *owner, int err, const char *message, const struct image_info *image)
{
    struct fetch *f = owner;
    char text[512];

    (void)image;
    if (err < 0) {
        (void)snprintf(text, sizeof(text),
                       "No such image: %.120s: no node of the cluster has it, and %.300s",
                       f->reference, message);
        end(f, err, text);
        return;
    }
    end(f, 0, "");
}

static void pull(struct fetch *f)
{
    runtime_image_pull(f->images->cfg.runtime, f->reference, NULL, NULL, on_pulled, f);
}

/* --- REGISTER */

static void on_registered(void *owner, int err, const char *message, const struct image_info *image)
{
    (void)image;
    end(owner, err, message);
}

/* --- MISSING and BLOBS */

static void ask_missing(struct fetch *f);

static void on_blob(void *owner, int err)
{
    struct fetch *f = owner;

    if (err < 0 && err != ERR_EXISTS) {
        log_warn("images", "%s: a blob of node %s did not arrive: %s; trying the registry",
                 f->reference, f->peer.text, err_text(err));
        pull(f);
        return;
    }
    ask_missing(f);
}

static void on_missing(void *owner, int err, const char *message, const struct blob_need *needs,
                       size_t count)
{
    struct fetch *f = owner;

    if (err < 0) {
        end(f, err, message);
        return;
    }
    if (count == 0) {
        runtime_image_register(f->images->cfg.runtime, f->reference, f->digest, NULL, on_registered,
                               f);
        return;
    }
    err = blob_fetch(f->images, &f->peer, needs[0].digest, needs[0].size, on_blob, f);
    if (err < 0)
        on_blob(f, err);
}

static void ask_missing(struct fetch *f)
{
    runtime_image_missing(f->images->cfg.runtime, f->digest, on_missing, f);
}

/* --- ASKING */

static void on_answer(struct question *q, bool has_it)
{
    struct fetch *f = q->fetch;

    if (f == NULL || f->chosen)
        return;
    f->answered++;
    if (has_it && q->digest_len > 0) {
        f->chosen = true;
        f->peer = q->peer;
        (void)snprintf(f->digest, sizeof(f->digest), "%.*s", (int)q->digest_len, q->digest);
        log_info("images", "%s comes from node %s", f->reference, f->peer.text);
        ask_missing(f);
    } else if (f->answered == f->asked) {
        f->chosen = true;
        pull(f);
    }
}

static void on_question_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct question *q = ctx;
    size_t len = MIN(data.len, sizeof(q->digest) - q->digest_len);

    memcpy(q->digest + q->digest_len, data.ptr, len);
    q->digest_len += len;
    link_stream_consume(s, data.len);
}

static void on_question_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)status;
    link_stream_finish(s, 0);
}

static void on_question_closed(void *ctx, struct link_stream *s, int reason)
{
    struct question *q = ctx;

    (void)s;
    on_answer(q, reason == 0);
    for (size_t i = 0; q->fetch != NULL && i < ASK_MAX; i++)
        if (q->fetch->questions[i] == q)
            q->fetch->questions[i] = NULL;
    free(q);
}

static void ask(struct fetch *f, const struct id *peer)
{
    static const struct link_stream_callbacks callbacks = { .on_data = on_question_data,
                                                            .on_finish = on_question_finish,
                                                            .on_closed = on_question_closed };
    struct question *q = calloc(1, sizeof(*q));
    char header[IMAGES_REFERENCE_MAX + 8];
    struct link_stream *stream;

    if (q == NULL)
        return;
    q->fetch = f;
    q->peer = *peer;
    (void)snprintf(header, sizeof(header), "image %s", f->reference);
    if (link_stream_open(f->images->cfg.links, peer, LINK_BLOBS, slice_of_str(header), &callbacks,
                         q, &stream) < 0) {
        free(q);
        return;
    }
    f->questions[f->asked++] = q;
}

/* Peers with a link are asked first: the others may be down. */
static void ask_peers(struct fetch *f)
{
    const struct images *im = f->images;

    for (int up = 1; up >= 0; up--)
        for (size_t i = 0; i < im->peer_count && f->asked < ASK_MAX; i++)
            if (link_is_up(im->cfg.links, &im->peers[i]) == (up == 1))
                ask(f, &im->peers[i]);
    if (f->asked == 0) {
        f->chosen = true;
        pull(f);
    }
}

static struct fetch *find_fetch(struct images *im, const char *reference)
{
    LIST_EACH(link, &im->fetches)
    {
        struct fetch *f = CONTAINER_OF(link, struct fetch, link);

        if (strcmp(f->reference, reference) == 0)
            return f;
    }
    return NULL;
}

void images_fetch(struct images *im, const char *reference, host_image_done done, void *owner)
{
    struct fetch *f = find_fetch(im, reference);
    struct waiting *w;
    bool is_new = f == NULL;

    if (is_new &&
        (im->fetch_count >= IMAGES_FETCHES_MAX || strlen(reference) >= sizeof(f->reference))) {
        done(owner, ERR_FULL, "too many images are being fetched");
        return;
    }
    w = calloc(1, sizeof(*w));
    if (w != NULL && is_new)
        f = calloc(1, sizeof(*f));
    if (w == NULL || f == NULL) {
        free(w);
        done(owner, -ENOMEM, "out of memory");
        return;
    }
    w->done = done;
    w->owner = owner;
    if (is_new) {
        f->images = im;
        list_init(&f->waiting);
        (void)snprintf(f->reference, sizeof(f->reference), "%s", reference);
        list_push_back(&im->fetches, &f->link);
        im->fetch_count++;
    }
    list_push_back(&f->waiting, &w->link);
    if (is_new)
        ask_peers(f);
}

/* --- Peers and life */

void images_peer(struct images *im, const struct id *node, bool gone)
{
    size_t i = 0;

    while (i < im->peer_count && !id_equal(&im->peers[i], node))
        i++;
    if (gone && i < im->peer_count)
        im->peers[i] = im->peers[--im->peer_count];
    else if (!gone && i == im->peer_count && i < IMAGES_PEERS_MAX)
        im->peers[im->peer_count++] = *node;
}

int images_open(const struct images_config *cfg, struct images **out)
{
    struct images *im = calloc(1, sizeof(*im));

    if (im == NULL)
        return -ENOMEM;
    im->cfg = *cfg;
    list_init(&im->fetches);
    links_handle(cfg->links, LINK_BLOBS,
                 &(struct link_handler){ .ctx = im, .on_stream = images_on_stream });
    *out = im;
    return 0;
}

void images_close(struct images *im)
{
    free(im);
}
