#!/usr/bin/env bash
# ./dev bench runtime [--peers]: containers one at a time and a hundred at once, and the loading of a
# large archive. --peers: the hundred also by Docker's engine, which is installed if need be and
# started in namespaces and directories of its own, in turns with ours. COUNT (100), ROUNDS (3; 5 of the
# archive), MEGABYTES (100, of a layer) and WRITER (another one to the same disk) may be set.
set -eu
COUNT=${COUNT:-100} ROUNDS=${ROUNDS:-3}
bench=$SHOAL_BUILD/bench_runtime_container
work='' engine_pid=''
fail() { echo "bench: $*" >&2; exit 1; }

install_docker() {
    command -v dockerd >/dev/null && return
    echo "bench: installing docker.io"
    local policy=/usr/sbin/policy-rc.d made=''
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; fi
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io; } \
        >"$work/apt.log" 2>&1; then
        cat "$work/apt.log" >&2
        fail "docker.io cannot be installed"
    fi
    [ -z "$made" ] || rm -f $policy
}

# What it answers beside the status goes to a file, for when it is not the one that was hoped for.
api() { # api OK.. -- CURL ARGUMENT..: every answer has one of the statuses
    local good=''
    while [ "$1" != -- ]; do good="$good|$1" && shift; done
    shift
    curl -sS --max-time 300 --unix-socket "$work/docker.sock" -w '%{http_code}\n' -o "$work/answer" "$@" >"$work/statuses" 2>"$work/curl.log" ||
        fail "docker does not answer: $(tail -n 1 "$work/curl.log")"
    ! grep -vqxE "${good#|}" "$work/statuses" || fail "docker: $(sort "$work/statuses" | uniq -c | tr -s '\n ' ' '): $(cat "$work/answer")"
}
ping() { [ "$(curl -s --unix-socket "$work/docker.sock" http://d/_ping)" = OK ]; }
within() { # within SECONDS COMMAND..
    local end=$(($(date +%s) + $1))
    shift
    until "$@"; do [ "$(date +%s)" -lt $end ] || return 1; sleep 0.1; done
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# Its directories that cannot be moved by an option are covered by memory, and so is what lies below /run
# on a host with systemd: ours has the same.
start_docker() {
    mkdir -p /etc/docker /var/lib/docker "$work/exec"
    # shellcheck disable=SC2016 # $1 is the inner shell's
    unshare -m -n --propagation private sh -c '
        mkdir -p /run/docker
        for d in /run/docker /etc/docker /var/lib/docker "$1/exec"; do mount -t tmpfs tmpfs $d || exit; done
        exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/docker.pid" -H "unix://$1/docker.sock" \
            --storage-driver overlay2 --cgroup-parent "$2" --bridge none --iptables=false --ip-forward=false \
            --ip-masq=false --log-level warn' sh "$work" "/shoal-bench-$$" >"$work/dockerd.log" 2>&1 </dev/null &
    engine_pid=$!
    within 30 ping || { cat "$work/dockerd.log" >&2; fail "dockerd does not start"; }
}

load_image() { # the programs that ours has
    mkdir -p "$work/root/bin" "$work/root/tmp"
    cp /bin/busybox "$work/root/bin/"
    for name in sh sleep; do ln -s busybox "$work/root/bin/$name"; done
    tar -C "$work/root" -cf "$work/root.tar" .
    api 200 -- -X POST -H 'Content-Type: application/x-tar' -T "$work/root.tar" \
        'http://d/images/create?fromSrc=-&repo=busybox&tag=1'
    cat >"$work/spec.json" <<JSON
{"Image": "busybox:1", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"], "HostConfig": {"NetworkMode": "none"}}
JSON
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
running() { curl -s --unix-socket "$work/docker.sock" http://d/containers/json | grep -o '"Id"' | wc -l; }

# One curl makes all requests, at most 50 at a time: more makes the engine slower.
docker_many() { # sets started, ended
    local all="http://d/containers/many[1-$COUNT]" begin
    begin=$(milliseconds)
    api 201 -- -Z --parallel-max 50 -X POST -H 'Content-Type: application/json' -d "@$work/spec.json" \
        "http://d/containers/create?name=many[1-$COUNT]"
    api 204 -- -Z --parallel-max 50 -X POST "$all/start"
    started=$(($(milliseconds) - begin))
    [ "$(running)" = "$COUNT" ] || fail "docker runs $(running) containers, not $COUNT"
    sleep 0.5 # as ours, until the shells have set their traps; not measured
    begin=$(milliseconds)
    api 204 -- -Z --parallel-max 50 -X POST "$all/stop"
    api 204 -- -Z --parallel-max 50 -X DELETE "$all"
    ended=$(($(milliseconds) - begin))
}

value() { sed -n "s/^$1, *$COUNT *\([0-9.]*\) .*/\1/p" "$work/ours"; } # value WHAT
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
row() { # row WHAT FILE-OF-OURS FILE-OF-DOCKERS
    awk -v what="$1" -v ours="$(median "$2")" -v docker="$(median "$3")" \
        'BEGIN { printf "%-18s %9.0f ms  docker %9.0f ms  %5.1f times\n", what, ours, docker, docker / ours }'
}

bench_peers() {
    local round
    install_docker
    start_docker
    load_image
    echo "$COUNT at once, ours and $(dockerd --version | sed 's/,.*//') in turns, $ROUNDS rounds, medians:"
    for round in $(seq "$ROUNDS"); do
        "$bench" "$COUNT" many >"$work/ours"
        value "create and start" >>"$work/ours.start"
        value "stop and remove" >>"$work/ours.end"
        docker_many
        echo "$started" >>"$work/docker.start"
        echo "$ended" >>"$work/docker.end"
        echo "  round $round: start $(value "create and start"), docker $started; end $(value "stop and remove"), docker $ended"
    done
    row "create and start" "$work/ours.start" "$work/docker.start"
    row "stop and remove" "$work/ours.end" "$work/docker.end"
}

remove_all() {
    for id in $(curl -s --unix-socket "$work/docker.sock" 'http://d/containers/json?all=1' | grep -o '"Id":"[0-9a-f]*"' | cut -d'"' -f4); do
        curl -s -o /dev/null --unix-socket "$work/docker.sock" -X DELETE "http://d/containers/$id?force=1" || true
    done
}

clean_up() {
    if [ -n "$engine_pid" ]; then
        remove_all
        kill "$engine_pid" 2>/dev/null || true
        within 30 is_gone "$engine_pid" || kill -9 "$engine_pid" 2>/dev/null || true
        wait "$engine_pid" 2>/dev/null || true
        find /sys/fs/cgroup -depth -type d -path "*/shoal-bench-$$*" -exec rmdir {} + 2>/dev/null || true
        rmdir /etc/docker /var/lib/docker 2>/dev/null || true # if they were empty before
    fi
    [ -z "$work" ] || rm -rf "$work"
}

case ${1:-} in
'') ;;
--peers) ;;
*) fail "usage: ./dev bench runtime [--peers]" ;;
esac
trap clean_up EXIT
trap 'exit 1' INT TERM
work=$(mktemp -d /var/tmp/shoal-bench.XXXXXX) # overlays need a real disk below
"$bench" "$COUNT"
"$SHOAL_BUILD/bench_runtime_load"
[ "${1:-}" != --peers ] || bench_peers
