#!/bin/bash
# The daemon is killed and started again: traffic on the host never stops, between hosts it is back
# within a second of the start; then left-overs are removed and drift is repaired.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"

state() { # everything that an agent says again after a restart
    say a net back 4096 10.0.9.0/24 fd00:9::/64 >/dev/null
    say a peer b "$(host_ip b)" >/dev/null
    say a ep back db/back b 10.0.9.21 fd00:9::21 >/dev/null
    say a box web back 10.0.9.11 fd00:9::11 eth0 >/dev/null
    say a box app back 10.0.9.12 fd00:9::12 eth0 >/dev/null
}
first_answer() { awk -F'[][]' -v s="$start" '/bytes from/ && $2 > s { print $2 - s; exit }' "$LAB_DIR/remote" | grep .; }

lab_up a b
node_start a
node_start b
for h in a b; do say $h net back 4096 10.0.9.0/24 fd00:9::/64 >/dev/null; done
all_know
box a web back 10.0.9.11 fd00:9::11
box a app back 10.0.9.12 fd00:9::12
box a old back 10.0.9.13 fd00:9::13
box b db back 10.0.9.21 fd00:9::21
wait_for "a session" is_up a b
pings a web 10.0.9.21 >/dev/null || fail "before"

EXEC="exec" in_box a web ping -q -i 0.02 -c 150 10.0.9.12 >"$LAB_DIR/local" &
local_ping=$!
# Not through in_box: the pid must be that of ping, or it would outlive the test.
nsenter --net="$(cat "$LAB_DIR/b/box.db")" ping -D -i 0.02 10.0.9.11 >"$LAB_DIR/remote" 2>&1 &
echo $! >"$LAB_DIR/pids/remote"
wait_for "pings" test -s "$LAB_DIR/remote"
node_kill a
sleep 0.7 # as long as an upgrade takes
start=$(date +%s.%N)
node_start a
state
wait_for "an answer after the start" first_answer
took=$(first_answer)
awk -v t="$took" 'BEGIN { exit !(t < 1.0) }' || fail "back after $took s"
wait $local_ping || true
grep -q " 0% packet loss" "$LAB_DIR/local" || fail "lost on the host: $(tail -2 "$LAB_DIR/local")"
kill "$(cat "$LAB_DIR/pids/remote")"

# What was not stated again stays until the state is complete, then goes.
[ -e "$(cat "$LAB_DIR/a/box.old")" ] || fail "removed too early"
say a settle >/dev/null
wait_for "removal of the left-over" test ! -e "$(cat "$LAB_DIR/a/box.old")"
pings a web 10.0.9.21 >/dev/null || fail "after settling"

# Somebody breaks the plumbing; reconciliation repairs and counts it.
for net in "$LAB_DIR"/a/run/netns/net-*; do
    port=$(nsenter --net="$net" ip -o link show type veth | awk -F'[ @:]+' '{ print $2; exit }')
    nsenter --net="$net" ip link set "$port" nomaster
    nsenter --net="$net" ip link set br0 down
done
! pings a web 10.0.9.21 >/dev/null || ! pings a app 10.0.9.21 >/dev/null || fail "nothing was broken"
say a reconcile >/dev/null
are_back() { pings a web 10.0.9.21 && pings a app 10.0.9.21; }
wait_for "repair" are_back
[ "$(say a status | sed 's/.*drift=//')" -ge 2 ] || fail "drift is not counted: $(say a status)"

# A repair keeps what the kernel knows of neighbours.
in_box a web ip neigh replace 10.0.9.77 lladdr 02:00:00:00:00:77 nud permanent dev eth0
in_box a web ip link set eth0 mtu 1280
say a reconcile >/dev/null
has_old_mtu() { ! in_box a web ip -o link show eth0 | grep -q " mtu 1280 "; }
wait_for "repair of the MTU" has_old_mtu
in_box a web ip neigh show 10.0.9.77 | grep -q PERMANENT || fail "a repair made neighbours forgotten"
echo "ok: back after $took s"
