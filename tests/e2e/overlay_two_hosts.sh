#!/bin/bash
# Two hosts, containers on both, both families: they talk, large and small, on the host and between
# hosts, and nothing of it is readable on the wire.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"
command -v iperf3 >/dev/null || skip "needs iperf3"

lab_up a b
node_start a lanes=2
node_start b lanes=2
for h in a b; do say $h net back 4096 10.0.9.0/24 fd00:9::/64 >/dev/null; done
all_know
box a web back 10.0.9.11 fd00:9::11
box a app back 10.0.9.12 fd00:9::12
box b db back 10.0.9.21 fd00:9::21
wait_for "a session" is_up a b

pings a web 10.0.9.21 >/dev/null || fail "IPv4 between hosts"
pings a web fd00:9::21 >/dev/null || fail "IPv6 between hosts"
pings b db 10.0.9.12 >/dev/null || fail "IPv4 to the second container"
pings a web 10.0.9.12 >/dev/null || fail "IPv4 on the host"
pings a web fd00:9::12 >/dev/null || fail "IPv6 on the host"
in_box a web ping -q -c 1 -W 1 -M "do" -s 1398 10.0.9.21 >/dev/null || fail "a full packet"

# Nothing in clear: a marker goes over TCP and UDP while the wire is recorded.
marker="CLEAR-$RANDOM-MARKER"
EXEC="exec" on_host b tcpdump -i w0 -w "$LAB_DIR/wire.pcap" -s 0 -U >/dev/null 2>"$LAB_DIR/tcpdump.err" &
echo $! >"$LAB_DIR/pids/tcpdump"
wait_for "tcpdump" grep -q "listening on" "$LAB_DIR/tcpdump.err"
EXEC="exec" in_box b db timeout 10 socat -u TCP-LISTEN:5000 CREATE:"$LAB_DIR/got" &
wait_for "listener" is_listening b db 5000
for _ in $(seq 500); do echo "$marker"; done | in_box a web socat -u - TCP:10.0.9.21:5000
echo "$marker" | in_box a web socat -u - UDP:10.0.9.21:5001
all_arrived() { [ "$(grep -c "$marker" "$LAB_DIR/got")" = 500 ]; }
wait_for "the marker's arrival" all_arrived
is_recorded() { [ "$(stat -c %s "$LAB_DIR/wire.pcap")" -gt 9000 ]; }
wait_for "packets in the record" is_recorded
kill "$(cat "$LAB_DIR/pids/tcpdump")"
! grep -qa "$marker" "$LAB_DIR/wire.pcap" || fail "the marker is readable on the wire"

# Streams in both directions, IPv4 and IPv6; UDP.
EXEC="exec" in_box b db iperf3 -s >/dev/null 2>&1 &
echo $! >"$LAB_DIR/pids/iperf"
wait_for "iperf3" is_listening b db 5201
for to in 10.0.9.21 fd00:9::21; do
    for way in "" -R; do
        # shellcheck disable=SC2086
        in_box a web iperf3 -c $to -t 1 -P 4 $way | grep -q receiver || fail "iperf3 $to $way"
    done
done
in_box a web iperf3 -c 10.0.9.21 -u -b 100M -l 1300 -t 1 | grep -q receiver || fail "iperf3 UDP"
for d in rx_forged rx_replay rx_malformed rx_bad_frame rx_forged_source tx_malformed tx_too_large; do
    for h in a b; do [ "$(counter $h $d)" = 0 ] || fail "$d: $(say $h stats)"; done
done
say a reconcile >/dev/null
pings a web 10.0.9.21 >/dev/null || fail "after reconciliation"
[ "$(say a status | sed 's/.*drift=//')" = 0 ] || fail "drift without a cause: $(say a status)"
echo "ok: $(say a status)"
