/* node/control/constraint.h - Docker's placement constraints: "node.labels.zone != a". Pure.
 *
 * Keys: node.id, node.hostname, node.ip (an address or a CIDR), node.role, node.platform.os,
 * node.platform.arch, node.labels.<key>, engine.labels.<key>. Operators == and !=. Values are
 * compared without regard to case; an absent label is an empty value. */
#ifndef NODE_CONTROL_CONSTRAINT_H
#define NODE_CONTROL_CONSTRAINT_H

#include "node/object/node.h"

#define CONSTRAINT_LEN_MAX 512

struct constraint {
    char key[CONSTRAINT_LEN_MAX];
    char value[CONSTRAINT_LEN_MAX];
    bool equal;
};

/*   ERR_INVALID: `err` quotes the expression */
NODISCARD int constraint_parse(const char *text, struct constraint *out, struct field_error *err);
bool constraint_holds(const struct constraint *c, const struct node *n);

/* The first that does not hold, borrowed from the list; NULL: all do. One that does not parse does
 * not hold. */
const char *constraints_refusing(const struct str_list *constraints, const struct node *n);
bool constraints_hold(const struct str_list *constraints, const struct node *n);

#endif /* NODE_CONTROL_CONSTRAINT_H */
