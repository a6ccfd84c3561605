/* runtime/spec.h - From what a container is to be to what the OCI runtime is told. Pure.
 *
 * The caller has looked up everything that needs the host: the user, where volumes and files
 * are, which cgroup layout there is. Here is only policy: Docker's defaults, merged with the
 * image's config and the container's own wishes. */
#ifndef RUNTIME_SPEC_H
#define RUNTIME_SPEC_H

#include "base/buf.h"
#include "runtime/caps.h"
#include "runtime/container_spec.h"
#include "runtime/fault.h"
#include "runtime/manifest.h"
#include "runtime/userdb.h"

/* A mount whose source has been found. */
struct spec_source {
    const char *target;
    const char *host_path;               /* NULL: tmpfs */
    const struct container_mount *mount; /* NULL: an anonymous volume that the image asks for */
};

struct spec_input {
    const struct container_spec *spec;
    const struct image_config *image;
    const struct user *user;
    const char *rootfs;      /* path of the mounted root file system */
    const char *cgroup_path; /* "/shoal/ID" */
    const char *netns_path;  /* as the OCI runtime can open it; NULL = per spec->netns_path */
    const char *init_path;   /* on the host; NULL when spec->init is off */
    const char *hosts_path;  /* files to mount at /etc/hosts, .. */
    const char *resolv_path;
    const char *hostname_path;
    const struct spec_source *sources;
    size_t source_count;
    const char *const *secret_paths; /* as many as spec->secrets */
    const char *const *config_paths; /* as many as spec->configs */
    /* The program of seccomp_default(), as base64, for an OCI runtime that takes one; NULL = it
     * compiles the profile, which it is given in any case. */
    const char *seccomp_program;
    bool cgroup_v2;
    bool can_limit_swap;
    bool can_read_only_deep; /* the OCI runtime knows "rro" */
};

/* The capabilities that the container gets.  ERR_INVALID: one has an unknown name */
NODISCARD int spec_caps(const struct container_spec *spec, cap_set *out, struct fault *f);

/* Appends the text of config.json.
 *   ERR_INVALID  no command, unknown capability, bad seccomp profile ..: the message says
 *   -ENOMEM */
NODISCARD int spec_config_json(const struct spec_input *in, struct buf *out, struct fault *f);

/* Appends the "process" object for another command in the same container. */
struct spec_exec {
    const char *const *argv;
    const char *const *env;  /* may be NULL */
    const char *dir;         /* NULL = the container's */
    const struct user *user; /* its own, or the container's */
    bool tty;
    uint16_t rows, columns;
};
NODISCARD int spec_exec_json(const struct spec_input *in, const struct spec_exec *exec,
                             struct buf *out, struct fault *f);

/* Contents of /etc/hosts, /etc/hostname and /etc/resolv.conf; `host_resolv` is the host's, used
 * when the spec names no servers, without loopback addresses unless the network is the host's. */
NODISCARD int spec_hosts_text(const struct container_spec *spec, struct buf *out);
NODISCARD int spec_hostname_text(const struct container_spec *spec, struct buf *out);
NODISCARD int spec_resolv_text(const struct container_spec *spec, struct slice host_resolv,
                               struct buf *out);

/* Resolved: spec, image, Docker's default. spec_hostname() may use the buffer. */
const char *spec_hostname(const struct container_spec *spec, char buffer[64]);
int spec_stop_signal(const struct container_spec *spec, const struct image_config *image);
uint64_t spec_stop_grace_ns(const struct container_spec *spec);
/* The program to run, as it was named; "" = none. */
const char *spec_program(const struct container_spec *spec, const struct image_config *image);
const char *spec_user_text(const struct container_spec *spec, const struct image_config *image);
const char *spec_working_dir(const struct container_spec *spec, const struct image_config *image);

/* The health check in force; false: none. `test` borrows from the two. */
struct spec_health {
    const struct str_list *test; /* items[0] is CMD or CMD-SHELL */
    uint64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
    uint32_t retries;
};
bool spec_health_check(const struct container_spec *spec, const struct image_config *image,
                       struct spec_health *out);

#endif /* RUNTIME_SPEC_H */
