/* node/api/container_json.c - See container_json.h. */
#include "node/api/container_json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time_text.h"
#include "node/api/image_json.h"
#include "node/api/list_json.h"
#include "node/api/map_json.h"

#define STACK_MAX 512 /* of a printed command */

const char *container_state_text(const struct container_info *info)
{
    switch (info->state) {
    case CONTAINER_CREATED:
        return "created";
    case CONTAINER_RUNNING:
        return "running";
    case CONTAINER_PAUSED:
        return "paused";
    case CONTAINER_EXITED:
        return "exited";
    }
    return "";
}

/* How Docker says it: roughly, in one unit. */
static void format_age(int64_t seconds, char *out, size_t len)
{
    static const struct {
        int64_t below, unit;
        const char *text;
    } rows[] = {
        { 60, 1, "seconds" },
        { 60 * 60, 60, "minutes" },
        { 48 * 3600, 3600, "hours" },
        { 14 * 86400, 86400, "days" },
        { 60 * 86400, 7 * 86400, "weeks" },
        { 730 * INT64_C(86400), 30 * 86400, "months" },
        { INT64_MAX, 365 * 86400, "years" },
    };
    size_t i = 0;

    if (seconds < 1)
        (void)snprintf(out, len, "Less than a second");
    else if (seconds == 1)
        (void)snprintf(out, len, "1 second");
    else if (seconds >= 60 && seconds < 120)
        (void)snprintf(out, len, "About a minute");
    else if (seconds >= 3600 && seconds < 7200)
        (void)snprintf(out, len, "About an hour");
    else {
        while (seconds >= rows[i].below)
            i++;
        (void)snprintf(out, len, "%lld %s", (long long)(seconds / rows[i].unit), rows[i].text);
    }
}

static const char *health_text(enum container_health health)
{
    static const char *const texts[] = { "none", "starting", "healthy", "unhealthy" };

    return texts[health];
}

void container_status_text(const struct container_info *info, wall_ns now,
                           char out[CONTAINER_STATUS_MAX])
{
    wall_ns from = info->state == CONTAINER_EXITED ? info->finished : info->started;
    char age[32];

    format_age((now - from) / (wall_ns)NS_PER_S, age, sizeof(age));
    if (info->state == CONTAINER_CREATED)
        (void)snprintf(out, CONTAINER_STATUS_MAX, "Created");
    else if (info->state == CONTAINER_EXITED)
        (void)snprintf(out, CONTAINER_STATUS_MAX, "Exited (%d) %s ago", info->exit_code, age);
    else if (info->state == CONTAINER_PAUSED)
        (void)snprintf(out, CONTAINER_STATUS_MAX, "Up %s (Paused)", age);
    else if (info->health == HEALTH_STARTING)
        (void)snprintf(out, CONTAINER_STATUS_MAX, "Up %s (health: starting)", age);
    else if (info->health != HEALTH_NONE)
        (void)snprintf(out, CONTAINER_STATUS_MAX, "Up %s (%s)", age, health_text(info->health));
    else
        (void)snprintf(out, CONTAINER_STATUS_MAX, "Up %s", age);
}

static json_t *list_json(const struct str_list *list, size_t from)
{
    json_t *json = json_array();

    for (size_t i = from; i < list->count; i++)
        list_json_add(&json, json_string(list->items[i]));
    return json;
}

static json_t *mounts_json(const struct container_spec *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->mounts.count; i++) {
        const struct container_mount *m = &s->mounts.items[i];
        bool named = m->kind == CONTAINER_MOUNT_VOLUME;

        list_json_add(&list,
                      json_pack("{s:s,s:s*,s:s,s:s,s:s,s:b,s:s}", "Type",
                                enum_text(&container_mount_kind_names, (int)m->kind), "Name",
                                named ? m->source : NULL, "Source",
                                m->source != NULL ? m->source : "", "Destination", m->target,
                                "Mode", "", "RW", !m->read_only, "Propagation",
                                enum_text(&container_propagation_names, (int)m->propagation)));
    }
    return list;
}

