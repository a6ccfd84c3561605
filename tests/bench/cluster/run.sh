#!/usr/bin/env bash
# ./dev bench cluster [memory|writes|replicas|failover|lost]..: a whole cluster of three managers in
# network namespaces of this machine; all parts unless some are named. ROUNDS (3) may be set.
set -eu
cd "$(dirname "$0")"
. ../../e2e/lib_cluster.sh

need jq
ROUNDS=${ROUNDS:-3}
parts=${*:-memory writes replicas failover lost}
row() { printf '%-34s %s\n' "$1" "$2"; }

api() { curl -sf -m 5 --unix-socket "$WORK/$1/run/shoal.sock" "http://shoal/v1.41$2"; }
# As the API counts them. No more than curl looks at the answer: what measures runs on the same cores.
reached() { # SERVICE COUNT
    local answer
    answer=$(api 1 "/services?status=true&filters=%7B%22name%22%3A%5B%22$1%22%5D%7D")
    [[ $answer == *"\"RunningTasks\":$2,"* || $answer == *"\"RunningTasks\":$2}"* ]]
}
empty() { [ -z "$(for i in 1 2 3; do containers "$i"; done)" ]; }
all_ready() { for i in 1 2 3; do node_is "$1" "$i" ready && node_is "$1" "$i" "reachable\|leader" || return 1; done; }

bench_memory() {
    local i part
    sleep 5 # idle
    for i in 1 2 3; do
        part=$([ "$(leader 1)" = "$i" ] && echo leader || echo follower)
        row "idle manager $i ($part)" "$(awk '/^Rss:/ {r = $2} /^Pss:/ {p = $2} END {printf "%.1f MB resident, %.1f MB proportional", r / 1024, p / 1024}' \
            "/proc/$(cat "$WORK/$i/pid")/smaps_rollup")"
    done
}

bench_writes() {
    local clients lead follower
    lead=$(leader 1)
    follower=$((lead % 3 + 1))
    for clients in 1 64; do
        row "writes, $clients clients, leader" "$("$SHOAL_BUILD/bench_cluster_writes" "$WORK/$lead/run/shoal.sock" $clients 5)"
    done
    row "writes, 64 clients, a follower" "$("$SHOAL_BUILD/bench_cluster_writes" "$WORK/$follower/run/shoal.sock" 64 5)"
}

replicas_once() { # WHAT [OPTION..]
    local what=$1 started
    shift
    started=$(milliseconds)
    shoal 1 service create -d --name many --replicas 100 --stop-grace-period 0s "$@" web:1 sleep 1d >/dev/null
    within 60 reached many 100 || { shoal 1 service ps many | tail -n 20; fail "100 replicas"; }
    row "100 replicas, $what" "$(($(milliseconds) - started)) ms"
    started=$(milliseconds)
    shoal 1 service rm many >/dev/null
    within 60 empty || fail "100 replicas do not go away"
    row "  and gone again" "$(($(milliseconds) - started)) ms"
}

bench_replicas() {
    local i
    for i in $(seq "$ROUNDS"); do
        replicas_once "no network"
        replicas_once "overlay network" --network back
    done
}

bench_failover() {
    local i lead other started tries=0
    for i in $(seq "$ROUNDS"); do
        within 20 all_ready 1 || fail "not ready"
        lead=$(leader 1)
        other=$((lead % 3 + 1))
        started=$(milliseconds)
        daemon_kill "$lead"
        # Each try has its own name: one whose outcome is unknown may have been a success.
        until tries=$((tries + 1)) && echo x | shoal "$other" config create "failover$tries" - >/dev/null 2>&1; do
            [ $(($(milliseconds) - started)) -lt 30000 ] || fail "no leader"
        done
        row "leader killed, next write after" "$(($(milliseconds) - started)) ms"
        daemon_start "$lead"
    done
    within 20 all_ready 1 || fail "not ready"
}

bench_lost() {
    local i lead lost asked started
    for i in $(seq "$ROUNDS"); do
        within 30 all_ready 1 || { shoal 1 node ls; fail "not ready"; }
        lead=$(leader 1)
        lost=$((lead % 3 + 1))
        asked=$((lost % 3 + 1))
        shoal "$lead" service create -d --name here --replicas 9 --network back --stop-grace-period 0s web:1 sleep 1d >/dev/null
        within 30 running "$lead" here 9 || fail "nine replicas"
        started=$(milliseconds)
        host_kill "$lost"
        within 60 running_off "$asked" here 9 "$lost" || fail "the lost replicas do not come back"
        row "host lost, its tasks elsewhere after" "$(($(milliseconds) - started)) ms"
        ip -n "$CLUSTER-$lost" link set eth0 up
        ip -n "$CLUSTER-$lost" route replace default via 10.99.0.254
        daemon_start "$lost"
        shoal "$lead" service rm here >/dev/null
        within 30 all_ready 1 || { shoal 1 node ls; fail "the lost host does not come back"; }
        within 30 empty || fail "replicas do not go away"
    done
}

# /run is in memory, as on every machine with systemd.
for i in 1 2 3; do
    mkdir -p "$WORK/$i/run"
    mount -t tmpfs none "$WORK/$i/run"
done
cluster_up 3
cluster_join
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
shoal 1 network create back >/dev/null
shoal 1 service create -d --name warm --mode global --network back --stop-grace-period 0s web:1 sleep 1d >/dev/null
within 30 running 1 warm 3 || { shoal 1 service ps warm; fail "the image does not reach every host"; }
shoal 1 service rm warm >/dev/null
within 20 empty || fail "the first containers do not go away"
for part in $parts; do
    case $part in
    memory | writes | replicas | failover | lost) "bench_$part" ;;
    *) say "parts: memory writes replicas failover lost"; exit 2 ;;
    esac
done
