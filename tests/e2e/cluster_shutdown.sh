#!/usr/bin/env bash
# A machine goes down in order: its containers end by their own signal and within their own grace, with
# and without a daemon, and the cluster runs their tasks elsewhere without having to miss the machine.
# shellcheck disable=SC2016 # the shells inside expand
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

# What a machine's init runs before it goes down.
shut_down() { # HOST
    nsenter -t "$(cat "$WORK/$1/mounts.pid")" -m -u -n "$SHOAL" daemon --state-dir "$WORK/$1/state" \
        --run-dir "$WORK/$1/run" --cgroup-parent "/$GROUP/h$1" --shut-down >"$WORK/$1/down" 2>&1 ||
        fail "--shut-down on host $1: $(cat "$WORK/$1/down")"
}
exit_code() { shoal 1 container inspect "$1" | jq -r '.[0].State.ExitCode, .[0].State.Error' | tr '\n' ' '; }
run() { # NAME SIGNAL-NAME STATUS: a container that ends with STATUS when it hears the signal
    shoal 1 container run -d --name "$1" --stop-signal "$2" web:1 sh -c \
        "trap 'sleep 0.3; exit $3' $2; echo up; while :; do sleep 0.1; done" >/dev/null
    within 10 logs_say "$1" up || fail "container $1"
}
logs_say() { shoal 1 container logs "$1" 2>&1 | grep -q "$2"; }
daemon_log_says() { grep -q "$2" "$WORK/$1/log"; }
tasks() { shoal 1 service ps --format json web | jq -r 'select(.DESIRED == "running" and (.STATE | startswith("running"))) | .NODE'; }
run_on() { [ "$(tasks | sort | tr '\n' ' ')" = "$1" ]; }
run_elsewhere() { run_on "h1 h1 h2 " || run_on "h1 h2 h2 "; }
status_of() { shoal 1 node ls --format json | jq -r "select(.HOSTNAME == \"$1\") | .STATUS"; }

need jq
cluster_up 3
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null

say "== With a daemon, which ends too"
run term TERM 3
run usr1 USR1 4
pid=$(cat "$WORK/1/pid")
shut_down 1
ended "$pid" || fail "the daemon goes on"
daemon_log_says 1 'no container runs any more' || fail "the daemon does not tell why it ended"
daemon_start 1
[ "$(exit_code term)" = "3  " ] || fail "its end is told as: $(exit_code term)"
[ "$(exit_code usr1)" = "4  " ] || fail "its end is told as: $(exit_code usr1)"

say "== Without one, as when its unit was stopped before"
shoal 1 container start term >/dev/null
within 10 logs_say term 'up.*' || fail "it starts again"
kill -TERM "$(cat "$WORK/1/pid")"
within 10 ended "$(cat "$WORK/1/pid")" || fail "the daemon does not end"
[ -n "$(group_pids "/$GROUP/h1")" ] || fail "the end of the daemon alone ended its containers"
shut_down 1
grep -q 'no daemon runs: stopping 1 ' "$WORK/1/down" || fail "it says: $(cat "$WORK/1/down")"
shut_down 1 # once more: there is nothing to do
daemon_start 1
[ "$(exit_code term)" = "3  " ] || fail "its end is told as: $(exit_code term)"

say "== With a daemon that is killed while it waits"
shoal 1 container start usr1 >/dev/null
shoal 1 container run -d --name slow web:1 sh -c \
    "trap 'while [ ! -e /go ]; do sleep 0.1; done; exit 5' TERM; echo up; while :; do sleep 0.1; done" >/dev/null
within 10 logs_say slow up || fail "container slow"
slow=$(shoal 1 container inspect slow | jq -r '.[0].State.Pid')
shut_down 1 &
down=$!
within 10 daemon_log_says 1 'the machine goes down' || fail "the daemon was not told"
daemon_kill 1
within 10 grep -q 'no daemon runs: stopping' "$WORK/1/down" || fail "nobody goes on: $(cat "$WORK/1/down")"
touch "/proc/$slow/root/go"
wait $down || fail "--shut-down"
daemon_start 1
[ "$(exit_code slow)" = "5  " ] || fail "its end is told as: $(exit_code slow)"
shoal 1 container rm term usr1 slow >/dev/null

say "== In a cluster: tasks run elsewhere at once, however their programs left"
cluster_join 1
shoal 1 service create -d --name web --replicas 3 --restart-condition on-failure web:1 sh -c \
    'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null
within 20 run_on "h1 h2 h3 " || { shoal 1 service ps web; fail "one task each"; }
started=$(milliseconds)
shut_down 3
within 20 run_elsewhere || { shoal 1 service ps web; fail "its task is missed"; }
say "   elsewhere after $(($(milliseconds) - started)) ms"
[ "$(status_of h3)" = down ] || fail "the node is '$(status_of h3)'"
[ -z "$(group_pids "/$GROUP/h3")" ] || fail "processes are left on it"

say "== And it comes back"
daemon_start 3
within 10 node_is 1 3 ready || { shoal 1 node ls; fail "host 3 is not ready"; }
shoal 1 service scale -d web=6 >/dev/null
within 20 run_on "h1 h1 h2 h2 h3 h3 " || { shoal 1 service ps web; fail "it takes no tasks"; }
say "ok"
