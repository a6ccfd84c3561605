/* base/fields.h - A type is declared once, as a table of fields.
 *
 * Messages, objects and records on disk are all declared like this:
 *
 *     #define RESOURCES_FIELDS(X, S)                                              \
 *         X(S, 1, I64, RANGE(0, INT64_MAX), nano_cpus, "NanoCPUs", OPTIONAL)      \
 *         X(S, 2, LIST_STR, COUNT(64), devices, "Devices", ALWAYS)                \
 *         X(S, 3, OPT, pids, pids, "Pids", OPTIONAL)   // struct pids, declared before
 *     FIELDS_STRUCT(resources, RESOURCES_FIELDS);      // in a header
 *     FIELDS_DEFINE(resources, RESOURCES_FIELDS);      // in one .c file
 *
 * This makes `struct resources` and `resources_type`, and with the type come the msgpack codec
 * (docs/formats/wire.md), JSON in Docker's dialect, validation, copy, free, equality, hash and
 * (base/fields_random.h) values for tests. Columns:
 *
 *   tag       1 to 65535, forever: never reused, never given another kind or meaning
 *   kind      the member's type, below
 *   argument  its limits or the type inside it, below; ANY when there is none
 *   member    name in the struct
 *   JSON      name in JSON; NULL or "-" keeps the field out of JSON
 *   presence  REQUIRED  decoding fails without it; an ID or OPT may not be empty either
 *             OPTIONAL  absent reads as zero; zero is left out of bytes and JSON
 *             ALWAYS    as OPTIONAL, but always printed in JSON: 0, "", [], {}, null
 *             SECRET(presence): wiped when freed, and left out of JSON unless asked for
 *
 *   kind                      member                  argument
 *   BOOL                      bool                    ANY
 *   U32 I32 U64 I64 F64       integers, double        ANY, RANGE(min, max)
 *   DURATION                  int64_t nanoseconds     ANY, RANGE(min, max)
 *   TIME                      wall_ns                 ANY
 *   STR                       char *, NULL is empty   ANY, LEN(max), LEN(min, max): bytes
 *   BYTES                     struct bytes            the same
 *   FIXED                     uint8_t member[n]       SIZE(n)
 *   ID                        struct id               ANY
 *   ENUM                      enum e                  e, declared by FIELDS_ENUM
 *   STRUCT                    struct t                t
 *   OPT                       struct t *, NULL: absent    t
 *   OPT_BOOL OPT_U32 OPT_I32 OPT_U64 OPT_I64 OPT_F64 OPT_DURATION OPT_TIME
 *                             pointer to scalar       as the scalar
 *   LIST                      struct t_list           OF(t, max)
 *   LIST_STR LIST_BYTES LIST_U64 LIST_ID
 *                             struct str_list ..      COUNT(max), COUNT_LEN(max, len) for texts
 *   MAP                       struct t_map            OF(t, max)
 *   MAP_STR                   struct str_map          COUNT(max), COUNT_LEN(max, len)
 *
 * A list is { items, count }, a map the same with items { key, value } in strcmp order of the
 * keys, each key once; texts in them are never NULL. Objects own everything they point to, from
 * malloc(3); a struct of zeros is a valid empty object of every type. Types may contain themselves
 * only through OPT and LIST. No limit (ANY) still means the limit of the frame that carries the
 * value.
 *
 * Bytes, JSON and objects are never trusted: whatever breaks the table is an error that names
 * the field, such as "TaskTemplate.Resources.Limits.NanoCPUs: must be positive". On any error
 * outputs are as if the call had not been made; decoded and copied objects are all zero. */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/fields_macros.h"
#include "base/id.h"
#include "base/slice.h"
#include "base/units.h"

#define FIELDS_DEPTH_MAX   24   /* structs inside structs */
#define FIELDS_KEY_LEN_MAX 4096 /* bytes of a map's key */
#define FIELDS_COUNT_MAX   64   /* fields of one type */

/* Decoding `n` bytes allocates at most FIELDS_ALLOC_BASE + n * FIELDS_ALLOC_FACTOR; encoding
 * refuses what could not be decoded. One byte, an empty element, becomes a whole struct: without
 * this a frame of a few MiB could ask for gigabytes. */
#define FIELDS_ALLOC_BASE   (4 * MIB)
#define FIELDS_ALLOC_FACTOR 64

