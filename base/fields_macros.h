/* base/fields_macros.h - What the columns of a field table expand to; included by base/fields.h.
 *
 * Every kind is a shape (one value, pointer, list, map) of a value kind (BOOL .. STRUCT), so that
 * the codecs know four shapes and thirteen value kinds instead of their product. */
#ifndef BASE_FIELDS_MACROS_H
#define BASE_FIELDS_MACROS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum field_shape { FIELD_ONE, FIELD_POINTER, FIELD_LIST, FIELD_MAP };

enum field_kind {
    FIELD_BOOL,
    FIELD_U32,
    FIELD_I32,
    FIELD_U64,
    FIELD_I64, /* and DURATION: the same in bytes and JSON */
    FIELD_F64,
    FIELD_TIME,
    FIELD_ENUM,
    FIELD_STR,
    FIELD_BYTES,
    FIELD_FIXED,
    FIELD_ID,
    FIELD_STRUCT,
};

enum field_presence {
    FIELD_OPTIONAL = 0,
    FIELD_REQUIRED = 1,
    FIELD_ALWAYS = 2,
    FIELD_PRESENCE_MASK = 3,
    FIELD_IS_SECRET = 4,
};
#define FIELD_SECRET(presence) (FIELD_##presence | FIELD_IS_SECRET)

enum fields_rule { FIELDS_ALL, FIELDS_ONE_OF, FIELDS_AT_MOST_ONE_OF };

struct fields;
struct enum_names;

/* One row. The limits are inclusive; of a value, or of the length in bytes of STR and BYTES. */
struct field {
    uint16_t tag;
    uint8_t shape;    /* enum field_shape */
    uint8_t kind;     /* enum field_kind, of the value or of each element */
    uint8_t presence; /* enum field_presence */
    uint32_t offset;  /* in the struct */
    uint32_t size;    /* of the value */
    uint32_t stride;  /* of a list's or map's item */
    uint32_t count_max;
    int64_t min; /* min <= 0 bounds no unsigned */
    uint64_t max;
    const struct fields *type;      /* STRUCT */
    const struct enum_names *names; /* ENUM */
    const char *name;
    const char *json; /* NULL: not in JSON */
};

struct fields {
    const char *name;
    const struct field *rows;
    uint32_t count;
    uint32_t size;     /* of the struct */
    uint32_t required; /* how many rows are REQUIRED */
    enum fields_rule rule;
};