/* What it runs, as far as its spec says; the rest is the image's. */
static const struct str_list *argv_of(const struct container_spec *s)
{
    return s->command.count > 0 ? &s->command : &s->args;
}

/* The command on one line, cut inside the bounds at the end of a word. */
static void format_command(const struct container_spec *s, char out[STACK_MAX])
{
    const struct str_list *parts[] = { &s->command, &s->args };
    size_t len = 0;

    out[0] = '\0';
    for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
        for (size_t i = 0; i < parts[k]->count; i++) {
            size_t n = strlen(parts[k]->items[i]);

            if (len + n + 2 > STACK_MAX)
                return;
            if (len > 0)
                out[len++] = ' ';
            memcpy(out + len, parts[k]->items[i], n + 1);
            len += n;
        }
    }
}

/* "web.1.abc"; the first characters of the id where there is no name. */
static const char *name_of(const struct container_spec *s)
{
    return s->name != NULL && s->name[0] != '\0' ? s->name : s->id;
}

json_t *container_summary_json(const struct container_info *info, wall_ns now)
{
    const struct container_spec *s = info->spec;
    char status[CONTAINER_STATUS_MAX], command[STACK_MAX];

    container_status_text(info, now, status);
    format_command(s, command);
    return json_pack("{s:s,s:[o],s:s,s:s,s:s,s:I,s:[],s:o,s:s,s:s,s:{s:s},s:{s:{}},s:o}", "Id",
                     s->id, "Names", json_sprintf("/%s", name_of(s)), "Image",
                     image_familiar_name(s->image), "ImageID", info->image_id, "Command", command,
                     "Created", (json_int_t)(info->created / (wall_ns)NS_PER_S), "Ports", "Labels",
                     map_json(&s->labels), "State", container_state_text(info), "Status", status,
                     "HostConfig", "NetworkMode", "default", "NetworkSettings", "Networks",
                     "Mounts", mounts_json(s));
}

static json_t *state_json(const struct container_info *info)
{
    char started[TIME_TEXT_MAX], finished[TIME_TEXT_MAX];
    json_t *json;

    time_format(info->started, started);
    time_format(info->finished, finished);
    json = json_pack(
        "{s:s,s:b,s:b,s:b,s:b,s:b,s:i,s:i,s:s,s:s,s:s}", "Status", container_state_text(info),
        "Running", info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED, "Paused",
        info->state == CONTAINER_PAUSED, "Restarting", 0, "OOMKilled", info->oom_killed, "Dead", 0,
        "Pid", (int)info->pid, "ExitCode", info->exit_code, "Error",
        info->error != NULL ? info->error : "", "StartedAt", started, "FinishedAt", finished);
    if (info->health != HEALTH_NONE)
        (void)json_object_set_new(
            json, "Health",
            json_pack("{s:s,s:i,s:[{s:s}]}", "Status", health_text(info->health), "FailingStreak",
                      (int)info->failing_streak, "Log", "Output",
                      info->health_output != NULL ? info->health_output : ""));
    return json;
}

static json_t *config_json(const struct container_info *info)
{
    const struct container_spec *s = info->spec;

    return json_pack("{s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:b,s:o,s:o,s:s,s:s,s:o,s:o,s:s*}", "Hostname",
                     s->hostname != NULL ? s->hostname : "", "Domainname",
                     s->domainname != NULL ? s->domainname : "", "User",
                     s->user != NULL ? s->user : "", "AttachStdin", 0, "AttachStdout", 0,
                     "AttachStderr", 0, "Tty", s->tty, "OpenStdin", s->open_stdin, "Env",
                     list_json(&s->env, 0), "Cmd", list_json(&s->args, 0), "Image",
                     image_familiar_name(s->image), "WorkingDir", s->dir != NULL ? s->dir : "",
                     "Entrypoint", s->command.count > 0 ? list_json(&s->command, 0) : json_null(),
                     "Labels", map_json(&s->labels), "StopSignal", s->stop_signal);
}