struct json_t;
struct fields; /* a type: its table */

struct bytes {
    uint8_t *ptr;
    size_t len;
};

struct str_list {
    char **items;
    size_t count;
};

struct bytes_list {
    struct bytes *items;
    size_t count;
};

struct u64_list {
    uint64_t *items;
    size_t count;
};

struct id_list {
    struct id *items;
    size_t count;
};

struct str_map_item {
    char *key;
    char *value;
};

struct str_map {
    struct str_map_item *items;
    size_t count;
};

/* What was wrong, for people: "Mounts[2].Target: is required". */
struct field_error {
    char text[320];
};

/* Declares struct name, struct name_list, struct name_map and name_type. */
#define FIELDS_STRUCT(name, LIST)      \
    struct name;                       \
    struct name##_list {               \
        struct name *items;            \
        size_t count;                  \
    };                                 \
    struct name {                      \
        LIST(FIELDS_MEMBER, name)      \
    };                                 \
    struct name##_map_item {           \
        char *key;                     \
        struct name value;             \
    };                                 \
    struct name##_map {                \
        struct name##_map_item *items; \
        size_t count;                  \
    };                                 \
    extern const struct fields name##_type

/* Defines name_type. */
#define FIELDS_DEFINE(name, LIST) FIELDS_DEFINE_AS(name, LIST, FIELDS_ALL)

/* The same for a type whose OPT members exclude each other: exactly one, or at most one is set. */
#define FIELDS_DEFINE_ONE_OF(name, LIST)         FIELDS_DEFINE_AS(name, LIST, FIELDS_ONE_OF)
#define FIELDS_DEFINE_AT_MOST_ONE_OF(name, LIST) FIELDS_DEFINE_AS(name, LIST, FIELDS_AT_MOST_ONE_OF)

/* An enum with texts. The list is X(constant, number, text); numbers are forever:
 *
 *     #define ORDER_ENUM(X) X(STOP_FIRST, 0, "stop-first") X(START_FIRST, 1, "start-first")
 *     FIELDS_ENUM(order, ORDER_ENUM);            // enum order and order_names, in a header
 *     FIELDS_ENUM_DEFINE(order, ORDER_ENUM);     // in one .c file
 *
 * Bytes carry the number, JSON the text; anything else is an error. An empty text in JSON is 0, as
 * if the field were absent. 0 may have no row: then it means "not set". */
#define FIELDS_ENUM(name, LIST)               \
    enum name { LIST(FIELDS_ENUM_CONSTANT) }; \
    extern const struct enum_names name##_names

#define FIELDS_ENUM_DEFINE(name, LIST)                                            \
    static const struct enum_name name##_name_rows[] = { LIST(FIELDS_ENUM_ROW) }; \
    static_assert(sizeof(enum name) == sizeof(int), "enums are stored as int");   \
    const struct enum_names name##_names = { name##_name_rows, ARRAY_LEN(name##_name_rows) }

struct enum_name {
    int value;
    const char *text;
};

struct enum_names {
    const struct enum_name *rows;
    size_t count;
};

/* The text of a value; "" when it has none. */
const char *enum_text(const struct enum_names *names, int value);

/* ERR_INVALID: no row has that text. */
NODISCARD int enum_parse(const struct enum_names *names, const char *text, int *out);

/* --- msgpack: docs/formats/wire.md */

/* Appends the canonical encoding: equal objects give equal bytes.
 *   ERR_INVALID    the object breaks its table: see `err`
 *   ERR_TOO_LARGE  over the buffer's limit, too deep, or too large to be decoded again
 *   -ENOMEM */
NODISCARD int fields_encode(const struct fields *type, const void *obj, struct buf *out,
                            struct field_error *err);

/* Reads one object that fills all of `bytes`. The result owns all that it points to:
 * fields_deinit(). *obj is overwritten, so it must own nothing. ERR_MALFORMED  truncated or
 * trailing bytes, wrong kinds, a tag given twice, a REQUIRED one missing, not UTF-8, or beyond a
 * limit of the table; unknown tags are skipped ERR_TOO_LARGE  nested too deep, or would need more
 * memory than FIELDS_ALLOC_FACTOR allows -ENOMEM */
NODISCARD int fields_decode(const struct fields *type, struct slice bytes, void *obj,
                            struct field_error *err);

