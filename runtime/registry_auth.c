/* A registry that wants to know who asks answers 401 with a challenge:
 *
 *     Basic                     user and password go with every request
 *     Bearer realm, service..   the realm, a token server, gives a token for user and password or
 * for a refresh token; it goes with every request until it expires
 *
 * Threads that pull layers side by side share one authorization; its number tells a refusal of
 * the present one from one that another thread has replaced meanwhile. Credentials go to https
 * only, unless the registry itself is spoken to in plain HTTP. */
#include "runtime/registry_auth.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <sodium.h>

#include "base/err.h"
#include "runtime/limits.h"
#include "runtime/transfer.h"

#define TOKEN_ANSWER_MAX (64 * KIB)

/* --- Challenges */

/* key="value" or key=value; false at the end. */
static bool next_parameter(struct slice *rest, struct slice *key, struct slice *value)
{
    size_t i = 0, start;

    while (i < rest->len && (rest->ptr[i] == ' ' || rest->ptr[i] == ',' || rest->ptr[i] == '\t'))
        i++;
    start = i;
    while (i < rest->len && rest->ptr[i] != '=' && rest->ptr[i] != ',')
        i++;
    if (i >= rest->len || rest->ptr[i] != '=')
        return false;
    *key = slice_of(rest->ptr + start, i - start);
    start = ++i;
    if (i < rest->len && rest->ptr[i] == '"') {
        start = ++i;
        while (i < rest->len && rest->ptr[i] != '"')
            i++;
        *value = slice_of(rest->ptr + start, i - start);
        i += i < rest->len;
    } else {
        while (i < rest->len && rest->ptr[i] != ',' && rest->ptr[i] != ' ')
            i++;
        *value = slice_of(rest->ptr + start, i - start);
    }
    rest->ptr += i;
    rest->len -= i;
    return true;
}

static void copy_value(char *out, size_t cap, struct slice value)
{
    if (value.len >= cap || memchr(value.ptr, 0, value.len) != NULL)
        return; /* nothing real is that long: as if it were not there */
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
}

static bool key_is(struct slice key, const char *name)
{
    return key.len == strlen(name) && strncasecmp((const char *)key.ptr, name, key.len) == 0;
}

void registry_parse_challenge(struct slice header, struct auth_challenge *out)
{
    struct slice key, value;

    while (header.len > 0 && isspace(header.ptr[0])) {
        header.ptr++;
        header.len--;
    }
    if (header.len >= 5 && strncasecmp((const char *)header.ptr, "basic", 5) == 0)
        out->is_basic = true;
    if (header.len < 7 || strncasecmp((const char *)header.ptr, "bearer ", 7) != 0)
        return;
    out->is_bearer = true;
    header.ptr += 7;
    header.len -= 7;
    while (next_parameter(&header, &key, &value)) {
        if (key_is(key, "realm"))
            copy_value(out->realm, sizeof(out->realm), value);
        else if (key_is(key, "service"))
            copy_value(out->service, sizeof(out->service), value);
        else if (key_is(key, "scope"))
            copy_value(out->scope, sizeof(out->scope), value);
    }
}

/* --- Tokens */

static void append_query(CURL *curl, struct buf *url, char separator, const char *key,
                         const char *value)
{
    char *escaped = value[0] == '\0' ? NULL : curl_easy_escape(curl, value, 0);

    if (escaped != NULL) /* too long a URL fails by itself */
        (void)!buf_printf(url, "%c%s=%s", separator, key, escaped);
    curl_free(escaped);
}

int registry_set_authorization(struct registry *r, const char *scheme, const char *token)
{
    int len;

    uv_mutex_lock(&r->mutex);
    len =
        snprintf(r->authorization, sizeof(r->authorization), "Authorization: %s %s", scheme, token);
    r->authorization_number++;
    uv_mutex_unlock(&r->mutex);
    return len < (int)sizeof(r->authorization) ? 0 : ERR_TOO_LARGE;
}

static int use_basic(struct registry *r)
{
    char pair[1024], encoded[2048];
    int len = snprintf(pair, sizeof(pair), "%s:%s", r->username, r->password);
    int rc;

    if (len < 0 || len >= (int)sizeof(pair))
        return ERR_TOO_LARGE;
    (void)sodium_bin2base64(encoded, sizeof(encoded), (const unsigned char *)pair, (size_t)len,
                            sodium_base64_VARIANT_ORIGINAL);
    rc = registry_set_authorization(r, "Basic", encoded);
    sodium_memzero(pair, sizeof(pair));
    sodium_memzero(encoded, sizeof(encoded));
    return rc;
}

