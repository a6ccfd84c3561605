#!/usr/bin/env bash
# Commands in tasks of other nodes: input, output, terminals, exit codes, and what happens when either
# side goes away; by our own commands and by the stock client.
# shellcheck disable=SC2016 # the shells inside expand
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

SERVED_MAX=$(sed -n 's/^#define TASK_EXEC_SERVED_MAX \([0-9]*\).*/\1/p' ../../node/task_exec.h)
need jq script
cluster_up 3
cluster_join 2
make_image

x() { shoal 1 exec "$@"; }
asks() { exec "$SHOAL" --socket "$WORK/1/run/shoal.sock" exec "$@"; } # in the background: to be killed
# gives STATUS COMMAND..: it ends with that; what it printed is in $OUT, its errors in $ERR
gives() {
    local want=$1 got=0 words
    shift
    words="$*"
    OUT=$("$@" 2>"$WORK/errors") || got=$?
    ERR=$(cat "$WORK/errors")
    [ "$got" = "$want" ] || fail "'${words:0:100}' ended with $got instead of $want: $OUT $ERR"
}
is() { [ "$OUT" = "$1" ] || fail "not '$1' but '$OUT' ($ERR)"; }
says() { case "$OUT$ERR" in *"$1"*) ;; *) fail "not '$1' but '$OUT' '$ERR'" ;; esac; }
# has HOST WORDS: a process of a task on that host has them on its command line
has() {
    local pid
    for pid in $(group_pids "/$GROUP/h$1/*"); do
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2" && return 0
    done
    return 1
}
has_not() { ! has "$@"; }

shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
shoal 1 service create --name web --replicas 3 web:1 sh -c 'echo first; exec sleep 1d' >/dev/null
within 20 running 1 web 3 || { shoal 1 service ps web; fail "web does not run"; }
read -r task node <<<"$(rows 1 web | grep -w h3)"
slot=$(shoal 1 service ps web --format json | jq -r "select(.ID == \"$task\") | .NAME")
say "-- task $task, $slot, runs on $node"

say "-- output, errors and exit codes"
gives 5 x "$task" sh -c 'echo out; echo err >&2; exit 5'
is out
[ "$ERR" = err ] || fail "errors: '$ERR'"
gives 0 x "${task:0:8}" hostname
gives 0 x "$slot" hostname
gives 0 x "$slot.$task" echo named
is named
for i in 1 2; do
    for other in $(rows 1 web | cut -d' ' -f1); do
        gives 0 shoal "$i" exec "$other" echo "from $i"
        is "from $i"
    done
done
gives 0 x -e WHO=me -w /tmp "$task" sh -c 'echo $WHO; pwd'
is "me
/tmp"
! x "$task" no-such-program 2>"$WORK/errors" || fail "a program that is not there"
grep -q no-such-program "$WORK/errors" || fail "it is not named: $(cat "$WORK/errors")"
gives 1 x web.99 echo
says 'No such container: web.99'
gives 1 shoal 3 exec "$(rows 1 web | grep -wv h3 | head -n 1 | cut -d' ' -f1)" echo # a worker may not
says 'No such container'
gives 0 shoal 3 exec "$task" echo # but in what runs on it
gives 126 x "$task" true "$(head -c 20000 /dev/zero | tr '\0' x)"
says 'too long'

say "-- input, and much of it in both directions"
OUT=$(echo through | x -i "$task" cat)
is through
head -c 8000000 /dev/urandom >"$WORK/bytes"
x -i "$task" cat <"$WORK/bytes" >"$WORK/back"
cmp "$WORK/bytes" "$WORK/back" || fail "what comes back differs"
[ "$(x "$task" sh -c 'head -c 3000000 /dev/zero' | wc -c)" = 3000000 ] || fail "output is cut"
OUT=$(x -i "$task" sh -c 'sleep 0.3; cat' <"$WORK/bytes" | wc -c)
is 8000000 # more than any buffer while nobody reads

say "-- a slow reader holds its command, and nobody else"
mkfifo "$WORK/slow"
asks "$task" cat /dev/zero >"$WORK/slow" &
reader=$!
exec 9<"$WORK/slow"
for _ in 1 2 3 4 5; do
    gives 0 timeout 5 "$SHOAL" --socket "$WORK/1/run/shoal.sock" exec "$task" echo quick
    is quick
