#include "node/cli/spec_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The texts that have ended, and the one that is being read. */
struct splitting {
    json_t *done;
    char *text; /* as long as the whole line: it cannot overflow */
    size_t len;
    bool open; /* a text has begun, though it may be empty: "" is one */
    bool failed;
};

static struct splitting begin(const char *line)
{
    struct splitting s = { .done = json_array(), .text = malloc(strlen(line) + 1) };

    s.failed = s.done == NULL || s.text == NULL;
    return s;
}

static void put(struct splitting *s, char c)
{
    s->text[s->len++] = c;
    s->open = true;
}

static void end_text(struct splitting *s)
{
    if (s->open && json_array_append_new(s->done, json_stringn(s->text, s->len)) < 0)
        s->failed = true;
    s->len = 0;
    s->open = false;
}

static json_t *end(struct splitting *s)
{
    if (!s->failed)
        end_text(s);
    free(s->text);
    if (!s->failed)
        return s->done;
    json_decref(s->done);
    return NULL;
}

/* What is between the quote at `at` and its end, where `at` then is. */
static const char *take_quoted(struct splitting *s, const char *at)
{
    char quote = *at++;

    s->open = true;
    for (; *at != quote; at++) {
        if (quote == '"' && *at == '\\' && at[1] != '\0' && strchr("\"\\$`", at[1]) != NULL)
            at++;
        if (*at == '\0') {
            s->failed = true;
            return at - 1;
        }
        put(s, *at);
    }
    return at;
}

json_t *spec_words(const char *line)
{
    struct splitting s = begin(line);

    for (const char *at = line; *at != '\0' && !s.failed; at++) {
        if (strchr(" \t\n", *at) != NULL)
            end_text(&s);
        else if (*at == '\'' || *at == '"')
            at = take_quoted(&s, at);
        else if (*at == '\\' && at[1] != '\0')
            put(&s, *++at);
        else
            put(&s, *at);
    }
    return end(&s);
}

/* As take_quoted, of a comma-separated part. */
static const char *take_part(struct splitting *s, const char *at)
{
    for (at++; *at != '"' || at[1] == '"'; at++) {
        if (*at == '\0') {
            s->failed = true;
            return at - 1;
        }
        at += *at == '"';
        put(s, *at);
    }
    return at;
}

json_t *spec_commas(const char *text)
{
    struct splitting s = begin(text);

    s.open = true;
    for (const char *at = text; *at != '\0' && !s.failed; at++) {
        if (*at == ',') {
            end_text(&s);
            s.open = true; /* an empty part is one too */
        } else if (*at == '"' && s.len == 0) {
            at = take_part(&s, at);
        } else {
            put(&s, *at);
        }
    }
    return end(&s);
}
