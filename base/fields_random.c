#include "base/fields_random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fields_impl.h"

#define DEPTH_FREE  4 /* below it only what a table requires is generated */
#define LEN_USUAL   12
#define COUNT_USUAL 4

static int random_object(const struct fields *type, struct prng *prng, unsigned depth, void *obj);

static uint64_t random_between(struct prng *prng, uint64_t low, uint64_t high)
{
    switch (prng_below(prng, 4)) {
    case 0:
        return low;
    case 1:
        return high;
    case 2: /* small ones, which are short on the wire */
        return low + prng_below(prng, MIN(high - low, 300) + 1);
    default:
        return prng_range(prng, low, high);
    }
}

static uint64_t random_unsigned(const struct field *f, struct prng *prng, uint64_t type_max)
{
    return random_between(prng, (uint64_t)MAX(f->min, 0), MIN(f->max, type_max));
}

/* Distances from the minimum are unsigned, so that the whole range of int64_t works. */
static int64_t random_signed(const struct field *f, struct prng *prng, int64_t type_min,
                             int64_t type_max)
{
    uint64_t low = (uint64_t)MAX(f->min, type_min);
    uint64_t high = MIN(f->max, (uint64_t)type_max);

    return (int64_t)(low + random_between(prng, 0, high - low));
}

static double random_real(const struct field *f, struct prng *prng)
{
    if (f->min == INT64_MIN)
        return (double)(int64_t)prng_u64(prng) / 1024;
    return (double)f->min +
           (double)prng_below(prng, 1025) / 1024 * ((double)f->max - (double)f->min);
}

static size_t random_len(const struct field *f, struct prng *prng)
{
    uint64_t low = (uint64_t)MAX(f->min, 0);

    return (size_t)prng_range(prng, low, MIN(f->max, low + LEN_USUAL));
}

/* Appends `piece`; the text has room for it and is zero after it. */
static void append(char *text, size_t *used, const char *piece)
{
    while (*piece != '\0')
        text[(*used)++] = *piece++;
}

/* Valid UTF-8 of exactly `len` bytes after the prefix, with what JSON and terminals care about. */
static int random_text(struct prng *prng, const char *prefix, size_t len, char **out)
{
    static const char *const pieces[] = {
        "a", "Z", "7", " ", "\"", "\\", "\n", "\x1f", "/", ".", "\xf0\x9f\x90\x8b", "\xc3\xa9"
    };
    size_t used = 0, size = strlen(prefix) + len + 1;
    char *text = calloc(1, size);

    if (text == NULL)
        return -ENOMEM;
    append(text, &used, prefix);
    while (used + 1 < size) {
        const char *piece = pieces[prng_below(prng, ARRAY_LEN(pieces))];

        append(text, &used, used + strlen(piece) < size ? piece : "x");
    }
    *out = text;
    return 0;
}

static int random_str(const struct field *f, struct prng *prng, char **out)
{
    size_t len = random_len(f, prng);

    return len == 0 && f->shape == FIELD_ONE ? 0 : random_text(prng, "", len, out);
}

static int random_bytes(const struct field *f, struct prng *prng, struct bytes *out)
{
    size_t len = random_len(f, prng);

    if (len == 0)
        return 0;
    out->ptr = malloc(len);
    if (out->ptr == NULL)
        return -ENOMEM;
    out->len = len;
    prng_bytes(prng, out->ptr, len);
    return 0;
}

static struct id random_id(struct prng *prng)
{
    uint8_t random[ID_RANDOM_LEN];

    prng_bytes(prng, random, sizeof(random));
    return id_from_random(random);
}

