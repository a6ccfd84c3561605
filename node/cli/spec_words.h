/* node/cli/spec_words.h - Texts that hold several: command lines, and comma-separated parts. Pure.
 */
#ifndef NODE_CLI_SPEC_WORDS_H
#define NODE_CLI_SPEC_WORDS_H

#include <jansson.h>

/* Splits a command line at blanks. 'single', "double" quotes and backslashes work as in a shell;
 * nothing is expanded. An owned array; NULL: a quote is not closed, or no memory. */
json_t *spec_words(const char *line);

/* Splits "a=1,b=2" at commas. A part in "double quotes" may hold commas; two quotes in it are one.
 * An owned array; NULL as above. */
json_t *spec_commas(const char *text);

#endif /* NODE_CLI_SPEC_WORDS_H */
