#include "node/cli/listing.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define GAP 3

void listing_init(struct listing *t, const char *const *titles)
{
    *t = (struct listing){ .titles = titles };
    while (titles[t->column_count] != NULL)
        t->column_count++;
    CHECK(t->column_count <= LISTING_COLUMNS_MAX);
}

void listing_deinit(struct listing *t)
{
    str_list_clear(&t->cells);
}

void listing_add(struct listing *t, const char *text)
{
    if (str_list_append(&t->cells, text == NULL ? "" : text) == 0)
        return;
    (void)fputs("shoal: out of memory\n", stderr);
    exit(1);
}

void listing_addf(struct listing *t, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    listing_add(t, text);
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *text, size_t width, bool last)
{
    (void)fputs(text, stdout);
    for (size_t i = width_of(text); !last && i < width + GAP; i++)
        (void)putchar(' ');
    if (last)
        (void)putchar('\n');
}

static void print_aligned(const struct listing *t)
{
    size_t width[LISTING_COLUMNS_MAX];

    for (size_t c = 0; c < t->column_count; c++) {
        width[c] = width_of(t->titles[c]);
        for (size_t i = c; i < t->cells.count; i += t->column_count)
            width[c] = MAX(width[c], width_of(t->cells.items[i]));
    }
    for (size_t c = 0; c < t->column_count; c++)
        print_cell(t->titles[c], width[c], c + 1 == t->column_count);
    for (size_t i = 0; i < t->cells.count; i++)
        print_cell(t->cells.items[i], width[i % t->column_count], (i + 1) % t->column_count == 0);
}

static void print_json(const struct listing *t)
{
    for (size_t row = 0; row + t->column_count <= t->cells.count; row += t->column_count) {
        json_t *object = json_object();
        char *text;

        for (size_t c = 0; c < t->column_count; c++)
            (void)json_object_set_new(object, t->titles[c], json_string(t->cells.items[row + c]));
        text = json_dumps(object, JSON_COMPACT);
        if (text != NULL)
            (void)puts(text);
        free(text);
        json_decref(object);
    }
}

void listing_print(const struct listing *t, enum listing_format format)
{
    switch (format) {
    case LISTING_ALIGNED:
        print_aligned(t);
        return;
    case LISTING_JSON:
        print_json(t);
        return;
    case LISTING_QUIET:
        for (size_t i = 0; i < t->cells.count; i += t->column_count)
            (void)puts(t->cells.items[i]);
        return;
    }
}
