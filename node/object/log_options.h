/* node/object/log_options.h - What a log driver's name and options ask for. Pure. */
#ifndef NODE_OBJECT_LOG_OPTIONS_H
#define NODE_OBJECT_LOG_OPTIONS_H

#include "base/attr.h"
#include "base/fields.h"

struct log_options {
    bool none;               /* keep no logs */
    uint64_t file_bytes_max; /* 0: the host's default, as below */
    uint32_t file_count_max;
};

/* Drivers "json-file" and "local" (one and the same here), "none", and "" or NULL for the host's
 * default; options max-size ("10m") and max-file. Options of json-file that only add to what is
 * written are let pass.
 *   ERR_UNSUPPORTED  another driver; ERR_INVALID  an option: `err` has the sentence */
NODISCARD int log_options_read(const char *driver, const struct str_map *options,
                               struct log_options *out, struct field_error *err);

#endif /* NODE_OBJECT_LOG_OPTIONS_H */
