#!/bin/bash
# A network that was created in clear: kernel VXLAN with static entries. It works in both families,
# it is readable on the wire, and an encrypted network beside it is not.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"

lab_up a b
for h in a b; do
    node_start $h
    say $h net open 5000 10.0.5.0/24 fd00:5::/64 clear >/dev/null
    say $h net back 4096 10.0.9.0/24 - >/dev/null
done
all_know
box a pub_a open 10.0.5.1 fd00:5::1
box b pub_b open 10.0.5.2 fd00:5::2
box a sec_a back 10.0.9.1 -
box b sec_b back 10.0.9.2 -
wait_for "a session" is_up a b
wait_for "clear, IPv4" pings a pub_a 10.0.5.2
wait_for "clear, IPv6" pings a pub_a fd00:5::2
pings b pub_b 10.0.5.1 >/dev/null || fail "clear, the other way"
pings a sec_a 10.0.9.2 >/dev/null || fail "sealed"
in_box a pub_a ping -q -c 1 -W 1 -M "do" -s 1422 10.0.5.2 >/dev/null || fail "a full packet"

EXEC="exec" on_host b tcpdump -i w0 -n -U -w "$LAB_DIR/wire.pcap" udp >/dev/null 2>"$LAB_DIR/tcpdump.err" &
echo $! >"$LAB_DIR/pids/tcpdump"
wait_for "tcpdump" grep -q "listening on" "$LAB_DIR/tcpdump.err"
in_box a sec_a ping -q -c 2 -i 0.05 -W 1 -p 5ec5ec5ec5ec5ec5 -s 200 10.0.9.2 >/dev/null
in_box a pub_a ping -q -c 2 -i 0.05 -W 1 -p 0be00be00be00be0 -s 200 10.0.5.2 >/dev/null
is_recorded() { [ "$(stat -c %s "$LAB_DIR/wire.pcap")" -gt 2000 ]; }
wait_for "packets in the record" is_recorded
kill "$(cat "$LAB_DIR/pids/tcpdump")"
LC_ALL=C grep -qaP '\x0b\xe0\x0b\xe0\x0b\xe0' "$LAB_DIR/wire.pcap" || fail "the open network is not in clear"
! LC_ALL=C grep -qaP '\x5e\xc5\xec\x5e' "$LAB_DIR/wire.pcap" || fail "the sealed network is readable"

# Endpoints come and go.
say b nobox pub_b >/dev/null
say a noep open pub_b/open >/dev/null
is_gone() { ! pings a pub_a 10.0.5.2; }
wait_for "removal" is_gone
box b pub_c open 10.0.5.3 fd00:5::3
wait_for "a new endpoint" pings a pub_a 10.0.5.3
say a reconcile >/dev/null
pings a pub_a 10.0.5.3 >/dev/null || fail "after reconciliation"
echo "ok"