static int random_value(const struct field *f, struct prng *prng, unsigned depth, void *out)
{
    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        *(bool *)out = prng_chance(prng, 0.5);
        return 0;
    case FIELD_U32:
        *(uint32_t *)out = (uint32_t)random_unsigned(f, prng, UINT32_MAX);
        return 0;
    case FIELD_U64:
        *(uint64_t *)out = random_unsigned(f, prng, UINT64_MAX);
        return 0;
    case FIELD_I32:
        *(int32_t *)out = (int32_t)random_signed(f, prng, INT32_MIN, INT32_MAX);
        return 0;
    case FIELD_I64:
    case FIELD_TIME:
        *(int64_t *)out = random_signed(f, prng, INT64_MIN, INT64_MAX);
        return 0;
    case FIELD_F64:
        *(double *)out = random_real(f, prng);
        return 0;
    case FIELD_ENUM:
        *(int *)out = f->names->rows[prng_below(prng, f->names->count)].value;
        return 0;
    case FIELD_STR:
        return random_str(f, prng, out);
    case FIELD_BYTES:
        return random_bytes(f, prng, out);
    case FIELD_FIXED:
        prng_bytes(prng, out, f->size);
        return 0;
    case FIELD_ID:
        *(struct id *)out = random_id(prng);
        return 0;
    case FIELD_STRUCT:
        return random_object(f->type, prng, depth + 1, out);
    }
    UNREACHABLE("tables have no other kinds");
}

/* The i-th key: its first byte keeps keys in order and different. */
static int random_key(struct prng *prng, size_t i, char **out)
{
    char prefix[2] = { (char)('A' + i), '\0' };

    return random_text(prng, prefix, (size_t)prng_below(prng, LEN_USUAL), out);
}

static int random_items(const struct field *f, struct prng *prng, unsigned depth,
                        struct any_list *out)
{
    size_t count = (size_t)prng_below(prng, MIN(f->count_max, COUNT_USUAL) + UINT64_C(1));
    int rc = 0;

    if (count == 0)
        return 0;
    out->items = calloc(count, f->stride);
    if (out->items == NULL)
        return -ENOMEM;
    out->count = count;
    for (size_t i = 0; i < count && rc == 0; i++) {
        void *value = f->shape == FIELD_MAP ? map_value(f, out, i) : list_item(f, out, i);

        if (f->shape == FIELD_MAP)
            rc = random_key(prng, i, map_key(f, out, i));
        if (rc == 0)
            rc = random_value(f, prng, depth, value);
    }
    return rc;
}

static int random_field(const struct field *f, struct prng *prng, unsigned depth, void *obj)
{
    void *member = member_of(f, obj);
    void *target;

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return random_value(f, prng, depth, member);
    case FIELD_POINTER:
        target = calloc(1, f->size);
        *(void **)member = target;
        return target == NULL ? -ENOMEM : random_value(f, prng, depth, target);
    case FIELD_LIST:
    case FIELD_MAP:
        return random_items(f, prng, depth, member);
    }
    UNREACHABLE("tables have no other shapes");
}

static bool is_choice(const struct field *f)
{
    return f->shape == FIELD_POINTER && f->kind == FIELD_STRUCT;
}

/* The row that a one-of type sets, or UINT32_MAX. Past the free depth the last one, which authors
 * of recursive types make the one that ends. */
static uint32_t choose_row(const struct fields *type, struct prng *prng, unsigned depth)
{
    uint64_t choices = 0, pick;

    if (type->rule == FIELDS_ALL)
        return UINT32_MAX;
    for (uint32_t i = 0; i < type->count; i++)
        choices += is_choice(&type->rows[i]);
    if (choices == 0 || (type->rule == FIELDS_AT_MOST_ONE_OF && prng_chance(prng, 0.3)))
        return UINT32_MAX;
    pick = depth > DEPTH_FREE ? choices - 1 : prng_below(prng, choices);
    for (uint32_t i = 0; i < type->count; i++) {
        if (is_choice(&type->rows[i]) && pick-- == 0)
            return i;
    }
    UNREACHABLE("pick is below the number of choices");
}

static int random_object(const struct fields *type, struct prng *prng, unsigned depth, void *obj)
{
    uint32_t chosen = choose_row(type, prng, depth);
    int rc = 0;

    for (uint32_t i = 0; i < type->count && rc == 0; i++) {
        const struct field *f = &type->rows[i];
        bool wanted = presence_of(f) == FIELD_REQUIRED;

        if (type->rule != FIELDS_ALL && is_choice(f))
            wanted = i == chosen;
        else if (!wanted && depth <= DEPTH_FREE)
            wanted = prng_chance(prng, 0.7);
        if (wanted)
            rc = random_field(f, prng, depth, obj);
    }
    return rc;
}

int fields_random(const struct fields *type, struct prng *prng, void *obj)
{
    int rc;

    memset(obj, 0, type->size);
    rc = random_object(type, prng, 1, obj);
    if (rc < 0)
        fields_deinit(type, obj);
    return rc;
}
