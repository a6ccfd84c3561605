/* What a service manager hears. sd_notify(3) */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/sd_notify.h"
#include "tests/support/unit.h"

/* A service manager's socket. A name that begins with '@' is abstract. */
static int listen_on(const char *name)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    memcpy(at.sun_path, name, strlen(name));
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void assert_hears(int fd, const char *expected)
{
    char text[64] = "";

    assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), strlen(expected));
    assert_string_equal(text, expected);
}

static void test_a_path_is_told(void **state)
{
    char dir[] = "/tmp/shoal-notify.XXXXXX", path[64];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    fd = listen_on(path);
    sd_notify_state("READY=1");
    assert_hears(fd, "READY=1");
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    sd_notify_state("STOPPING=1"); /* nobody listens any more: no harm */
    assert_int_equal(rmdir(dir), 0);
}

static void test_an_abstract_name_is_told(void **state)
{
    char name[64];
    int fd;

    (void)state;
    (void)snprintf(name, sizeof(name), "@shoal-test-%d", (int)getpid());
    fd = listen_on(name);
    sd_notify_state("READY=1");
    assert_hears(fd, "READY=1");
    (void)close(fd);
}

static void test_nobody_asked_or_asked_for_nonsense(void **state)
{
    static const char *const odd[] = { "", "@", "/", "relative", "vsock:2:1" };
    char endless[200];

    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    sd_notify_state("READY=1");
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", odd[i], 1), 0);
        sd_notify_state("READY=1");
    }
    memset(endless, '/', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", endless, 1), 0);
    sd_notify_state("READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_is_told),
        cmocka_unit_test(test_an_abstract_name_is_told),
        cmocka_unit_test(test_nobody_asked_or_asked_for_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
