/* node/control/explain_impl.h - Private to explain*.c. */
#ifndef NODE_CONTROL_EXPLAIN_IMPL_H
#define NODE_CONTROL_EXPLAIN_IMPL_H

#include "base/time_text.h"
#include "node/control/explain.h"
#include "node/control/service.h"

struct explainer {
    struct plan p; /* nothing is changed in it; p.err: no memory */
    const struct service *s;
    struct schedule *schedule; /* made when first needed */
    struct tasks_view tasks;   /* of the service, by place */
    struct service_why *out;
    size_t misplaced; /* of out->places the last that no node suits, + 1; 0: none yet */
};

/* Sets a text, formatted and cut at a bound; p.err when there is no memory. */
void explain_say(struct explainer *e, char **out, const char *format, ...) PRINTF_LIKE(3, 4);

/* How many bytes of a text from outside go into a sentence: not so many, and whole characters. */
int explain_len(const char *text);
#define EXPLAIN_ERR(text) explain_len(text), (text) /* for "%.*s" */

/* In whole seconds, at least one: "1m30s". */
void explain_duration(int64_t ns, char out[DURATION_TEXT_MAX]);

const char *explain_node_name(const struct node *n);

/* explain_placement.c: what each filter refuses, and the sentence of it. `t` need not be stored. */
void explain_placement(struct explainer *e, struct why_reason *r, const struct task *t);

/* explain_update.c: where an update or a rollback stands. */
void explain_update(struct explainer *e, const struct places *places);

/* A new reason of the service; NULL: no memory. */
struct why_reason *explain_service_reason(struct explainer *e, enum why_code code);

#endif /* NODE_CONTROL_EXPLAIN_IMPL_H */