/* --- JSON: Docker's dialect. Times are RFC 3339, durations integers of nanoseconds, BYTES
 * base64, FIXED lower-case hex; a U64 above INT64_MAX is a text of digits. */

enum fields_json_flag {
    FIELDS_JSON_PLAIN = 0,
    FIELDS_JSON_STRICT = 1,  /* reading: unknown names are errors, instead of ignored */
    FIELDS_JSON_SECRETS = 2, /* writing: SECRET fields too; reading always accepts them */
};

/* Returns an owned json_t: json_decref().
 *   ERR_INVALID (a text is not UTF-8, or a double not finite), ERR_TOO_LARGE (too deep), -ENOMEM */
NODISCARD int fields_to_json(const struct fields *type, const void *obj, unsigned flags,
                             struct json_t **out);

/* Names match exactly or else in any case, as Go's do; null reads as absent. Borrows `json` and
 * leaves it as it is. *obj is overwritten, so it must own nothing.
 *   ERR_INVALID (breaks the table), ERR_TOO_LARGE (too deep), -ENOMEM */
NODISCARD int fields_from_json(const struct fields *type, struct json_t *json, unsigned flags,
                               void *obj, struct field_error *err);

/* Appends compact JSON text. Fails as fields_to_json, and ERR_TOO_LARGE over the buffer's limit. */
NODISCARD int fields_to_json_text(const struct fields *type, const void *obj, unsigned flags,
                                  struct buf *out);

/* Fails as fields_from_json, and ERR_MALFORMED: the text is not JSON, or has a name twice. */
NODISCARD int fields_from_json_text(const struct fields *type, struct slice text, unsigned flags,
                                    void *obj, struct field_error *err);

/* --- Objects */

/* Checks all limits, presence and one-of rules: ERR_INVALID, ERR_TOO_LARGE (too deep). */
NODISCARD int fields_validate(const struct fields *type, const void *obj, struct field_error *err);

/* Deep copy; *dst is overwritten. -ENOMEM */
NODISCARD int fields_copy(const struct fields *type, const void *src, void *dst);

/* Frees all that the object owns, wipes secrets, leaves zeros. Safe for zeros. */
void fields_deinit(const struct fields *type, void *obj);

bool fields_equal(const struct fields *type, const void *a, const void *b);
bool fields_is_zero(const struct fields *type, const void *obj);

/* A hash of the canonical encoding, the same on every node and in every version that has the
 * same fields set. Not for security. */
uint64_t fields_hash(const struct fields *type, const void *obj);

size_t fields_size(const struct fields *type);      /* sizeof the struct */
const char *fields_name(const struct fields *type); /* "resources" */

/* --- Filling objects. All copy their arguments and change nothing when they fail: -ENOMEM */

NODISCARD int str_set(char **member, const char *text); /* NULL or "": empties it */
NODISCARD int bytes_set(struct bytes *member, struct slice bytes);
void bytes_clear(struct bytes *member); /* frees */
static inline struct slice bytes_slice(const struct bytes *b)
{
    return slice_of(b->ptr, b->len);
}

NODISCARD int str_list_append(struct str_list *list, const char *text);
void str_list_clear(struct str_list *list);

/* The value, borrowed, or NULL. Keys are found by binary search. */
const char *str_map_get(const struct str_map *map, const char *key);
NODISCARD int str_map_set(struct str_map *map, const char *key, const char *value);
void str_map_remove(struct str_map *map, const char *key);
void str_map_clear(struct str_map *map);

/* A new element of zeros at the end of any list made by this header, or NULL: out of memory.
 *     struct mount *m = LIST_ADD(&spec->mounts); */
#define LIST_ADD(list)                                                          \
    ((__typeof__((list)->items))fields_list_add(&(list)->items, &(list)->count, \
                                                sizeof(*(list)->items)))
void *fields_list_add(void *items, size_t *count, size_t item_size);

/* The value at `key` of a `struct name_map`, as void *; NULL if there is none. Add makes one of
 * zeros, or returns what is there; NULL: out of memory. Remove frees it. */
void *fields_map_get(const struct fields *type, const void *map, const char *key);
NODISCARD void *fields_map_add(const struct fields *type, void *map, const char *key);
void fields_map_remove(const struct fields *type, void *map, const char *key);

#endif /* BASE_FIELDS_H */
