#include "node/cli/help.h"

#include <string.h>

static void print_line(const struct command *c, FILE *out)
{
    (void)fprintf(out, "  %-20s  %s\n", c->name, c->help);
}

void help_overview(const struct command_groups *groups, FILE *out)
{
    (void)fputs("usage: shoal [--socket PATH] COMMAND\n\n  daemon                run a node\n",
                out);
    for (size_t g = 0; g < groups->count; g++) {
        (void)fputc('\n', out);
        for (const struct command *c = groups->items[g]; c->name != NULL; c++)
            print_line(c, out);
    }
    (void)fputs("\n`shoal COMMAND --help` shows the options of a command.\n", out);
}

static bool begins_with(const struct command *c, const char *word)
{
    size_t len = strlen(word);

    return strncmp(c->name, word, len) == 0 && c->name[len] == ' ';
}

bool help_group(const struct command_groups *groups, const char *word, FILE *out)
{
    bool found = false;

    for (size_t g = 0; g < groups->count; g++)
        for (const struct command *c = groups->items[g]; c->name != NULL; c++) {
            if (!begins_with(c, word))
                continue;
            if (!found)
                (void)fprintf(out, "usage: shoal %s COMMAND\n\n", word);
            found = true;
            print_line(c, out);
        }
    return found;
}

void help_command(const struct command *c, FILE *out)
{
    (void)fprintf(out, "usage: shoal %s [OPTIONS] %s\n\n%s\n\n", c->name, c->usage, c->help);
    for (const struct option_def *o = c->options; o->name != NULL; o++) {
        char left[80];

        (void)snprintf(left, sizeof(left), "%c%c%s --%s %s", o->letter != 0 ? '-' : ' ',
                       o->letter != 0 ? o->letter : ' ', o->letter != 0 ? "," : " ", o->name,
                       o->placeholder == NULL ? "" : o->placeholder);
        (void)fprintf(out, "  %-44s %s\n", left, o->help);
    }
}

/* --- The manual page */

/* Text as text: a hyphen stays one that can be copied, and nothing becomes a request. */
static void put_roff(const char *text, FILE *out)
{
    (void)fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            (void)fputs("\\e", out);
        else if (*text == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(*text, out);
    }
}

static void put_bold(const char *text, FILE *out)
{
    (void)fputs("\\fB", out);
    put_roff(text, out);
    (void)fputs("\\fR", out);
}

static void put_option(const struct option_def *o, FILE *out)
{
    (void)fputs(".TP\n", out);
    if (o->letter != 0)
        (void)fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
    (void)fputs("\\fB\\-\\-\\fR", out);
    put_bold(o->name, out);
    if (o->placeholder != NULL) {
        (void)fputs(" \\fI", out);
        put_roff(o->placeholder, out);
        (void)fputs("\\fR", out);
    }
    (void)fputc('\n', out);
    put_roff(o->help, out);
    (void)fputc('\n', out);
}

static void put_command(const struct command *c, FILE *out)
{
    (void)fputs(".SS shoal ", out);
    put_roff(c->name, out);
    (void)fputs("\n.B shoal ", out);
    put_roff(c->name, out);
    (void)fputs(c->options->name == NULL ? "\n" : " [\\fIOPTIONS\\fR]\n", out);
    if (c->usage[0] != '\0') {
        put_roff(c->usage, out);
        (void)fputc('\n', out);
    }
    (void)fputs(".PP\n", out);
    put_roff(c->help, out);
    (void)fputs("\n", out);
    for (const struct option_def *o = c->options; o->name != NULL; o++)
        put_option(o, out);
}

void help_manual(const struct command_groups *groups, FILE *out)
{
    (void)fputs(
        ".TH SHOAL 1\n.SH NAME\nshoal \\- a cluster of machines that run containers\n"
        ".SH SYNOPSIS\n.B shoal\n[\\fB\\-\\-socket\\fR \\fIPATH\\fR] \\fICOMMAND\\fR\n"
        ".SH DESCRIPTION\nThe commands talk to the daemon of this machine, shoal\\-daemon(8). "
        "Services, networks, secrets and\nconfigs are asked of a manager; containers and "
        "images are those of this machine.\n"
        ".TP\n\\fB\\-\\-socket\\fR \\fIPATH\\fR\nthe daemon's socket\n.SH COMMANDS\n",
        out);
    for (size_t g = 0; g < groups->count; g++)
        for (const struct command *c = groups->items[g]; c->name != NULL; c++)
            put_command(c, out);
    (void)fputs(".SH ENVIRONMENT\n.TP\n.B SHOAL_HOST\nthe daemon's socket, a path or unix://PATH\n"
                ".TP\n.B DOCKER_HOST\nthe same, where SHOAL_HOST is not set\n"
                ".SH EXIT STATUS\n0: done. 1: refused or failed; the reason is on standard error. "
                "2: the command line is wrong.\n"
                ".SH SEE ALSO\nshoal\\-daemon(8)\n",
                out);
}
