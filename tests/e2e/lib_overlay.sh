# Hosts for the overlay's tests: network namespaces on one wire, each with a node that is driven by
# commands (tests/bench/overlaynet/bench_node.c). Source it; everything goes away on exit.
# shellcheck shell=bash
set -eu
NODE_BIN=${SHOAL_BUILD:?}/bench_overlaynet_node
LAB=ov$$
LAB_DIR=
NODE_OPTIONS=${NODE_OPTIONS:-}

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || skip "needs root"
[ -x "$NODE_BIN" ] || skip "$NODE_BIN is not built"
for tool in ip nsenter ping tcpdump socat; do
    command -v $tool >/dev/null || skip "needs $tool"
done

lab_down() { # [exit code]
    rc=${1:-$?}
    set +e
    if [ -n "$LAB_DIR" ]; then
        for f in "$LAB_DIR"/*/pid "$LAB_DIR"/pids/*; do
            [ -f "$f" ] && kill "$(cat "$f")" 2>/dev/null
        done
        wait 2>/dev/null
        for h in "$LAB_DIR"/*/run/netns/*; do [ -e "$h" ] && umount -l "$h" 2>/dev/null; done
        for n in $HOSTS; do
            [ "$rc" = 0 ] || { echo "--- $n"; tail -n 20 "$LAB_DIR/$n/out" "$LAB_DIR/$n/err" 2>/dev/null; }
            ip netns del "$LAB$n" 2>/dev/null
        done
        ip netns del "${LAB}wire" 2>/dev/null
        rm -rf "$LAB_DIR"
    fi
    exit $rc
}
trap lab_down EXIT
trap 'exit 1' INT TERM

# lab_up NAME..: hosts NAME.. at 10.200.0.1, .2, .. on one bridge
lab_up() {
    LAB_DIR=$(mktemp -d)
    mkdir "$LAB_DIR/pids"
    HOSTS="$*"
    ip netns add "${LAB}wire"
    ip -n "${LAB}wire" link add br0 type bridge mcast_snooping 0
    ip -n "${LAB}wire" link set br0 up
    i=0
    for h in "$@"; do
        i=$((i + 1))
        ip netns add "$LAB$h"
        ip -n "$LAB$h" link set lo up
        ip link add w0 netns "$LAB$h" mtu "${WIRE_MTU:-1500}" type veth peer name "$h" \
            netns "${LAB}wire" mtu "${WIRE_MTU:-1500}"
        ip -n "${LAB}wire" link set dev "$h" master br0 up
        ip -n "$LAB$h" addr add 10.200.0.$i/24 dev w0
        ip -n "$LAB$h" addr add fd99::$i/64 dev w0 nodad
        ip -n "$LAB$h" link set w0 up
        mkdir -p "$LAB_DIR/$h/run" "$LAB_DIR/$h/state"
        echo $i >"$LAB_DIR/$h/index"
        : >"$LAB_DIR/$h/out"
        : >"$LAB_DIR/$h/err"
        mkfifo "$LAB_DIR/$h/in"
    done
}

host_ip() { echo "${UNDERLAY:-10.200.0.}$(cat "$LAB_DIR/$1/index")"; }
# In the background: EXEC="exec" on_host .. & (the same with in_box). Then $! is the program itself and
# not a shell, whose end would leave the program behind with the pipes of whoever runs the test.
on_host() {
    on=$1
    shift
    ${EXEC:-} nsenter --net="/run/netns/$LAB$on" "$@"
}

# wait_for WHAT COMMAND..: until it succeeds, at most 10 s
wait_for() {
    what=$1
    shift
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    fail "$what: not within 10 s"
}

# node_start HOST [option=value ..]
node_start() {
    ns=$1
    shift
    # The fifo is open in both directions, so that it never ends.
    # shellcheck disable=SC2086
    nsenter --net="/run/netns/$LAB$ns" "$NODE_BIN" "$ns" "$LAB_DIR/$ns/run" "$LAB_DIR/$ns/state" - \
        $NODE_OPTIONS "$@" <>"$LAB_DIR/$ns/in" >>"$LAB_DIR/$ns/out" 2>>"$LAB_DIR/$ns/err" &
    echo $! >"$LAB_DIR/$ns/pid"
    wait_for "the node of $ns" grep -q '^open ok' "$LAB_DIR/$ns/out"
}

node_kill() { # like a crash
    kill -9 "$(cat "$LAB_DIR/$1/pid")"
    wait "$(cat "$LAB_DIR/$1/pid")" 2>/dev/null || true
    : >"$LAB_DIR/$1/out"
}

has_more_lines() { [ "$(wc -l <"$1")" -gt "$2" ]; }

# say HOST COMMAND..: its answer; fails when that is an error
say() {
    to=$1
    shift
    before=$(wc -l <"$LAB_DIR/$to/out")
    echo "$*" >"$LAB_DIR/$to/in"
    wait_for "answer of $to to '$*'" has_more_lines "$LAB_DIR/$to/out" "$before"
    answer=$(sed -n "$((before + 1))p" "$LAB_DIR/$to/out")
    echo "$answer"
    case $answer in error*) return 1 ;; esac
}

# counter HOST NAME [NET]: a figure of `stats`
counter() {
    # shellcheck disable=SC2086
    say "$1" stats ${3:-} | tr ' ' '\n' | sed -n "s/^$2=//p" | grep . || echo 0
}
counter_is_at_least() { [ "$(counter "$1" "$2" "${4:-}")" -ge "$3" ]; }

in_box() { # HOST BOX COMMAND..
    bx=$LAB_DIR/$1/box.$2
    shift 2
    ${EXEC:-} nsenter --net="$(cat "$bx")" "$@"
}

# all_know: every host knows every other as a peer
all_know() {
    for k in $HOSTS; do
        for p in $HOSTS; do [ "$k" = "$p" ] || say "$k" peer "$p" "$(host_ip "$p")" >/dev/null; done
    done
}

# box HOST NAME NET ADDR4 ADDR6 [words for the command]: a container, known everywhere
box() {
    bh=$1 bn=$2 bnet=$3 b4=$4 b6=$5
    shift 5
    for o in $HOSTS; do
        [ "$o" = "$bh" ] || say "$o" ep "$bnet" "$bn/$bnet" "$bh" "$b4" "$b6" >/dev/null
    done
    say "$bh" box "$bn" "$@" "$bnet" "$b4" "$b6" eth0 >/dev/null
    say "$bh" netns "$bn" | sed 's/^netns //' >"$LAB_DIR/$bh/box.$bn"
}

pings() { in_box "$1" "$2" ping -q -c 2 -i 0.05 -W 1 "$3"; }
is_listening() { in_box "$1" "$2" ss -ltn | grep -q ":$3 "; }
is_up() { say "$1" peerstat "$2" | grep -q up=1; }
