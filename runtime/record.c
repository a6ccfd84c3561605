#include "runtime/record.h"

#include <errno.h>
#include <fcntl.h>

#include "base/err.h"
#include "runtime/limits.h"

FIELDS_ENUM_DEFINE(container_phase, CONTAINER_PHASE_ENUM);
FIELDS_DEFINE(container_record, CONTAINER_RECORD_FIELDS);
FIELDS_DEFINE(container_state_record, CONTAINER_STATE_FIELDS);

static int write_object(const char *dir, const char *name, const struct fields *type,
                        const void *object, enum file_durability durability, struct fault *f)
{
    struct path p = path_of("%s/%s", dir, name);
    struct field_error error = { "" };
    struct buf bytes;
    int rc;

    buf_init(&bytes, RECORD_BYTES_MAX);
    rc = fields_encode(type, object, &bytes, &error);
    if (rc == ERR_INVALID)
        fault_set(f, rc, "%s", error.text);
    if (rc == 0) {
        rc = file_replace(p.text, buf_slice(&bytes), 0600, durability);
        if (rc < 0)
            fault_system(f, rc, "%s", p.text);
    } else if (rc != ERR_INVALID) {
        fault_system(f, rc, "%s", p.text);
    }
    buf_deinit(&bytes);
    return rc;
}

int record_write(const char *dir, const struct container_record *record, struct fault *f)
{
    return write_object(dir, "spec", &container_record_type, record, FILE_SYNCED, f);
}

/* Not flushed: after a power cut the process is gone whatever the record says, and the boot id
 * tells so. */
int record_write_state(const char *dir, const struct container_state_record *state, struct fault *f)
{
    return write_object(dir, "state", &container_state_record_type, state, FILE_CACHED, f);
}

static int read_object(const char *dir, const char *name, const struct fields *type, void *object,
                       struct fault *f)
{
    struct path p = path_of("%s/%s", dir, name);
    struct field_error error = { "" };
    struct buf bytes;
    int rc;

    buf_init(&bytes, RECORD_BYTES_MAX);
    rc = file_read(AT_FDCWD, p.text, &bytes);
    if (rc < 0)
        fault_system(f, rc, "%s", p.text);
    else
        rc = fields_decode(type, buf_slice(&bytes), object, &error);
    if (rc == ERR_MALFORMED)
        rc = fault_set(f, ERR_CORRUPT, "%s: %s", p.text, error.text);
    buf_deinit(&bytes);
    return rc;
}

int record_load(const char *dir, struct container_record *record,
                struct container_state_record *state, struct fault *f)
{
    int rc = read_object(dir, "spec", &container_record_type, record, f);

    if (rc < 0)
        return rc;
    rc = read_object(dir, "state", &container_state_record_type, state, f);
    if (rc == -ENOENT || rc == ERR_CORRUPT) { /* torn by a power cut: so it is not running */
        *state = (struct container_state_record){ .phase = PHASE_EXITED };
        state->exit_code = 255;
        rc = str_set(&state->error, "its state was lost when the host went down");
    }
    if (rc < 0)
        fields_deinit(&container_record_type, record);
    return rc;
}
