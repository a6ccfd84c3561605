#include "node/api/tls_info.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

/* RFC 8410 s. 4: SubjectPublicKeyInfo of an Ed25519 key. */
#define DER_HEAD_LEN 12
#define DER_LEN      (DER_HEAD_LEN + CLUSTER_KEY_LEN)
#define TEXT_LEN     sodium_base64_ENCODED_LEN(DER_LEN, sodium_base64_VARIANT_ORIGINAL)

static void to_text(const uint8_t root[CLUSTER_KEY_LEN], char out[TEXT_LEN])
{
    static const uint8_t head[DER_HEAD_LEN] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
    uint8_t der[DER_LEN];

    memcpy(der, head, sizeof(head));
    memcpy(der + sizeof(head), root, CLUSTER_KEY_LEN);
    (void)sodium_bin2base64(out, TEXT_LEN, der, sizeof(der), sodium_base64_VARIANT_ORIGINAL);
}

json_t *tls_info_json(const uint8_t root[CLUSTER_KEY_LEN])
{
    static const char subject[] = "MBAxDjAMBgNVBAMMBXNob2Fs"; /* DER: CN=shoal */
    char key[TEXT_LEN], pem[TEXT_LEN + 64];

    if (sodium_is_zero(root, CLUSTER_KEY_LEN))
        return json_object();
    to_text(root, key);
    (void)snprintf(pem, sizeof(pem), "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n",
                   key);
    return json_pack("{s:s,s:s,s:s}", "TrustRoot", pem, "CertIssuerSubject", subject,
                     "CertIssuerPublicKey", key);
}
