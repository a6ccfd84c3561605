/* Logs for whoever finds the daemon down: only the state directory is needed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/log_reader.h"
#include "runtime/record.h"
#include "runtime/runtime.h"

struct search {
    const char *containers, *key;
    char found[CONTAINER_ID_LEN_MAX + 1];
    size_t found_count; /* by prefix */
    bool exact;
};

static bool has_name(const struct search *s, const char *id)
{
    struct path dir = path_of("%s/%.128s", s->containers, id);
    struct container_record record;
    struct container_state_record state;
    struct fault ignored;
    bool same;

    if (record_load(dir.text, &record, &state, &ignored) < 0)
        return false;
    same = record.spec.name != NULL && strcmp(record.spec.name, s->key) == 0;
    fields_deinit(&container_record_type, &record);
    fields_deinit(&container_state_record_type, &state);
    return same;
}

static int note_if_meant(void *arg, int dir_fd, const char *id)
{
    struct search *s = arg;
    bool exact = strcmp(id, s->key) == 0 || has_name(s, id);

    (void)dir_fd;
    if (s->exact || strlen(id) > CONTAINER_ID_LEN_MAX)
        return 0;
    if (!exact && strncmp(id, s->key, strlen(s->key)) != 0)
        return 0;
    s->exact = exact;
    s->found_count++;
    (void)snprintf(s->found, sizeof(s->found), "%s", id);
    return 0;
}

static int find(const char *containers, const char *key, struct path *out, struct fault *f)
{
    struct search s = { .containers = containers, .key = key };
    int rc = dir_each(containers, note_if_meant, &s);

    if (rc < 0 && rc != -ENOENT)
        return fault_system(f, rc, "%s", containers);
    if (key[0] == '\0' || s.found_count == 0 || (s.found_count > 1 && !s.exact))
        return fault_set(f, ERR_NOT_FOUND, "container %.80s: no such container in %s", key,
                         containers);
    *out = path_of("%s/%s", containers, s.found);
    return 0;
}

int runtime_logs_offline(const char *state_dir, const char *key, const struct logs_options *options,
                         void (*on_record)(void *owner, enum stream_source source, wall_ns time,
                                           struct slice text, bool partial),
                         void *owner, char message[RUNTIME_MESSAGE_MAX])
{
    struct log_reader *reader = malloc(sizeof(*reader));
    struct fault f = { "" };
    struct log_record r;
    struct path dir;
    int rc;

    if (reader == NULL)
        return -ENOMEM;
    rc = find(path_of("%.900s/containers", state_dir).text, key, &dir, &f);
    if (rc == 0) {
        log_reader_init(reader, dir.text, options->tail);
        do {
            rc = log_reader_fill(reader);
            while (rc == 0 && log_reader_next(reader, &r)) {
                if (log_record_is_wanted(&r, options))
                    on_record(owner, r.source, r.time, r.text, r.partial);
            }
        } while (rc == 0 && !reader->at_end);
        log_reader_deinit(reader);
        if (rc < 0)
            fault_system(&f, rc, "logs of container %.80s", key);
    }
    free(reader);
    (void)snprintf(message, RUNTIME_MESSAGE_MAX, "%s", f.text);
    return rc;
}