done
node_is 1 3 ready || fail "the node of a full terminal is lost"
within 5 has 3 'cat /dev/zero' || fail "the command has gone"
exec 9<&-
wait $reader 2>/dev/null || true
within 10 has_not 3 'cat /dev/zero' || fail "a command outlives its reader"

say "-- logs of other nodes, more than a window of them"
shoal 1 service create --name talker --constraint node.hostname==h3 web:1 \
    sh -c 'seq 1 60000; exec sleep 1d' >/dev/null
logged() { [ "$(timeout 10 "$SHOAL" --socket "$WORK/1/run/shoal.sock" service logs talker | wc -l)" = 60000 ]; }
within 20 logged || fail "logs of another node stop in the middle"

say "-- a terminal"
OUT=$(script -qec "stty rows 33 cols 99; $SHOAL --socket $WORK/1/run/shoal.sock exec -it $task sh -c 'sleep 0.3; stty size 2>/dev/null || busybox stty size'" /dev/null </dev/null | tr -d '\r')
says '33 99'

say "-- detached"
gives 0 x -d "$task" sleep 4321
within 5 has 3 'sleep 4321' || fail "nothing runs detached"

say "-- no more than a node is willing to run for others"
for _ in $(seq 1 "$SERVED_MAX"); do x -d "$task" sleep 5432 & done
wait
full() { x "$task" echo 2>&1 | grep -q "runs $SERVED_MAX commands for others already"; }
within 20 full || fail "there is no limit: $(x "$task" echo 2>&1) $(group_pids "/$GROUP/h3/*" | wc -l) processes"
for pid in $(group_pids "/$GROUP/h3/*"); do
    ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'sleep 5432' || kill "$pid"
done
within 10 x "$task" echo || fail "the limit stays"

say "-- the asker goes away"
asks "$task" sleep 1234 &
asker=$!
within 5 has 3 'sleep 1234' || fail "it does not run"
kill -9 $asker
within 10 has_not 3 'sleep 1234' || fail "a command outlives its asker"
asks "$task" sleep 2345 2>/dev/null &
asker=$!
within 5 has 3 'sleep 2345' || fail "it does not run"
daemon_kill 1
within 10 has_not 3 'sleep 2345' || fail "a command outlives the manager that asked"
wait $asker 2>/dev/null || true
has 3 'sleep 4321' || fail "a detached command does not outlive its asker"
daemon_start 1
manages() { node_is 1 1 leader || node_is 1 1 reachable; }
within 20 manages || fail "manager 1 is not back"

say "-- the node goes away"
within 20 gives 0 x "$task" echo back
asks "$task" sleep 3456 2>"$WORK/lost" &
asker=$!
within 5 has 3 'sleep 3456' || fail "it does not run"
ip -n "$CLUSTER-3" link set eth0 down
status=0
wait $asker || status=$?
[ $status = 255 ] || fail "the lost command ends with $status: $(cat "$WORK/lost")"
grep -q 'the link to node .* is lost' "$WORK/lost" || fail "its words: $(cat "$WORK/lost")"
within 10 has_not 3 'sleep 3456' || fail "a command outlives the link"
ip -n "$CLUSTER-3" link set eth0 up
ip -n "$CLUSTER-3" route add default via 10.99.0.254 2>/dev/null || true

if command -v docker >/dev/null; then
    say "-- the stock client"
    export DOCKER_HOST=unix://$WORK/1/run/shoal.sock DOCKER_CONFIG=$WORK/docker-config
    within 20 node_is 1 3 ready || fail "h3 does not come back"
    within 20 running 1 web 3 || { shoal 1 service ps web; fail "web does not run again"; }
    read -r task node <<<"$(rows 1 web | grep -wv h1 | head -n 1)"
    id=$(docker inspect --type task --format '{{.Status.ContainerStatus.ContainerID}}' "$task")
    gives 3 docker exec "$id" sh -c 'echo stock; exit 3'
    is stock
    OUT=$(echo piped | docker exec -i "$id" cat)
    is piped
    OUT=$(script -qec "docker exec -it $id echo terminal" /dev/null </dev/null | tr -d '\r')
    says terminal # and perhaps an echo of the end of input
fi
say "commands reach every task"
