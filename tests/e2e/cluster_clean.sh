#!/usr/bin/env bash
# Ctrl-C in the middle of the demo ends it and leaves nothing behind: no process, namespace, cgroup,
# mount or file, while a cluster beside it goes on undisturbed.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq tcpdump strings
cluster_up 1
shoal 1 init --advertise-addr "$(address 1)" >/dev/null
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
shoal 1 service create -d --name stays web:1 sleep 1d >/dev/null
within 10 running 1 stays 1 || fail "a service of its own"
before=$(containers 1)

# As from a terminal: the signal goes to the whole process group, and nobody ignores it.
setsid env --default-signal=INT bash ./demo.sh >"$WORK/demo.log" 2>&1 &
demo=$!
within 60 grep -q '^== By name' "$WORK/demo.log" || { cat "$WORK/demo.log"; fail "the demo does not come so far"; }
ip netns list | grep -q "^sh$demo-" || fail "the demo's namespaces are not called sh$demo-*"
kill -INT -- "-$demo"
status=0
wait $demo || status=$?
[ $status = 130 ] || fail "the demo's exit status after Ctrl-C is $status, not 130"

left() {
    ip netns list | grep "^sh$demo-"
    group_dirs "/shoal-sh$demo"
    grep -l "^$demo " /tmp/shoal-e2e.*/owner
    pgrep -s "$demo"
    pgrep -f "sh$demo-"
}
nothing_left() { [ -z "$(left)" ]; }
within 5 nothing_left || fail "the interrupted demo left $(left 2>/dev/null)"
[ "$(containers 1)" = "$before" ] || fail "the cluster beside it was disturbed"
say "nothing is left of the interrupted demo"
