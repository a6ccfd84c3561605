#include "node/cli/service_why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_reason(struct listing *t, const char *place, const json_t *reason)
{
    const char *state = text_at(reason, "State");
    char when[64];

    listing_add(t, place);
    if (at(reason, "Since") != NULL)
        listing_addf(t, "%s%s%s", state, state[0] == '\0' ? "" : " ",
                     ago(text_at(reason, "Since"), when, sizeof(when)));
    else
        listing_add(t, state);
    listing_add(t, text_at(reason, "Code"));
    listing_add(t, text_at(reason, "Message"));
}

static void add_place(struct listing *t, const char *service, const json_t *reason)
{
    char place[160];

    if (number_at(reason, "Slot") > 0)
        (void)snprintf(place, sizeof(place), "%s.%lld", service,
                       (long long)number_at(reason, "Slot"));
    else
        (void)snprintf(place, sizeof(place), "%s on %s", service, text_at(reason, "Node"));
    add_reason(t, place, reason);
}

static void print_table(const json_t *why)
{
    static const char *const titles[] = { "TASK", "STATE", "REASON", "EXPLANATION", NULL };
    const json_t *reasons = at(why, "Reasons"), *places = at(why, "Places");
    const char *name = text_at(why, "Name");
    long long left_out = (long long)number_at(why, "PlacesLeftOut");
    struct listing t;

    (void)printf("%s: %s\n", name, text_at(why, "Message"));
    if (json_array_size(reasons) + json_array_size(places) == 0)
        return;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(reasons); i++)
        add_reason(&t, "-", json_array_get(reasons, i));
    for (size_t i = 0; i < json_array_size(places); i++)
        add_place(&t, name, json_array_get(places, i));
    listing_print(&t, LISTING_ALIGNED);
    listing_deinit(&t);
    if (left_out > 0)
        (void)printf("and %lld more tasks\n", left_out);
}

int service_why_run(struct invocation *in)
{
    const char *format = args_text(&in->args, "format", "table");
    char *escaped;
    json_t *why;

    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0) {
        (void)fprintf(stderr, "shoal: --format %s: give table or json\n", format);
        return EXIT_USAGE;
    }
    escaped = client_escape(in->client, in->args.positional[0]);
    why = get_json(in, "/services/%s/why", escaped);
    free(escaped);
    if (why == NULL)
        return EXIT_ERROR;
    if (strcmp(format, "json") == 0)
        (void)print_inspected(why);
    else
        print_table(why);
    json_decref(why);
    return EXIT_OK;
}
