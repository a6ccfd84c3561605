/* tests/support/every_kind.h - Types that have every kind of field, for tests and fuzz targets of
 * the field tables. It defines them too: include it in one file of a program. */
#ifndef TESTS_SUPPORT_EVERY_KIND_H
#define TESTS_SUPPORT_EVERY_KIND_H

#include "base/fields.h"

#define COLOUR_ENUM(X)          \
    X(COLOUR_RED, 0, "red")     \
    X(COLOUR_GREEN, 1, "green") \
    X(COLOUR_BLUE, -7, "blue")
FIELDS_ENUM(colour, COLOUR_ENUM);
FIELDS_ENUM_DEFINE(colour, COLOUR_ENUM);

/* 0 has no row: it means "not set". */
#define MOOD_ENUM(X) X(MOOD_CALM, 1, "calm") X(MOOD_WILD, 2, "wild")
FIELDS_ENUM(mood, MOOD_ENUM);
FIELDS_ENUM_DEFINE(mood, MOOD_ENUM);

#define POINT_FIELDS(X, S)              \
    X(S, 1, I32, ANY, x, "X", OPTIONAL) \
    X(S, 2, I32, RANGE(-100, 100), y, "Y", OPTIONAL)
FIELDS_STRUCT(point, POINT_FIELDS);
FIELDS_DEFINE(point, POINT_FIELDS);

#define TREE_FIELDS(X, S)                       \
    X(S, 1, U32, ANY, value, "Value", OPTIONAL) \
    X(S, 2, OPT, tree, left, "Left", OPTIONAL)  \
    X(S, 3, LIST, OF(tree, 8), children, "Children", OPTIONAL)
FIELDS_STRUCT(tree, TREE_FIELDS);
FIELDS_DEFINE(tree, TREE_FIELDS);

#define NAMED_FIELDS(X, S)                           \
    X(S, 1, STR, LEN(1, 16), name, "Name", REQUIRED) \
    X(S, 2, ID, ANY, id, "ID", REQUIRED)             \
    X(S, 3, STRUCT, point, at, "At", OPTIONAL)
FIELDS_STRUCT(named, NAMED_FIELDS);
FIELDS_DEFINE(named, NAMED_FIELDS);

#define CHOICE_FIELDS(X, S)                       \
    X(S, 1, OPT, point, point, "Point", OPTIONAL) \
    X(S, 2, OPT, named, named, "Named", OPTIONAL)
FIELDS_STRUCT(choice, CHOICE_FIELDS);
FIELDS_DEFINE_ONE_OF(choice, CHOICE_FIELDS);

#define PERHAPS_FIELDS(X, S)                    \
    X(S, 1, OPT, point, here, "Here", OPTIONAL) \
    X(S, 2, OPT, point, there, NULL, OPTIONAL)
FIELDS_STRUCT(perhaps, PERHAPS_FIELDS);
FIELDS_DEFINE_AT_MOST_ONE_OF(perhaps, PERHAPS_FIELDS);

#define EVERY_FIELDS(X, S)                                               \
    X(S, 1, BOOL, ANY, boolean, "Boolean", OPTIONAL)                     \
    X(S, 2, U32, ANY, u32, "U32", OPTIONAL)                              \
    X(S, 3, I32, ANY, i32, "I32", OPTIONAL)                              \
    X(S, 4, U64, ANY, u64, "U64", REQUIRED)                              \
    X(S, 5, I64, ANY, i64, "I64", ALWAYS)                                \
    X(S, 6, F64, ANY, f64, "F64", ALWAYS)                                \
    X(S, 7, F64, RANGE(0, 1), ratio, "Ratio", OPTIONAL)                  \
    X(S, 8, DURATION, RANGE(0, INT64_MAX), delay, "Delay", OPTIONAL)     \
    X(S, 9, TIME, ANY, created, "CreatedAt", ALWAYS)                     \
    X(S, 10, STR, LEN(40), text, "Text", ALWAYS)                         \
    X(S, 11, BYTES, LEN(40), bytes, "Bytes", OPTIONAL)                   \
    X(S, 12, FIXED, SIZE(8), fixed, "Fixed", OPTIONAL)                   \
    X(S, 13, ID, ANY, id, "ID", OPTIONAL)                                \
    X(S, 14, ENUM, colour, colour, "Colour", ALWAYS)                     \
    X(S, 15, ENUM, mood, mood, "Mood", OPTIONAL)                         \
    X(S, 16, STRUCT, point, point, "Point", OPTIONAL)                    \
    X(S, 17, STRUCT, point, origin, "Origin", ALWAYS)                    \
    X(S, 18, OPT, named, named, "Named", OPTIONAL)                       \
    X(S, 19, OPT, choice, choice, "Choice", ALWAYS)                      \
    X(S, 20, OPT_BOOL, ANY, opt_bool, "OptBool", OPTIONAL)               \
    X(S, 21, OPT_U32, ANY, opt_u32, "OptU32", OPTIONAL)                  \
    X(S, 22, OPT_I32, ANY, opt_i32, "OptI32", OPTIONAL)                  \
    X(S, 23, OPT_U64, RANGE(1, UINT64_MAX), opt_u64, "OptU64", OPTIONAL) \
    X(S, 24, OPT_I64, ANY, opt_i64, "OptI64", OPTIONAL)                  \
    X(S, 25, OPT_F64, ANY, opt_f64, "OptF64", OPTIONAL)                  \
    X(S, 26, OPT_DURATION, ANY, opt_duration, "OptDuration", OPTIONAL)   \
    X(S, 27, OPT_TIME, ANY, opt_time, "OptTime", OPTIONAL)               \
    X(S, 28, LIST, OF(named, 8), list, "List", OPTIONAL)                 \
    X(S, 29, LIST_STR, COUNT_LEN(8, 20), texts, "Texts", ALWAYS)         \
    X(S, 30, LIST_BYTES, COUNT(8), blobs, "Blobs", OPTIONAL)             \
    X(S, 31, LIST_U64, COUNT(8), numbers, "Numbers", OPTIONAL)           \
    X(S, 32, LIST_ID, COUNT(8), ids, "IDs", OPTIONAL)                    \
    X(S, 33, MAP, OF(named, 8), map, "Map", OPTIONAL)                    \
    X(S, 34, MAP_STR, COUNT_LEN(8, 20), labels, "Labels", ALWAYS)        \
    X(S, 35, OPT, tree, tree, "Tree", OPTIONAL)                          \
    X(S, 36, STRUCT, perhaps, perhaps, "Perhaps", OPTIONAL)              \
    X(S, 37, STR, ANY, password, "Password", SECRET(OPTIONAL))           \
    X(S, 300, BYTES, ANY, hidden, NULL, OPTIONAL)                        \
    X(S, 70, U32, RANGE(1, 65535), port, "-", OPTIONAL)
FIELDS_STRUCT(every, EVERY_FIELDS);
FIELDS_DEFINE(every, EVERY_FIELDS);

#endif /* TESTS_SUPPORT_EVERY_KIND_H */
