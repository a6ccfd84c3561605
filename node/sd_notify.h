/* node/sd_notify.h - Tells a service manager how far the daemon is: sd_notify(3) of systemd.
 * Does nothing when nobody asked, which is when NOTIFY_SOCKET is not set. */
#ifndef NODE_SD_NOTIFY_H
#define NODE_SD_NOTIFY_H

/* `state` is "READY=1", "STOPPING=1", "STATUS=..".  Failures are not reported: a daemon that
 * cannot say that it is ready is ready all the same. */
void sd_notify_state(const char *state);

#endif /* NODE_SD_NOTIFY_H */
