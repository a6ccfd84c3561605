/* tests/unit/overlaynet/support_services.h - A table of services that tests of names and rules
 * share: network "blue" with "web" (virtual IP, backends a and b ready, c not, b on node "far"),
 * "db" (round robin) and a gateway; network "red" with another "web" and "secret". */
#ifndef TESTS_SUPPORT_SERVICES_H
#define TESTS_SUPPORT_SERVICES_H

#include "overlaynet/services_table.h"

struct id services_id(const char *name); /* padded with '0' */
struct ip_addr services_ip(const char *text);

void services_make(struct services_table *t);
void services_add_service(struct services_table *t, const char *network, const char *name,
                          enum overlay_service_mode mode, const char *vip);
/* Number n has the address 10.0.n / 256.n % 256. */
void services_add_backend(struct services_table *t, const char *network, const char *service,
                          unsigned n, bool ready);

#endif /* TESTS_SUPPORT_SERVICES_H */
