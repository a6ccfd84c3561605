#include "node/control/allocate_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT_COUNT = PORT_LAST - PORT_FIRST + 1 };

static void mark_ports(const struct port_list *ports, enum port_protocol protocol, bool *taken)
{
    for (size_t i = 0; i < ports->count; i++) {
        const struct port *port = &ports->items[i];

        if (port->publish_mode == PUBLISH_INGRESS && port->protocol == protocol &&
            port->published_port >= PORT_FIRST && port->published_port <= PORT_LAST)
            taken[port->published_port - PORT_FIRST] = true;
    }
}

/* Not taken by any service, this one included: for another of its ports, now or before, or as it
 * asks itself. 0: there is none. */
static uint32_t lowest_free_port(struct plan *p, const struct service *by,
                                 enum port_protocol protocol, const struct port_list *given)
{
    struct objects_view services = plan_all(p, OBJECT_SERVICE);
    bool taken[PORT_COUNT] = { false };

    for (size_t i = 0; i < services.count; i++) {
        const struct service *s = (const struct service *)(const void *)services.items[i];

        mark_ports(&s->endpoint.ports, protocol, taken);
    }
    mark_ports(&by->spec.endpoint->ports, protocol, taken);
    mark_ports(given, protocol, taken);
    for (uint32_t i = 0; i < PORT_COUNT; i++)
        if (!taken[i])
            return PORT_FIRST + i;
    return 0;
}

/* The port that this service was given before for the same target, else the lowest free one. */
static uint32_t choose_port(struct plan *p, const struct service *s, const struct port *wanted,
                            const struct port_list *given)
{
    for (size_t i = 0; i < given->count; i++)
        if (given->items[i].target_port == wanted->target_port &&
            given->items[i].protocol == wanted->protocol &&
            given->items[i].publish_mode == wanted->publish_mode)
            return given->items[i].published_port;
    if (wanted->publish_mode == PUBLISH_HOST)
        return 0; /* the node chooses */
    return lowest_free_port(p, s, wanted->protocol, given);
}

bool allocate_ports(struct plan *p, struct service *s, struct field_error *why)
{
    struct port_list given = s->endpoint.ports;
    bool ok = true;

    s->endpoint.ports = (struct port_list){ 0 };
    for (size_t i = 0; s->spec.endpoint != NULL && i < s->spec.endpoint->ports.count; i++) {
        const struct port *wanted = &s->spec.endpoint->ports.items[i];
        struct port *port = LIST_ADD(&s->endpoint.ports);

        if (port == NULL || fields_copy(&port_type, wanted, port) < 0) {
            p->err = -ENOMEM;
            break;
        }
        if (port->published_port == 0)
            port->published_port = choose_port(p, s, wanted, &given);
        if (port->published_port == 0 && port->publish_mode == PUBLISH_INGRESS) {
            (void)snprintf(why->text, sizeof(why->text),
                           "no published port between %d and %d is free", PORT_FIRST, PORT_LAST);
            ok = false;
        }
    }
    for (size_t i = 0; i < given.count; i++)
        fields_deinit(&port_type, &given.items[i]);
    free(given.items);
    return ok;
}
