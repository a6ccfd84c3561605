#include "node/cli/spec_list.h"

#include <string.h>

#include "base/err.h"

static void remove_where(json_t *array, bool (*is)(const json_t *, const json_t *),
                         const json_t *what)
{
    for (size_t i = json_array_size(array); i-- > 0;)
        if (is(json_array_get(array, i), what))
            (void)json_array_remove(array, i);
}

static void place(json_t *array, bool (*same)(const json_t *, const json_t *), json_t *added)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (same(json_array_get(array, i), added)) {
            (void)json_array_set(array, i, added);
            return;
        }
    (void)json_array_append(array, added);
}

static int add_pair(const struct spec_list *list, const char *option, const char *text,
                    json_t *spec)
{
    struct spec_row row = { option, SPEC_PAIR, list->path };
    const char *expected;

    return spec_value_set(&row, text, spec, &expected) < 0 ? spec_refuse(option, text, expected)
                                                           : 0;
}

int spec_list_add(const struct spec_list *list, const struct spec_names *names, const char *option,
                  const char *text, json_t *spec)
{
    json_t *entries;
    int rc;

    if (list->entry == NULL)
        return add_pair(list, option, text, spec);
    entries = json_array();
    rc = list->entry->read(names, option, text, entries);
    for (size_t i = 0; i < json_array_size(entries) && rc == 0; i++)
        place(spec_array(spec, list->path), list->entry->same, json_array_get(entries, i));
    json_decref(entries);
    return rc;
}

static int remove_one(const struct spec_list *list, const struct spec_names *names,
                      const char *text, json_t *spec)
{
    json_t *held = spec_at(spec, list->path), *wanted;
    int rc = 0;

    if (list->entry == NULL) {
        (void)json_object_del(held, text); /* it may be gone already */
        return 0;
    }
    wanted = json_array();
    if (list->entry->name != NULL)
        rc = list->entry->name(names, list->remove, text, wanted);
    else
        (void)json_array_append_new(wanted, json_string(text));
    for (size_t i = 0; i < json_array_size(wanted) && rc == 0; i++)
        remove_where(held, list->entry->is, json_array_get(wanted, i));
    json_decref(wanted);
    return rc;
}

static int add_all(const struct spec_list *list, const struct spec_names *names, const char *option,
                   const struct args *a, json_t *spec)
{
    const struct str_list *given = args_list(a, option);
    int rc = 0;

    for (size_t i = 0; i < given->count && rc == 0; i++)
        rc = spec_list_add(list, names, option, given->items[i], spec);
    return rc;
}

int spec_lists_create(const struct spec_list *lists, const struct spec_names *names,
                      const struct args *a, json_t *spec)
{
    int rc = 0;

    for (; lists->option != NULL && rc == 0; lists++)
        rc = add_all(lists, names, lists->option, a, spec);
    return rc;
}

int spec_lists_update(const struct spec_list *lists, const struct spec_names *names,
                      const struct args *a, json_t *spec)
{
    int rc = 0;

    for (; lists->option != NULL && rc == 0; lists++) {
        const struct str_list *removed = args_list(a, lists->remove);

        for (size_t i = 0; i < removed->count && rc == 0; i++)
            rc = remove_one(lists, names, removed->items[i], spec);
        if (rc == 0)
            rc = add_all(lists, names, lists->add, a, spec);
    }
    return rc;
}
