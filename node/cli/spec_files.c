/* Secrets and configs as files: "NAME", or "source=NAME,target=FILE,uid=0,gid=0,mode=0444".
 *
 * They are referred to by id; their names are what people know. No two are the same file, so one
 * that is added replaces the one with its target. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_list.h"
#include "node/cli/spec_parts.h"

/* What the two kinds differ in. */
struct file_kind {
    const char *collection;
    const char *root; /* before the name, when no target was given */
    const char *id, *name;
    struct spec_row parts[7];
};

#define FILE_PARTS(name)                                                            \
    {                                                                               \
        { "source", SPEC_TEXT, name }, { "src", SPEC_TEXT, name },                  \
            { "target", SPEC_TEXT, "File.Name" }, { "uid", SPEC_TEXT, "File.UID" }, \
            { "gid", SPEC_TEXT, "File.GID" }, { "mode", SPEC_MODE, "File.Mode" },   \
        {                                                                           \
            NULL, SPEC_TEXT, NULL                                                   \
        }                                                                           \
    }

static const struct file_kind secret = { "secrets", "", "SecretID", "SecretName",
                                         FILE_PARTS("SecretName") };
static const struct file_kind config = { "configs", "/", "ConfigID", "ConfigName",
                                         FILE_PARTS("ConfigName") };

/* Its id and its own name, and where and whose its file is unless that was said. */
static int complete(const struct file_kind *kind, const struct spec_names *names, json_t *ref)
{
    const char *name = json_string_value(json_object_get(ref, kind->name));
    json_t *object = names->find(names->ctx, kind->collection, name), *target;

    if (object == NULL)
        return ERR_NOT_FOUND;
    name = json_string_value(json_object_get(json_object_get(object, "Spec"), "Name"));
    target = json_pack("{s:o, s:s, s:s, s:i}", "Name",
                       json_sprintf("%s%s", kind->root, name == NULL ? "" : name), "UID", "0",
                       "GID", "0", "Mode", 0444);
    (void)json_object_update_missing(spec_object(ref, "File"), target);
    (void)json_object_set_new(ref, kind->name, json_string(name == NULL ? "" : name));
    (void)json_object_set(ref, kind->id, json_object_get(object, "ID"));
    json_decref(target);
    json_decref(object);
    return 0;
}

static bool is_number(const json_t *text)
{
    const char *digits = json_string_value(text);

    return digits == NULL || (digits[0] != '\0' && digits[strspn(digits, "0123456789")] == '\0');
}

static int read_file(const struct file_kind *kind, const struct spec_names *names,
                     const char *option, const char *text, json_t *out)
{
    json_t *ref = json_object();
    int rc = 0;

    if (strchr(text, '=') == NULL)
        (void)json_object_set_new(ref, kind->name, json_string(text));
    else
        rc = spec_parts_read(option, text, kind->parts, ref);
    (void)json_array_append_new(out, ref);
    if (rc < 0)
        return rc;
    if (json_object_get(ref, kind->name) == NULL)
        return spec_refuse(option, text, "give NAME or source=NAME,target=FILE");
    if (!is_number(spec_at(ref, "File.UID")) || !is_number(spec_at(ref, "File.GID")))
        return spec_refuse(option, text, "the owner is given by numbers: uid=1000,gid=1000");
    return complete(kind, names, ref);
}

static int read_secret(const struct spec_names *names, const char *option, const char *text,
                       json_t *out)
{
    return read_file(&secret, names, option, text, out);
}

static int read_config(const struct spec_names *names, const char *option, const char *text,
                       json_t *out)
{
    return read_file(&config, names, option, text, out);
}

static bool is_same(const json_t *entry, const json_t *added)
{
    return json_equal(json_object_get(json_object_get(entry, "File"), "Name"),
                      json_object_get(json_object_get(added, "File"), "Name")) != 0;
}

static bool is_secret(const json_t *entry, const json_t *name)
{
    return json_equal(json_object_get(entry, secret.name), name) != 0 ||
           json_equal(json_object_get(entry, secret.id), name) != 0;
}

static bool is_config(const json_t *entry, const json_t *name)
{
    return json_equal(json_object_get(entry, config.name), name) != 0 ||
           json_equal(json_object_get(entry, config.id), name) != 0;
}

const struct spec_entry spec_secret_entry = { read_secret, is_same, NULL, is_secret };
const struct spec_entry spec_config_entry = { read_config, is_same, NULL, is_config };