static int take_token(struct registry *r, const struct buf *answer)
{
    json_t *json = json_loadb((const char *)answer->ptr, answer->len, 0, NULL);
    const char *token = json_string_value(json_object_get(json, "token"));
    int rc;

    if (token == NULL)
        token = json_string_value(json_object_get(json, "access_token"));
    rc = token == NULL || strpbrk(token, "\r\n") != NULL
             ? ERR_MALFORMED
             : registry_set_authorization(r, "Bearer", token);
    json_decref(json);
    return rc;
}

/* Docker's token spec, or its OAuth2 form when there is a refresh token: then `form` is POSTed.
 * Both end with NUL. */
static int write_token_request(struct transfer *t, const struct auth_challenge *challenge,
                               struct buf *url, struct buf *form)
{
    const char *identity_token = t->r->identity_token;
    char separator = strchr(challenge->realm, '?') == NULL ? '?' : '&';
    int rc = buf_append_str(url, challenge->realm);

    if (identity_token != NULL) {
        if (rc == 0)
            rc = buf_append_str(form, "grant_type=refresh_token&client_id=shoal");
        append_query(t->curl, form, '&', "service", challenge->service);
        append_query(t->curl, form, '&', "scope", challenge->scope);
        append_query(t->curl, form, '&', "refresh_token", identity_token);
    } else {
        append_query(t->curl, url, separator, "service", challenge->service);
        append_query(t->curl, url, '&', "scope", challenge->scope);
    }
    if (rc == 0)
        rc = buf_append_byte(url, '\0');
    return rc < 0 ? rc : buf_append_byte(form, '\0');
}

static int send_token_request(struct transfer *t, const char *url, const char *form,
                              struct fault *f)
{
    const struct registry *r = t->r;
    long status = 0;
    CURLcode code;
    int rc;

    transfer_set_up(t, url, r->is_http);
    if (r->identity_token != NULL) {
        (void)curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, form);
    } else if (r->username != NULL) {
        (void)curl_easy_setopt(t->curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        (void)curl_easy_setopt(t->curl, CURLOPT_USERNAME, r->username);
        (void)curl_easy_setopt(t->curl, CURLOPT_PASSWORD, r->password);
    }
    code = curl_easy_perform(t->curl);
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        return 0;
    rc = transfer_judge(t, code, status, f);
    return fault_prefix(f, rc == 0 ? ERR_UNAVAILABLE : rc, "token server");
}

static int ask_token(struct registry *r, const struct auth_challenge *challenge, struct fault *f)
{
    struct transfer t = { .r = r };
    struct buf answer, url, form;
    int rc;

    if (strncmp(challenge->realm, "https://", 8) != 0 &&
        !(r->is_http && strncmp(challenge->realm, "http://", 7) == 0))
        return fault_set(f, ERR_FORBIDDEN,
                         "registry %s: wants credentials sent to %.200s, which is not https",
                         registry_host(r), challenge->realm);
    t.curl = curl_easy_init();
    if (t.curl == NULL)
        return fault_system(f, -ENOMEM, "registry %s", registry_host(r));
    buf_init(&answer, TOKEN_ANSWER_MAX);
    buf_init(&url, 8192);
    buf_init(&form, 65536);
    t.text = &answer;
    rc = write_token_request(&t, challenge, &url, &form);
    if (rc < 0)
        fault_system(f, rc, "registry %s", registry_host(r));
    if (rc == 0)
        rc = send_token_request(&t, (const char *)url.ptr, (const char *)form.ptr, f);
    if (rc == 0 && take_token(r, &answer) < 0)
        rc = fault_set(f, ERR_MALFORMED, "registry %s: its token server sent no token",
                       registry_host(r));
    curl_easy_cleanup(t.curl);
    buf_deinit(&answer);
    buf_deinit(&url);
    if (form.ptr != NULL)
        sodium_memzero(form.ptr, form.len);
    buf_deinit(&form);
    return rc;
}

int registry_authorize(struct registry *r, const struct auth_challenge *challenge, uint64_t used,
                       struct fault *f)
{
    bool renewed;
    int rc;

    uv_mutex_lock(&r->mutex);
    renewed = r->authorization_number != used;
    uv_mutex_unlock(&r->mutex);
    if (renewed)
        return 0;
    if (challenge->is_bearer && challenge->realm[0] != '\0')
        return ask_token(r, challenge, f);
    if (challenge->is_basic && r->username != NULL && used == 0) {
        rc = use_basic(r);
        return rc < 0 ? fault_system(f, rc, "registry %s: credentials", registry_host(r)) : 0;
    }
    return fault_set(f, ERR_UNAUTHENTICATED, "registry %s: %s", registry_host(r),
                     r->username == NULL ? "wants a login; give credentials"
                                         : "refuses the credentials");
}
