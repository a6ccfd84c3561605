/* runtime/reference.h - Names of images, in the forms that people write and in full. */
#ifndef RUNTIME_REFERENCE_H
#define RUNTIME_REFERENCE_H

#include "runtime/digest.h"
#include "runtime/fault.h"

#define REFERENCE_TEXT_MAX 720 /* 255 each for registry and repository, 128 for the tag */

/* "docker.io/library/web:1@sha256:.." taken apart. */
struct reference {
    char registry[256];   /* "docker.io", "host:5000" */
    char repository[256]; /* "library/web" */
    char tag[129];        /* "latest" when neither tag nor digest were given; "" with a digest
                             alone */
    struct digest digest; /* "" = none */
};

/* Fills in "docker.io", "library/" and ":latest" as Docker does.  ERR_INVALID */
NODISCARD int reference_parse(const char *text, struct reference *out, struct fault *f);

/* The full name; with a digest the tag is left out, because the digest decides. */
void reference_format(const struct reference *r, char out[REFERENCE_TEXT_MAX]);
/* "docker.io/library/web" */
void reference_format_repository(const struct reference *r, char out[REFERENCE_TEXT_MAX]);

#endif /* RUNTIME_REFERENCE_H */
