#include "node/control/names.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const moods[] = {
    "able",  "agile", "bold",  "brave",  "bright", "brisk",  "calm",  "clever",
    "cosy",  "eager", "fair",  "famous", "fleet",  "gentle", "glad",  "grand",
    "happy", "hardy", "jolly", "keen",   "kind",   "lively", "loyal", "lucid",
    "merry", "noble", "proud", "quick",  "quiet",  "sturdy", "swift", "wise",
};

static const char *const fish[] = {
    "anchovy", "barbel",  "bass",  "bream",    "burbot",   "carp",     "char",    "cod",
    "dace",    "darter",  "eel",   "flounder", "grayling", "gudgeon",  "haddock", "halibut",
    "herring", "lamprey", "ling",  "loach",    "mackerel", "minnow",   "mullet",  "perch",
    "pike",    "plaice",  "roach", "salmon",   "smelt",    "sturgeon", "tench",   "trout",
};

static const char *pick(struct prng *random, const char *const *words, size_t count)
{
    return words[prng_u64(random) % count];
}

void name_make(struct prng *random, unsigned attempt, char out[OBJECT_NAME_LEN_MAX + 1])
{
    const char *mood = pick(random, moods, ARRAY_LEN(moods));
    const char *one = pick(random, fish, ARRAY_LEN(fish));

    if (attempt < NAMES_TRIES)
        (void)snprintf(out, OBJECT_NAME_LEN_MAX + 1, "%s_%s", mood, one);
    else
        (void)snprintf(out, OBJECT_NAME_LEN_MAX + 1, "%s_%s%" PRIu64, mood, one,
                       prng_u64(random) % 1000000000);
}
