/* The whole OCI config out of its parts: process (spec_process.c), mounts (spec_mounts.c) and linux
 * (spec_linux.c), all built as a JSON tree with spec_builder.h. What cannot be a container is
 * found before anything is built; want of memory is looked for once, at the end. */
#include "runtime/spec.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/limits.h"
#include "runtime/spec_builder.h"

/* crun uses it instead of linux.seccomp, which it then ignores; others ignore the annotation. */
#define SECCOMP_ANNOTATION "run.oci.seccomp_bpf_data"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

int spec_caps(const struct container_spec *spec, cap_set *out, struct fault *f)
{
    const char *unknown = "";

    if (cap_set_of(&spec->cap_add, &spec->cap_drop, out, &unknown) < 0)
        return fault_set(f, ERR_INVALID,
                         "capability \"%.64s\": unknown; use names as in capabilities(7), or ALL",
                         unknown);
    return 0;
}

static int dump_buf(const char *bytes, size_t len, void *arg)
{
    return buf_append(arg, bytes, len) < 0 ? -1 : 0;
}

/* Takes `root`. */
static int finish(struct spec_builder *b, json_t *root, struct buf *out)
{
    int rc = 0;

    if (b->failed || root == NULL)
        rc = fault_system(b->f, -ENOMEM, "container %s: OCI config", b->in->spec->id);
    else if (json_dump_callback(root, dump_buf, out, JSON_COMPACT) < 0)
        rc = fault_set(b->f, ERR_TOO_LARGE, "container %s: OCI config: larger than %zu bytes",
                       b->in->spec->id, out->limit);
    json_decref(root);
    return rc;
}

int spec_config_json(const struct spec_input *in, struct buf *out, struct fault *f)
{
    struct spec_builder b = { .in = in, .f = f };
    const struct container_spec *spec = in->spec;
    json_t *linux_object = NULL, *args, *process, *root;
    char hostname[64];
    cap_set caps;
    int rc = spec_caps(in->spec, &caps, f);

    if (rc < 0)
        return rc;
    args = spec_args(&b);
    if (json_array_size(args) <= (in->init_path != NULL ? 2 : 0)) {
        json_decref(args);
        return b.failed ? fault_system(f, -ENOMEM, "container %s", spec->id)
                        : fault_set(f, ERR_INVALID,
                                    "container %s: no command: image %s has neither entrypoint "
                                    "nor cmd; give one",
                                    spec->id, spec->image);
    }
    rc = spec_linux(&b, caps, &linux_object);
    if (rc < 0) {
        json_decref(args);
        return rc;
    }
    process = spec_process(&b, caps, in->user, spec->tty, spec_working_dir(spec, in->image), args,
                           spec_env(&b, in->user, spec->tty));
    root =
        spec_checked(&b, json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
                                   "process", process, "root", "path", in->rootfs, "readonly",
                                   (int)spec->read_only, "hostname", spec_hostname(spec, hostname),
                                   "mounts", spec_mounts(&b), "linux", linux_object));
    if (text_of(spec->domainname)[0] != '\0' && root != NULL)
        spec_set(&b, root, "domainname", json_string(spec->domainname));
    if (spec->seccomp == CONTAINER_SECCOMP_DEFAULT && in->seccomp_program != NULL && root != NULL)
        spec_set(&b, root, "annotations",
                 json_pack("{s:s}", SECCOMP_ANNOTATION, in->seccomp_program));
    return finish(&b, root, out);
}

int spec_exec_json(const struct spec_input *in, const struct spec_exec *exec, struct buf *out,
                   struct fault *f)
{
    struct spec_builder b = { .in = in, .f = f };
    const char *dir = exec->dir != NULL ? exec->dir : spec_working_dir(in->spec, in->image);
    json_t *args = spec_checked(&b, json_array());
    json_t *env = spec_env(&b, exec->user, exec->tty);
    json_t *process;
    cap_set caps;
    int rc = spec_caps(in->spec, &caps, f);

    for (size_t i = 0; exec->argv[i] != NULL; i++)
        spec_append_str(&b, args, exec->argv[i]);
    for (size_t i = 0; exec->env != NULL && exec->env[i] != NULL; i++)
        spec_set_env(&b, env, exec->env[i]);
    if (rc < 0) {
        json_decref(args);
        json_decref(env);
        return rc;
    }
    process = spec_process(&b, caps, exec->user, exec->tty, dir, args, env);
    if (exec->tty && exec->rows > 0 && exec->columns > 0)
        spec_set(&b, process, "consoleSize",
                 json_pack("{s:i, s:i}", "height", (int)exec->rows, "width", (int)exec->columns));
    return finish(&b, process, out);
}
