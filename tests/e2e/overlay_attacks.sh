#!/bin/bash
# What a hostile container, a stranger on the wire and a removed node try, with real kernels: forged
# addresses, poisoned neighbours, router advertisements, cleartext VXLAN, the faults of 2023
# (CVE-2023-28840, -28841, -28842), a node that is no longer one.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"

lab_up a b c
for h in a b c; do node_start $h; done
for h in a b c; do
    say $h net back 4096 10.0.9.0/24 fd00:9::/64 >/dev/null
    say $h net front 4097 10.0.8.0/24 - >/dev/null
done
all_know
box a evil back 10.0.9.66 fd00:9::66
box a good back 10.0.9.11 fd00:9::11
box b peer back 10.0.9.21 fd00:9::21
box c other front 10.0.8.31 -
wait_for "a session" is_up a b
pings a good 10.0.9.21 >/dev/null || fail "before the attacks"

mac() { in_box "$1" "$2" ip -o link show eth0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/'; }
# shellcheck disable=SC2059
hex() { printf "$(echo "$*" | sed 's/[: ]//g; s/../\\x&/g')"; }
raw() { in_box a evil socat -u - INTERFACE:eth0; }
listen() { # HOST BOX: record what reaches a container
    : >"$LAB_DIR/tcpdump.err"
    EXEC="exec" in_box "$1" "$2" tcpdump -n -l -i eth0 -Q in >"$LAB_DIR/seen" 2>"$LAB_DIR/tcpdump.err" &
    echo $! >"$LAB_DIR/pids/listen"
    wait_for "tcpdump" grep -q "listening on" "$LAB_DIR/tcpdump.err"
}
# After a packet that is heard for certain, what must not have been is looked for.
unheard() {
    wait_for "the honest packet" grep -q "$3" "$LAB_DIR/seen"
    kill "$(cat "$LAB_DIR/pids/listen")"
    ! grep -Eq "$1" "$LAB_DIR/seen" || fail "$2: $(cat "$LAB_DIR/seen")"
}

evil=$(mac a evil) good=$(mac a good) peer=$(mac b peer)
ip4="4500 001c 0001 0000 4011" # then checksum, source, destination
udp="03e8 03e9 0008 0000"
ra="8600 0000 4000 0708 0000 0000 0000 0000"
all_nodes="ff02 0000 0000 0000 0000 0000 0000 0001"

# Forged addresses, poisoning and router advertisements, to a neighbour on the host ..
listen a good
hex "$good $evil 0800 $ip4 66bf 0a000915 0a00090b $udp" | raw
hex "$good 020202020202 0800 $ip4 6692 0a000942 0a00090b $udp" | raw
hex "ffffffffffff $evil 0806 0001 0800 0604 0002 $evil 0a000915 $good 0a00090b" | raw
hex "$good $evil 0806 0001 0800 0604 0002 $evil 0a000915 $good 0a00090b" | raw
hex "333300000001 $evil 86dd 6000 0000 0010 3aff fe80 0000 0000 0000 0000 0000 0000 0066 $all_nodes $ra" | raw
hex "333300000001 $evil 86dd 6000 0000 0010 3aff fd00 0009 0000 0000 0000 0000 0000 0066 $all_nodes $ra" | raw
hex "ffffffffffff $evil 0800 4500 001c 0001 0000 4011 0000 0a000942 ffffffff 0043 0044 0008 0000" | raw
pings a evil 10.0.9.11 >/dev/null || fail "an honest packet of the same container"
unheard "is-at|router advertisement|10.0.9.21.1000|BOOTP|20202" "a forged packet reached a neighbour" \
    "10.0.9.66 > 10.0.9.11"
[ "$(in_box a good ip neigh show 10.0.9.21 | grep -c "$evil")" = 0 ] || fail "poisoned"

# .. and to another host.
listen b peer
hex "$peer $evil 0800 $ip4 66b5 0a00090b 0a000915 $udp" | raw
hex "$peer 020202020202 0800 $ip4 6688 0a000942 0a000915 $udp" | raw
pings a evil 10.0.9.21 >/dev/null || fail "an honest packet to another host"
unheard "\.1000 >" "a forged packet left the host" "10.0.9.66 > 10.0.9.21"

# Changing the interface gets nothing through: the port is locked to its MAC and address.
in_box a evil ip link set eth0 address 02:02:02:02:02:02
! pings a evil 10.0.9.11 >/dev/null || fail "another MAC talks"
in_box a evil ip link set eth0 address "$evil"
in_box a evil ip addr add 10.0.9.77/24 dev eth0
! in_box a evil ping -q -c 1 -W 1 -I 10.0.9.77 10.0.9.11 >/dev/null || fail "another address talks"
in_box a evil ip addr del 10.0.9.77/24 dev eth0

# Another network is out of reach.
! pings a evil 10.0.8.31 >/dev/null 2>&1 || fail "networks are not separate"

# Cleartext VXLAN and noise to the data port, also of a network with a single endpoint.
vxlan="0800 0000 0010 0100"
inner="$(mac c other) $evil 0800 $ip4 6798 0a000801 0a00081f $udp"
listen c other
hex "$vxlan $inner" | on_host a socat -u - UDP:"$(host_ip c)":7947
hex "$vxlan $inner" | on_host a socat -u - UDP:"$(host_ip c)":4789
head -c 1200 /dev/urandom | on_host a socat -u - UDP:"$(host_ip c)":7947
wait_for "the count of refused packets" counter_is_at_least c rx_malformed 2
kill "$(cat "$LAB_DIR/pids/listen")"
! grep -q "10.0.8.1" "$LAB_DIR/seen" || fail "cleartext reached a container"

# Without keys nothing leaves, least of all in clear.
: >"$LAB_DIR/tcpdump.err"
EXEC="exec" on_host c tcpdump -n -l -i w0 udp or arp >"$LAB_DIR/wire" 2>"$LAB_DIR/tcpdump.err" &
echo $! >"$LAB_DIR/pids/wire"
wait_for "tcpdump" grep -q "listening on" "$LAB_DIR/tcpdump.err"
say c ep front ghost d 10.0.8.99 - >/dev/null
! pings c other 10.0.8.99 >/dev/null || fail "an endpoint without a node answers"
wait_for "the count without keys" counter_is_at_least c tx_no_session 1 front
kill "$(cat "$LAB_DIR/pids/wire")"
! grep -q "10.0.8.99" "$LAB_DIR/wire" || fail "sent in clear"

# A removed node is a stranger at once.
say a nopeer b >/dev/null
! pings b peer 10.0.9.11 >/dev/null || fail "a removed node still gets through"
was_refused() { [ $(($(counter a rx_unknown_session) + $(counter a handshake_stranger))) -gt 0 ]; }
wait_for "the count of refused packets" was_refused
say a peer b "$(host_ip b)" >/dev/null
wait_for "the way back" pings b peer 10.0.9.11
echo "ok"
