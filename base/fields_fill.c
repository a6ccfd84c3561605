/* base/fields_fill.c - Setting texts, growing lists and maps by hand. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields_impl.h"

static char *duplicate_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

int str_set(char **member, const char *text)
{
    char *copy = NULL;

    if (text != NULL && *text != '\0') {
        copy = duplicate_text(text);
        if (copy == NULL)
            return -ENOMEM;
    }
    free(*member);
    *member = copy;
    return 0;
}

int bytes_set(struct bytes *member, struct slice bytes)
{
    uint8_t *copy = NULL;

    if (bytes.len > 0) {
        copy = malloc(bytes.len);
        if (copy == NULL)
            return -ENOMEM;
        memcpy(copy, bytes.ptr, bytes.len);
    }
    free(member->ptr);
    *member = (struct bytes){ copy, bytes.len };
    return 0;
}

void bytes_clear(struct bytes *member)
{
    free(member->ptr);
    *member = (struct bytes){ 0 };
}

/* --- Lists */

void *fields_list_add(void *items, size_t *count, size_t item_size)
{
    char **array = items; /* any pointer to objects has the same form */
    size_t size;
    char *grown;

    if (__builtin_mul_overflow(*count + 1, item_size, &size))
        return NULL;
    grown = realloc(*array, size);
    if (grown == NULL)
        return NULL;
    *array = grown;
    return memset(grown + (*count)++ * item_size, 0, item_size);
}

int str_list_append(struct str_list *list, const char *text)
{
    char *copy = duplicate_text(text);
    char **slot;

    if (copy == NULL)
        return -ENOMEM;
    slot = LIST_ADD(list);
    if (slot == NULL) {
        free(copy);
        return -ENOMEM;
    }
    *slot = copy;
    return 0;
}

void str_list_clear(struct str_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct str_list){ 0 };
}

/* --- Maps. Items of any map begin with their key. */

/* Where `key` is, or belongs. */
static size_t map_position(const struct any_list *map, size_t stride, const char *key, bool *found)
{
    size_t low = 0, high = map->count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(*(char **)(void *)(map->items + middle * stride), key);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void *map_find(const void *map, size_t stride, const char *key)
{
    const struct any_list *list = map;
    bool found;
    size_t i = map_position(list, stride, key, &found);

    return found ? list->items + i * stride : NULL;
}

/* The item of `key`: the one that is there, or a new one of zeros but for the key. */
static void *map_add(void *map, size_t stride, const char *key)
{
    struct any_list *list = map;
    bool found;
    size_t i = map_position(list, stride, key, &found);
    char *copy, *item;

    if (found)
        return list->items + i * stride;
    copy = duplicate_text(key);
    if (copy == NULL)
        return NULL;
    if (fields_list_add(&list->items, &list->count, stride) == NULL) {
        free(copy);
        return NULL;
    }
    item = list->items + i * stride;
    memmove(item + stride, item, (list->count - 1 - i) * stride);
    memset(item, 0, stride);
    *(char **)(void *)item = copy;
    return item;
}

/* The item's value must be freed already. */
static void map_drop(void *map, size_t stride, char *item)
{
    struct any_list *list = map;
    char *end = list->items + list->count * stride;

    free(*(char **)(void *)item);
    memmove(item, item + stride, (size_t)(end - item) - stride);
    if (--list->count > 0)
        return;
    free(list->items);
    list->items = NULL;
}

const char *str_map_get(const struct str_map *map, const char *key)
{
    const struct str_map_item *item = map_find(map, sizeof(*item), key);

    return item == NULL ? NULL : item->value;
}

int str_map_set(struct str_map *map, const char *key, const char *value)
{
    char *copy = duplicate_text(value);
    struct str_map_item *item;

    if (copy == NULL)
        return -ENOMEM;
    item = map_add(map, sizeof(*item), key);
    if (item == NULL) {
        free(copy);
        return -ENOMEM;
    }
    free(item->value);
    item->value = copy;
    return 0;
}

void str_map_remove(struct str_map *map, const char *key)
{
    struct str_map_item *item = map_find(map, sizeof(*item), key);

    if (item == NULL)
        return;
    free(item->value);
    map_drop(map, sizeof(*item), (char *)item);
}

void str_map_clear(struct str_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        free(map->items[i].key);
        free(map->items[i].value);
    }
    free(map->items);
    *map = (struct str_map){ 0 };
}

/* As the compiler lays out struct name_map_item: its members are aligned to at most 8. */
static size_t map_stride(const struct fields *type)
{
    size_t size = sizeof(char *) + type->size;

    return (size + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
}

void *fields_map_get(const struct fields *type, const void *map, const char *key)
{
    char *item = map_find(map, map_stride(type), key);

    return item == NULL ? NULL : item + sizeof(char *);
}

void *fields_map_add(const struct fields *type, void *map, const char *key)
{
    char *item = map_add(map, map_stride(type), key);

    return item == NULL ? NULL : item + sizeof(char *);
}

void fields_map_remove(const struct fields *type, void *map, const char *key)
{
    char *item = map_find(map, map_stride(type), key);

    if (item == NULL)
        return;
    fields_deinit(type, item + sizeof(char *));
    map_drop(map, map_stride(type), item);
}
