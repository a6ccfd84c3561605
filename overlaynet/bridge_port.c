/* One order for all ports, whatever bridge they belong to. */
#include "overlaynet/bridge_port.h"

#include <unistd.h>

#include "overlaynet/guard_bpf.h"

int bridge_port_set_up(struct netlink *nl, uint32_t port, uint32_t bridge,
                       enum netlink_port_role role, const struct guard_identity *who)
{
    int program = guard_bpf_load(who), rc;

    if (program < 0)
        return program;
    rc = netlink_set_ingress_program(nl, port, program);
    (void)close(program); /* the kernel keeps it */
    if (rc == 0)
        rc = netlink_set_link(nl, port, &(struct netlink_link){ .master = bridge });
    if (rc == 0)
        rc = netlink_set_port(nl, port, role);
    if (rc == 0)
        rc = netlink_set_fdb(nl, port, who->mac);
    if (rc == 0)
        rc = netlink_set_link(nl, port, &(struct netlink_link){ .up = true });
    return rc;
}
