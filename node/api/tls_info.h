/* node/api/tls_info.h - A root of the cluster's authority as Docker's TLSInfo.
 *
 * Ours is a bare Ed25519 key and no X.509 certificate: TrustRoot is the public key in PEM (RFC
 * 8410), the issuer's public key the same in DER, and its subject, which exists for clients that
 * compare it, says CN=shoal. Clients tell from it which nodes have a certificate of the present
 * root. */
#ifndef NODE_API_TLS_INFO_H
#define NODE_API_TLS_INFO_H

#include <jansson.h>

#include "node/cluster/cert.h"

/* {} for a key of zeros, which is not known. The result is owned; NULL: no memory. */
json_t *tls_info_json(const uint8_t root[CLUSTER_KEY_LEN]);

#endif /* NODE_API_TLS_INFO_H */