#define FIELDS_DEFINE_AS(type_name, LIST, the_rule)                                              \
    enum { LIST(FIELDS_TAG_ONCE, type_name) type_name##_tags_end };                              \
    static const struct field type_name##_fields[] = { LIST(FIELDS_ROW, type_name) };            \
    static_assert(ARRAY_LEN(type_name##_fields) <= FIELDS_COUNT_MAX, "too many fields");         \
    static_assert(offsetof(struct type_name##_map_item, value) == sizeof(char *),                \
                  "a map's value follows its key");                                              \
    const struct fields type_name##_type = { .name = #type_name,                                 \
                                             .rows = type_name##_fields,                         \
                                             .count = ARRAY_LEN(type_name##_fields),             \
                                             .size = sizeof(struct type_name),                   \
                                             .required = 0 LIST(FIELDS_ADD_REQUIRED, type_name), \
                                             .rule = (the_rule) }

#define FIELDS_ROW(S, the_tag, the_kind, argument, member, json_name, the_presence) \
    { .tag = (the_tag),                                                             \
      .presence = FIELD_##the_presence,                                             \
      .offset = offsetof(struct S, member),                                         \
      .name = #member,                                                              \
      .json = (json_name),                                                          \
      FIELDS_ROW_##the_kind(argument) },

/* Two rows with one tag do not compile. */
#define FIELDS_TAG_ONCE(S, tag, kind, argument, member, json_name, presence) S##_has_tag_##tag,

#define FIELDS_ADD_REQUIRED(S, tag, kind, argument, member, json_name, presence) \
    +(FIELD_##presence == FIELD_REQUIRED)

#define FIELDS_MEMBER(S, tag, kind, argument, member, json_name, presence) \
    FIELDS_MEMBER_##kind(argument, member);

#define FIELDS_ENUM_CONSTANT(constant, number, text) constant = (number),
#define FIELDS_ENUM_ROW(constant, number, text)      { (number), (text) },

/* --- Arguments. Their names are never macros themselves: they are only pasted to a prefix. */

#define FIELDS_LIMIT_ANY                      .min = INT64_MIN, .max = UINT64_MAX
#define FIELDS_LIMIT_RANGE(low, high)         .min = (low), .max = (high)
#define FIELDS_LIMIT_LEN(...)                 FIELDS_PICK(__VA_ARGS__, FIELDS_LEN_2, FIELDS_LEN_1, )(__VA_ARGS__)
#define FIELDS_LEN_1(high)                    .min = 0, .max = (high)
#define FIELDS_LEN_2(low, high)               .min = (low), .max = (high)
#define FIELDS_PICK(a, b, pick, ...)          pick
#define FIELDS_COUNT_COUNT(high)              .count_max = (high), FIELDS_LIMIT_ANY
#define FIELDS_COUNT_COUNT_LEN(high, len_max) .count_max = (high), .min = 0, .max = (len_max)
#define FIELDS_SIZE_SIZE(n)                   (n)
#define FIELDS_LIST_OF(t, max)                struct t##_list
#define FIELDS_MAP_OF(t, max)                 struct t##_map
#define FIELDS_LIST_ROW_OF(t, high) \
    .type = &t##_type, .size = sizeof(struct t), .stride = sizeof(struct t), .count_max = (high)
#define FIELDS_MAP_ROW_OF(t, high)                                                      \
    .type = &t##_type, .size = sizeof(struct t), .stride = sizeof(struct t##_map_item), \
    .count_max = (high)

/* --- Members */

#define FIELDS_MEMBER_BOOL(argument, member)         bool member
#define FIELDS_MEMBER_U32(argument, member)          uint32_t member
#define FIELDS_MEMBER_I32(argument, member)          int32_t member
#define FIELDS_MEMBER_U64(argument, member)          uint64_t member
#define FIELDS_MEMBER_I64(argument, member)          int64_t member
#define FIELDS_MEMBER_F64(argument, member)          double member
#define FIELDS_MEMBER_DURATION(argument, member)     int64_t member
#define FIELDS_MEMBER_TIME(argument, member)         wall_ns member
#define FIELDS_MEMBER_STR(argument, member)          char *member
#define FIELDS_MEMBER_BYTES(argument, member)        struct bytes member
#define FIELDS_MEMBER_FIXED(argument, member)        uint8_t member[FIELDS_SIZE_##argument]
#define FIELDS_MEMBER_ID(argument, member)           struct id member
#define FIELDS_MEMBER_ENUM(argument, member)         enum argument member
#define FIELDS_MEMBER_STRUCT(argument, member)       struct argument member
#define FIELDS_MEMBER_OPT(argument, member)          struct argument *member
#define FIELDS_MEMBER_OPT_BOOL(argument, member)     bool *member
#define FIELDS_MEMBER_OPT_U32(argument, member)      uint32_t *member
#define FIELDS_MEMBER_OPT_I32(argument, member)      int32_t *member
#define FIELDS_MEMBER_OPT_U64(argument, member)      uint64_t *member
#define FIELDS_MEMBER_OPT_I64(argument, member)      int64_t *member
#define FIELDS_MEMBER_OPT_F64(argument, member)      double *member
#define FIELDS_MEMBER_OPT_DURATION(argument, member) int64_t *member
#define FIELDS_MEMBER_OPT_TIME(argument, member)     wall_ns *member
#define FIELDS_MEMBER_LIST(argument, member)         FIELDS_LIST_##argument member
#define FIELDS_MEMBER_LIST_STR(argument, member)     struct str_list member
#define FIELDS_MEMBER_LIST_BYTES(argument, member)   struct bytes_list member
#define FIELDS_MEMBER_LIST_U64(argument, member)     struct u64_list member
#define FIELDS_MEMBER_LIST_ID(argument, member)      struct id_list member
#define FIELDS_MEMBER_MAP(argument, member)          FIELDS_MAP_##argument member
#define FIELDS_MEMBER_MAP_STR(argument, member)      struct str_map member

/* --- Rows */

#define FIELDS_VALUE(the_shape, the_kind, c_type) \
    .shape = (the_shape), .kind = (the_kind), .size = sizeof(c_type)
#define FIELDS_ITEMS(the_shape, the_kind, c_type, c_item) \
    FIELDS_VALUE(the_shape, the_kind, c_type), .stride = sizeof(c_item)

#define FIELDS_ROW_BOOL(a)     FIELDS_VALUE(FIELD_ONE, FIELD_BOOL, bool), FIELDS_LIMIT_##a
#define FIELDS_ROW_U32(a)      FIELDS_VALUE(FIELD_ONE, FIELD_U32, uint32_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_I32(a)      FIELDS_VALUE(FIELD_ONE, FIELD_I32, int32_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_U64(a)      FIELDS_VALUE(FIELD_ONE, FIELD_U64, uint64_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_I64(a)      FIELDS_VALUE(FIELD_ONE, FIELD_I64, int64_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_F64(a)      FIELDS_VALUE(FIELD_ONE, FIELD_F64, double), FIELDS_LIMIT_##a
#define FIELDS_ROW_DURATION(a) FIELDS_VALUE(FIELD_ONE, FIELD_I64, int64_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_TIME(a)     FIELDS_VALUE(FIELD_ONE, FIELD_TIME, wall_ns), FIELDS_LIMIT_##a
#define FIELDS_ROW_STR(a)      FIELDS_VALUE(FIELD_ONE, FIELD_STR, char *), FIELDS_LIMIT_##a
#define FIELDS_ROW_BYTES(a)    FIELDS_VALUE(FIELD_ONE, FIELD_BYTES, struct bytes), FIELDS_LIMIT_##a
#define FIELDS_ROW_FIXED(a) \
    .shape = FIELD_ONE, .kind = FIELD_FIXED, .size = FIELDS_SIZE_##a, FIELDS_LIMIT_ANY
#define FIELDS_ROW_ID(a) FIELDS_VALUE(FIELD_ONE, FIELD_ID, struct id), FIELDS_LIMIT_##a
#define FIELDS_ROW_ENUM(e) \
    FIELDS_VALUE(FIELD_ONE, FIELD_ENUM, enum e), FIELDS_LIMIT_ANY, .names = &e##_names
#define FIELDS_ROW_STRUCT(t)       FIELDS_VALUE(FIELD_ONE, FIELD_STRUCT, struct t), .type = &t##_type
#define FIELDS_ROW_OPT(t)          FIELDS_VALUE(FIELD_POINTER, FIELD_STRUCT, struct t), .type = &t##_type
#define FIELDS_ROW_OPT_BOOL(a)     FIELDS_VALUE(FIELD_POINTER, FIELD_BOOL, bool), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_U32(a)      FIELDS_VALUE(FIELD_POINTER, FIELD_U32, uint32_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_I32(a)      FIELDS_VALUE(FIELD_POINTER, FIELD_I32, int32_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_U64(a)      FIELDS_VALUE(FIELD_POINTER, FIELD_U64, uint64_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_I64(a)      FIELDS_VALUE(FIELD_POINTER, FIELD_I64, int64_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_F64(a)      FIELDS_VALUE(FIELD_POINTER, FIELD_F64, double), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_DURATION(a) FIELDS_VALUE(FIELD_POINTER, FIELD_I64, int64_t), FIELDS_LIMIT_##a
#define FIELDS_ROW_OPT_TIME(a)     FIELDS_VALUE(FIELD_POINTER, FIELD_TIME, wall_ns), FIELDS_LIMIT_##a
#define FIELDS_ROW_LIST(a)         .shape = FIELD_LIST, .kind = FIELD_STRUCT, FIELDS_LIST_ROW_##a
#define FIELDS_ROW_LIST_STR(a)     FIELDS_ITEMS(FIELD_LIST, FIELD_STR, char *, char *), FIELDS_COUNT_##a
#define FIELDS_ROW_LIST_BYTES(a) \
    FIELDS_ITEMS(FIELD_LIST, FIELD_BYTES, struct bytes, struct bytes), FIELDS_COUNT_##a
#define FIELDS_ROW_LIST_U64(a) \
    FIELDS_ITEMS(FIELD_LIST, FIELD_U64, uint64_t, uint64_t), FIELDS_COUNT_##a
#define FIELDS_ROW_LIST_ID(a) \
    FIELDS_ITEMS(FIELD_LIST, FIELD_ID, struct id, struct id), FIELDS_COUNT_##a
#define FIELDS_ROW_MAP(a) .shape = FIELD_MAP, .kind = FIELD_STRUCT, FIELDS_MAP_ROW_##a
#define FIELDS_ROW_MAP_STR(a) \
    FIELDS_ITEMS(FIELD_MAP, FIELD_STR, char *, struct str_map_item), FIELDS_COUNT_##a

#endif /* BASE_FIELDS_MACROS_H */
