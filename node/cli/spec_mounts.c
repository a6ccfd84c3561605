/* Mounts: "type=volume,source=data,target=/data,readonly". The target is what tells them apart. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_list.h"
#include "node/cli/spec_parts.h"

static const struct spec_row parts[] = {
    { "type", SPEC_TEXT, "Type" },
    { "source", SPEC_TEXT, "Source" },
    { "src", SPEC_TEXT, "Source" },
    { "target", SPEC_TEXT, "Target" },
    { "destination", SPEC_TEXT, "Target" },
    { "dst", SPEC_TEXT, "Target" },
    { "readonly", SPEC_SWITCH, "ReadOnly" },
    { "ro", SPEC_SWITCH, "ReadOnly" },
    { "bind-propagation", SPEC_TEXT, "BindOptions.Propagation" },
    { "bind-nonrecursive", SPEC_SWITCH, "BindOptions.NonRecursive" },
    { "bind-create-src", SPEC_SWITCH, "BindOptions.CreateMountpoint" },
    { "volume-nocopy", SPEC_SWITCH, "VolumeOptions.NoCopy" },
    { "volume-label", SPEC_PAIR, "VolumeOptions.Labels" },
    { "volume-driver", SPEC_TEXT, "VolumeOptions.DriverConfig.Name" },
    { "volume-opt", SPEC_PAIR, "VolumeOptions.DriverConfig.Options" },
    { "volume-subpath", SPEC_TEXT, "VolumeOptions.Subpath" },
    { "tmpfs-size", SPEC_BYTES, "TmpfsOptions.SizeBytes" },
    { "tmpfs-mode", SPEC_MODE, "TmpfsOptions.Mode" },
    { NULL, SPEC_TEXT, NULL },
};

static const char *text_of(const json_t *mount, const char *key)
{
    const char *text = json_string_value(json_object_get(mount, key));

    return text == NULL ? "" : text;
}

/* NULL, or what is wrong with it. */
static const char *problem_of(const json_t *mount)
{
    static const struct {
        const char *type, *options, *mixed;
    } types[] = {
        { "bind", "BindOptions", "bind-.. is only for type=bind" },
        { "volume", "VolumeOptions", "volume-.. is only for type=volume" },
        { "tmpfs", "TmpfsOptions", "tmpfs-.. is only for type=tmpfs" },
    };
    const char *type = text_of(mount, "Type");
    bool known = false;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        bool matches = strcmp(type, types[i].type) == 0;

        known |= matches;
        if (!matches && json_object_get(mount, types[i].options) != NULL)
            return types[i].mixed;
    }
    if (!known)
        return "the type is bind, volume or tmpfs";
    if (text_of(mount, "Target")[0] != '/')
        return "give target=/PATH, where it is to be in the container";
    if (strcmp(type, "bind") == 0 && text_of(mount, "Source")[0] != '/')
        return "give source=/PATH, a directory of the node";
    if (strcmp(type, "tmpfs") == 0 && json_object_get(mount, "Source") != NULL)
        return "what is in memory has no source";
    return NULL;
}

static int read_mount(const struct spec_names *names, const char *option, const char *text,
                      json_t *out)
{
    json_t *mount = json_pack("{s:s}", "Type", "volume");
    int rc = spec_parts_read(option, text, parts, mount);
    const char *problem = rc == 0 ? problem_of(mount) : NULL;

    (void)names;
    (void)json_array_append_new(out, mount);
    return problem == NULL ? rc : spec_refuse(option, text, problem);
}

static bool is_at(const json_t *entry, const json_t *target)
{
    return json_equal(json_object_get(entry, "Target"), target) != 0;
}

static bool is_same(const json_t *entry, const json_t *added)
{
    return is_at(entry, json_object_get(added, "Target"));
}

const struct spec_entry spec_mount_entry = { read_mount, is_same, NULL, is_at };
