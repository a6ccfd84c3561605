#!/bin/bash
# ./dev bench overlay [--peers] [--quick] [--only=CASE,..] [--wire=WIRE]: the sealed path against kernel
# VXLAN in clear, run by run in turn on the same two hosts (network namespaces joined by a veth pair),
# as paired ratios.
#   ideal   the wire passes 64 KB frames whole, as a network card with full offload does
#   real    every frame on the wire is cut to the MTU
# PAIRS (5) and SECS (3) may be set. --only takes some of rtt, tcp1, tcp8 and udp. --peers measures in
# the same turns the wire without any overlay, and wireguard-go, nebula and tinc of Debian.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"
for tool in iperf3 ethtool jq; do command -v $tool >/dev/null || skip "needs $tool"; done
PAIRS=${PAIRS:-5} SECS=${SECS:-3} PEERS=0 CASES=rtt,tcp1,tcp8,udp WIRES="ideal real"
for arg in "$@"; do
    case $arg in
    --peers) PEERS=1 ;;
    --quick) PAIRS=1 SECS=1 ;;
    --only=*) CASES=${arg#--only=} ;;
    --wire=*) WIRES=${arg#--wire=} ;;
    *) echo "unknown option $arg" >&2; exit 2 ;;
    esac
done
RTT=$SHOAL_BUILD/bench_overlaynet_rtt
OUT=$(mktemp -d)
SYSTEMS="seal vxlan"
. "$SHOAL_SOURCE/tests/bench/overlaynet/peers.sh"

direct_wire() { # hosts a and b, one veth
    LAB_DIR=$(mktemp -d)
    mkdir "$LAB_DIR/pids"
    HOSTS="a b"
    for h in a b; do
        ip netns add "$LAB$h"
        ip -n "$LAB$h" link set lo up
        mkdir -p "$LAB_DIR/$h/run" "$LAB_DIR/$h/state"
        : >"$LAB_DIR/$h/out"
        : >"$LAB_DIR/$h/err"
        mkfifo "$LAB_DIR/$h/in"
    done
    echo 1 >"$LAB_DIR/a/index"
    echo 2 >"$LAB_DIR/b/index"
    ip link add w0 netns "${LAB}a" type veth peer name w0 netns "${LAB}b"
    for h in a b; do
        ip -n "$LAB$h" addr add "$(host_ip $h)/24" dev w0
        ip -n "$LAB$h" link set dev w0 up
        # Rules for routed packets have no place on a bridge; both sides without them.
        on_host $h sh -c 'for k in iptables ip6tables arptables; do
            f=/proc/sys/net/bridge/bridge-nf-call-$k; [ -w $f ] && echo 0 >$f; done; true'
    done
}
set_wire() { # ideal | real
    offload=on
    [ "$1" = ideal ] || offload=off
    for h in a b; do # a real wire has receive offload too: it is the kernel's own, of no card
        on_host $h ethtool -K w0 tso $offload gso $offload tx-udp-segmentation $offload gro on
    done >/dev/null
}

# The rival: what an unencrypted overlay is made of.
vxlan_up() {
    for h in a b; do
        o=a
        [ $h = b ] || o=b
        me=$(cat "$LAB_DIR/$h/index") other=$(cat "$LAB_DIR/$o/index")
        ip netns add "${LAB}v$h"
        ip -n "$LAB$h" link add vb0 type bridge mcast_snooping 0
        ip -n "$LAB$h" link set dev vb0 mtu 1450 up
        ip -n "$LAB$h" link add vx0 mtu 1450 type vxlan id 4242 dstport 4789 local "$(host_ip $h)" nolearning
        ip -n "$LAB$h" link set dev vx0 master vb0 up
        ip link add eth0 netns "${LAB}v$h" mtu 1450 address 02:00:00:00:42:0$me type veth peer name vp0 netns "$LAB$h" mtu 1450
        ip -n "$LAB$h" link set dev vp0 master vb0 up
        ip -n "${LAB}v$h" addr add 10.0.42.$me/24 dev eth0
        ip -n "${LAB}v$h" link set dev eth0 gso_max_segs 44 up
        ip -n "${LAB}v$h" neigh add 10.0.42.$other lladdr 02:00:00:00:42:0$other dev eth0
        nsenter --net=/run/netns/"$LAB$h" bridge fdb add 02:00:00:00:42:0$other dev vx0 dst "$(host_ip $o)"
        echo "/run/netns/${LAB}v$h" >"$LAB_DIR/$h/box.vxlan"
    done
}
vxlan_down() { for h in a b; do ip netns del "${LAB}v$h" 2>/dev/null; done; }
bench_down() {
    rc=$?
    set +e
    vxlan_down
    peers_down
    rm -rf "$OUT"
    lab_down $rc
}
trap bench_down EXIT

