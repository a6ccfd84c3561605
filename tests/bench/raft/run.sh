#!/bin/bash
# ./dev bench raft [--peers] [--seconds S] [--kills N] [--rounds N]
#
# What a flush, a round trip and a replicated write cost here at least; durable writes of three
# members on this machine's disk over loopback; then how long a write waits when the leader is lost. --peers installs Debian's etcd and does the same to three members of it,
# in turns with ours, so that both see the same machine.
set -eu
: "${SHOAL_SOURCE:?}" "${SHOAL_BUILD:?}"
peers='' seconds=5 kills=20 rounds=1
while [ $# -gt 0 ]; do
    case $1 in
    --peers) peers=1 ;;
    --seconds) seconds=$2; shift ;;
    --kills) kills=$2; shift ;;
    --rounds) rounds=$2; shift ;;
    *) echo "usage: ./dev bench raft [--peers] [--seconds S] [--kills N] [--rounds N]" >&2; exit 2 ;;
    esac
    shift
done

work=$SHOAL_BUILD/bench-raft.$$
members=''
port=$((20000 + $$ % 10000)) # below what the kernel gives to connecting sockets

cleanup() {
    for pid in $members; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
mkdir -p "$work"

install_etcd() {
    local need=''
    for p in etcd-server etcd-client golang-go golang-etcd-server-dev; do
        dpkg-query -W -f '${Status}' $p 2>/dev/null | grep -q 'ok installed' || need="$need $p"
    done
    [ -z "$need" ] && return 0
    echo "bench: installing:$need"
    local policy=/usr/sbin/policy-rc.d made=''
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need \
        >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; exit 1; }
    [ -z "$made" ] || rm -f $policy
}

build_etcd_load() {
    cp "$SHOAL_SOURCE/tests/bench/raft/etcd_load.go" "$work/"
    (cd "$work" && HOME=$work GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-p=2 GOCACHE=$SHOAL_BUILD/go-cache \
        go build -o etcd_load etcd_load.go)
}

client_url() { echo "http://127.0.0.1:$((port + 10 + $1))"; }
peer_url() { echo "http://127.0.0.1:$((port + 20 + $1))"; }

start_etcd() { # start_etcd I: default settings
    etcd --name "m$1" --data-dir "$work/etcd/m$1" --initial-cluster-token "bench-$$" \
        --listen-client-urls "$(client_url "$1")" --advertise-client-urls "$(client_url "$1")" \
        --listen-peer-urls "$(peer_url "$1")" --initial-advertise-peer-urls "$(peer_url "$1")" \
        --initial-cluster "m1=$(peer_url 1),m2=$(peer_url 2),m3=$(peer_url 3)" \
        --initial-cluster-state new --log-level error >>"$work/etcd-$1.log" 2>&1 </dev/null &
    echo $! >"$work/etcd-$1.pid"
    members="$members $!"
    disown # its end is no news
}

status_of() { ETCDCTL_API=3 etcdctl --endpoints "$(client_url "$1")" endpoint status 2>/dev/null; }

etcd_leader() { # prints its number; waits until all three answer
    local i answered leader
    for _ in $(seq 150); do
        answered=0 leader=''
        for i in 1 2 3; do
            if line=$(status_of $i); then
                answered=$((answered + 1))
                case $line in *', true, '*) leader=$i ;; esac
            fi
        done
        if [ $answered = 3 ] && [ -n "$leader" ]; then echo "$leader"; return; fi
        sleep 0.2
    done
    echo "bench: etcd has no leader within 30 s:" >&2
    tail -n 2 "$work"/etcd-*.log >&2
    exit 1
}

stop_etcd() {
    for i in 1 2 3; do kill -9 "$(cat "$work/etcd-$i.pid")" 2>/dev/null || true; done
    members=''
    rm -rf "$work/etcd"
}

bench_etcd() {
    for i in 1 2 3; do start_etcd $i; done
    local leader others i times=''
    for load in '1 1' '64 8' '1000 100'; do
        # shellcheck disable=SC2086
        "$work/etcd_load" put "$(client_url "$(etcd_leader)")" $load "$seconds"
    done
    for ((k = 0; k < kills; k++)); do
        leader=$(etcd_leader)
        sleep 1
        others=''
        for i in 1 2 3; do [ $i = "$leader" ] || others="$others $(client_url $i)"; done
        # shellcheck disable=SC2086
        times="$times $("$work/etcd_load" lose "$(cat "$work/etcd-$leader.pid")" $others)"
        start_etcd "$leader"
    done
    if [ "$kills" -gt 0 ]; then
        echo "$times" | tr ' ' '\n' | grep . | sort -n | awk -v n="$kills" '{ t[NR] = $1 }
            END { printf "etcd leader killed, %d times: p50 %d ms  p99 %d ms  max %d ms\n", n,
                  t[int((NR - 1) * .5) + 1], t[int((NR - 1) * .99) + 1], t[NR] }'
    fi
    stop_etcd
}

if [ -n "$peers" ]; then
    install_etcd
    build_etcd_load
fi
echo "machine: $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
for ((round = 1; round <= rounds; round++)); do
    "$SHOAL_BUILD/bench_node_cluster_raft_floor" --dir "$work/floor"
    "$SHOAL_BUILD/bench_node_cluster_raft" --dir "$work/shoal" --port "$port" --seconds "$seconds" \
        --kills "$kills"
    if [ -n "$peers" ]; then bench_etcd; fi
done