static json_t *host_config_json(const struct container_spec *s)
{
    return json_pack("{s:s,s:{s:s,s:i},s:{s:s,s:{}},s:I,s:I,s:I,s:b,s:b,s:o,s:o,s:I}",
                     "NetworkMode", "default", "RestartPolicy", "Name", "no", "MaximumRetryCount",
                     0, "LogConfig", "Type", "json-file", "Config", "NanoCpus",
                     (json_int_t)s->limits.nano_cpus, "Memory", (json_int_t)s->limits.memory_bytes,
                     "PidsLimit", (json_int_t)s->limits.pids, "Privileged", 0, "ReadonlyRootfs",
                     s->read_only, "CapAdd", list_json(&s->cap_add, 0), "CapDrop",
                     list_json(&s->cap_drop, 0), "OomScoreAdj", (json_int_t)s->oom_score_adj);
}

json_t *container_detail_json(const struct container_info *info)
{
    const struct container_spec *s = info->spec;
    const struct str_list *argv = argv_of(s);
    char created[TIME_TEXT_MAX];

    time_format(info->created, created);
    return json_pack(
        "{s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:i,s:s,s:s,s:o,s:o,s:o,s:{s:s*,s:{}}}", "Id", s->id,
        "Created", created, "Path", argv->count > 0 ? argv->items[0] : "", "Args",
        argv == &s->command && argv->count == 1 ? list_json(&s->args, 0) : list_json(argv, 1),
        "State", state_json(info), "Image", info->image_id, "Name", json_sprintf("/%s", name_of(s)),
        "RestartCount", 0, "Driver", "overlayfs", "Platform", "linux", "HostConfig",
        host_config_json(s), "Config", config_json(info), "Mounts", mounts_json(s),
        "NetworkSettings", "SandboxKey", s->netns_path, "Networks");
}

/* --- Stats ---------------------------------------------------------------------------------- */

static json_t *cpu_json(const struct container_stats *s)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    /* Clients divide by the progress of the whole machine: its processors times wall time. */
    return json_pack("{s:{s:I,s:I,s:I},s:I,s:I,s:{s:I,s:I,s:I}}", "cpu_usage", "total_usage",
                     (json_int_t)s->cpu_ns, "usage_in_kernelmode", (json_int_t)0,
                     "usage_in_usermode", (json_int_t)0, "system_cpu_usage",
                     (json_int_t)s->read_at * (json_int_t)count, "online_cpus", (json_int_t)count,
                     "throttling_data", "periods", (json_int_t)0, "throttled_periods",
                     (json_int_t)0, "throttled_time", (json_int_t)s->throttled_ns);
}

json_t *container_stats_json(const struct container_info *info, const struct container_stats *now,
                             const struct container_stats *before)
{
    char read_at[TIME_TEXT_MAX], preread_at[TIME_TEXT_MAX];

    time_format(now->read_at, read_at);
    time_format(before->read_at, preread_at);
    return json_pack(
        "{s:s,s:s,s:s,s:o,s:{s:I,s:I},s:o,s:o,s:{s:I,s:{s:I},s:I},s:{s:[{s:s,s:I},{s:s,s:I}]},s:{s:"
        "{s:I,s:I,s:I,s:I}}}",
        "read", read_at, "preread", preread_at, "id", info->spec->id, "name",
        json_sprintf("/%s", name_of(info->spec)), "pids_stats", "current", (json_int_t)now->pids,
        "limit", (json_int_t)now->pids_limit, "cpu_stats", cpu_json(now), "precpu_stats",
        cpu_json(before), "memory_stats", "usage", (json_int_t)now->memory_bytes, "stats",
        "inactive_file", (json_int_t)now->memory_cache_bytes, "limit",
        (json_int_t)now->memory_limit_bytes, "blkio_stats", "io_service_bytes_recursive", "op",
        "read", "value", (json_int_t)now->block_read_bytes, "op", "write", "value",
        (json_int_t)now->block_write_bytes, "networks", "eth0", "rx_bytes",
        (json_int_t)now->net_rx_bytes, "tx_bytes", (json_int_t)now->net_tx_bytes, "rx_packets",
        (json_int_t)now->net_rx_packets, "tx_packets", (json_int_t)now->net_tx_packets);
}