ours_up() {
    for h in a b; do
        node_start $h "$@"
        say $h net back 4096 10.0.9.0/24 - >/dev/null
    done
    all_know
    for h in a b; do
        box $h seal_$h back 10.0.9."$(cat "$LAB_DIR/$h/index")" -
        cp "$LAB_DIR/$h/box.seal_$h" "$LAB_DIR/$h/box.seal"
    done
    wait_for "a session" is_up a b
}

serve() { # BOX: iperf3 and ping-pong on host b
    EXEC="exec" in_box b "$1" iperf3 -s >/dev/null 2>&1 &
    echo $! >"$LAB_DIR/pids/iperf.$1"
    EXEC="exec" in_box b "$1" "$RTT" server 7000 &
    echo $! >"$LAB_DIR/pids/rtt.$1"
    wait_for "iperf3 of $1" is_listening b "$1" 5201
    wait_for "ping-pong of $1" is_listening b "$1" 7000
}
# The address of host b in a system.
address() { # SYSTEM
    case $1 in
    seal) echo 10.0.9.2 ;;
    vxlan) echo 10.0.42.2 ;;
    *) peer_address "$1" ;;
    esac
}
# Without what runs at low priority: that is other work of the machine, none of ours.
cpu_ticks() { awk '/^cpu /{ print $2 + $4 + $7 + $8 }' /proc/stat; }
stream() { # SYSTEM options: Gbit/s and CPU seconds for each gigabyte
    b=$1
    shift
    before=$(cpu_ticks)
    in_box a "$b" iperf3 -c "$(address "$b")" -t "$SECS" -J "$@" >"$OUT/json" || { echo "0 0"; return; }
    after=$(cpu_ticks)
    jq -r --argjson ticks $((after - before)) '.end.sum_received | if .bytes > 0
        then "\(.bits_per_second / 1e9) \($ticks / 100 / (.bytes / 1e9))" else "0 0" end' "$OUT/json"
}
round_trip() { # SYSTEM: p50 and p99 in microseconds
    in_box a "$1" "$RTT" client "$(address "$1")" 7000 "$SECS" || echo "0 0"
}
median() { sort -g | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
column() { awk -v c="$1" '{ print $c }' "$2"; }
ratios() { paste -d' ' "$1" "$2" | awk -v c="$3" '{ n = NF / 2; if ($(n + c) > 0) print $c / $(n + c) }'; }

take_turns() { # COMMAND OPTIONS..: PAIRS times for each system
    run=$1
    shift
    for s in $SYSTEMS; do : >"$OUT/$s"; done
    for _ in $(seq "$PAIRS"); do
        for s in $SYSTEMS; do $run "$s" "$@" >>"$OUT/$s"; done
    done
}
print_rows() { # LABEL COLUMN FORMAT [column of CPU seconds]
    for s in $SYSTEMS; do
        cpu=
        [ -z "${4:-}" ] || cpu=$(printf '%.2f' "$(column "$4" "$OUT/$s" | median)")
        # shellcheck disable=SC2059
        printf "| %s | %s | $3 | **%.2f** | %s | %s |\n" "$1" "$(name_of "$s")" \
            "$(column "$2" "$OUT/$s" | median)" "$(ratios "$OUT/$s" "$OUT/vxlan" "$2" | median)" "$cpu" \
            "$(ratios "$OUT/$s" "$OUT/vxlan" "$2" | awk '{ printf "%.2f ", $1 }')"
    done
}
name_of() {
    case $1 in
    seal) echo sealed ;;
    vxlan) echo VXLAN in clear ;;
    veth) echo bare veth ;;
    *) echo "$1" ;;
    esac
}
streams() { # LABEL OPTIONS..
    label=$1
    shift
    take_turns stream "$@"
    print_rows "$label" 1 %.2f 2
}
round_trips() { # WIRE
    take_turns round_trip
    print_rows "round trip p50, us, $1" 1 %.0f
    print_rows "round trip p99, us, $1" 2 %.0f
}

direct_wire
# shellcheck disable=SC2086
ours_up ${LANES:-lanes=2}
vxlan_up
serve seal
serve vxlan
if [ $PEERS = 1 ]; then
    peers_up
    SYSTEMS="$SYSTEMS $PEER_SYSTEMS"
fi
say a status
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $PAIRS rounds of $SECS s"
echo
echo "| case | system | median | to VXLAN | CPU s/GB | all ratios |"
echo "|---|---|---|---|---|---|"
wants() { case ,$CASES, in *",$1,"*) ;; *) return 1 ;; esac; }
for wire in $WIRES; do
    set_wire "$wire"
    if wants tcp1; then streams "1 TCP stream, Gbit/s, $wire" -C cubic; fi
    if wants tcp8; then streams "8 TCP streams, Gbit/s, $wire" -C cubic -P 8; fi
    if wants udp; then streams "UDP 1300 bytes, Gbit/s, $wire" -u -b 0 -l 1300; fi
    if wants rtt; then round_trips "$wire"; fi
done
for h in a b; do say $h stats; done
