#!/bin/bash
# A path that is narrower than the interfaces say, and that tells nobody: found by sealed probes;
# containers are told, and large transfers work.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"

lab_up a b
ip -n "${LAB}wire" link set dev b mtu 1400 # the bridge drops what is larger, silently
for h in a b; do
    node_start $h
    say $h net back 4096 10.0.9.0/24 fd00:9::/64 >/dev/null
done
all_know
box a web back 10.0.9.11 fd00:9::11
box b db back 10.0.9.21 fd00:9::21
is_found() { [ "$(say a peerstat b | sed 's/.*mtu=\([0-9]*\) .*/\1/')" = 1400 ]; }
wait_for "a session" is_up a b
for _ in 1 2 3; do is_found || sleep 3; done
wait_for "the path's MTU" is_found

# 1326 = 1400 - 74: a full packet passes, a larger one is answered and not lost in silence.
in_box a web ping -q -c 1 -W 1 -M "do" -s 1298 10.0.9.21 >/dev/null || fail "a packet that fits"
in_box a web ping -c 1 -W 1 -M "do" -s 1398 10.0.9.21 | grep -q "mtu = 1326" ||
    in_box a web ping -c 1 -W 1 -M "do" -s 1398 10.0.9.21 2>&1 | grep -q "mtu=1326" ||
    fail "no word about a packet that is too big"
in_box a web ip route get 10.0.9.21 | grep -q "mtu 1326" || fail "the container did not learn"
! in_box a web ping -q -c 1 -W 1 -M "do" -s 1378 fd00:9::21 >/dev/null 2>&1 || fail "too big, IPv6"
in_box a web ip -6 route get fd00:9::21 | grep -q "mtu 1326" || fail "the container did not learn, IPv6"

# TCP in both directions, also with segments made before anybody knew.
for way in a:web:b:db:10.0.9.21 b:db:a:web:10.0.9.11; do
    IFS=: read -r from fbox to tbox addr <<<"$way"
    EXEC="exec" in_box "$to" "$tbox" timeout 20 socat -u TCP-LISTEN:5000,reuseaddr CREATE:"$LAB_DIR/got" &
    wait_for "listener" is_listening "$to" "$tbox" 5000
    head -c 20000000 /dev/zero | timeout 20 nsenter --net="$(cat "$LAB_DIR/$from/box.$fbox")" \
        socat -u - TCP:"$addr":5000 || fail "transfer $way"
    is_whole() { [ "$(stat -c %s "$LAB_DIR/got")" = 20000000 ]; }
    wait_for "all of it" is_whole
done
echo "ok: $(say a peerstat b)"
