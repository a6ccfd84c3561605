/* runtime/image_describe.h - An image as callers see it: struct image_info and what it borrows. */
#ifndef RUNTIME_IMAGE_DESCRIBE_H
#define RUNTIME_IMAGE_DESCRIBE_H

#include "runtime/image.h"
#include "runtime/runtime_impl.h"

struct image_description {
    struct image_info info;
    struct digest id, manifest;
    struct image_config config;
    struct buf config_text;
    struct str_list names, repo_digests;
};

/* On a thread. Takes the config out of `image`; returns *out owned: image_description_free(). */
NODISCARD int image_describe(struct image_store *store, struct image *image,
                             struct image_description **out, struct fault *f);
void image_description_free(struct image_description *d); /* accepts NULL */

/* On the loop: how many containers are of it. */
void image_count_users(const struct runtime *rt, struct image_description *d);

#endif /* RUNTIME_IMAGE_DESCRIBE_H */
