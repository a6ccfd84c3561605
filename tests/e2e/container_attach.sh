#!/usr/bin/env bash
# Containers at a terminal: run in the foreground, attach, wait, resize; by our own commands and by the
# stock client.
# shellcheck disable=SC2016 # the shells inside expand
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq script
cluster_up 1
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null

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
none_left() { [ -z "$(shoal 1 container ps -aq)" ]; }
# pty COMMAND: at a terminal, where nobody types
pty() { script -qec "$*" /dev/null </dev/null | tr -d '\r'; }
# typed COMMAND: at a terminal, where standard input is typed. Keys follow each other slowly enough to
# arrive one by one, and the terminal stays until the command has ended.
typed() { script -qec "$*" /dev/null | tr -d '\r'; }

# story CLIENT..: one client's, which is `shoal container` or `docker`
story() {
    local i
    say "-- $1: output, errors, exit codes"
    gives 7 "$@" run --rm web:1 sh -c 'echo out; echo err >&2; exit 7'
    is out
    [ "$ERR" = err ] || fail "errors: '$ERR'"
    within 5 none_left || fail "--rm leaves $(shoal 1 container ps -a)"
    for i in 1 2 3 4 5 6 7 8 9 10; do # what ends at once has been heard all the same
        gives 0 "$@" run --rm web:1 echo "quick $i"
        is "quick $i"
    done
    gives 0 "$@" run --name kept web:1 echo kept
    is kept
    "$@" run --rm web:1 /no/such/program 2>"$WORK/errors" && fail "a program that is not there"
    grep -q '/no/such/program' "$WORK/errors" || fail "it is not named: $(cat "$WORK/errors")"
    "$@" rm kept >/dev/null
    within 5 none_left || fail "a start that failed leaves $(shoal 1 container ps -a)"

    say "-- $1: input"
    OUT=$(echo hi | "$@" run -i --rm web:1 cat)
    is hi
    gives 0 "$@" run -i --rm web:1 cat </dev/null
    is ''
    "$@" run -i --rm web:1 cat <"$WORK/bytes" >"$WORK/back"
    cmp "$WORK/bytes" "$WORK/back" || fail "what comes back differs"
    OUT=$("$@" run --rm web:1 sh -c 'head -c 3000000 /dev/zero' | wc -c)
    is 3000000

    say "-- $1: a terminal"
    OUT=$(pty "stty rows 33 cols 99; $* run --rm -it web:1 sh -c 'sleep 0.5; busybox stty size; exit 3'; echo code \$?")
    says '33 99'
    says 'code 3'

    say "-- $1: attach, and start -a"
    "$@" run -d -i --name live web:1 sh -c 'echo early; while read line; do echo got $line; done; exit 4' >/dev/null
    (echo one; sleep 0.5) | "$@" attach live >"$WORK/attached" 2>&1 &
    attached=$!
    within 10 grep -qx 'got one' "$WORK/attached" || fail "attached: $(cat "$WORK/attached")"
    ! grep -q early "$WORK/attached" || fail "attach tells of the past"
    "$@" kill live >/dev/null
    code=0
    wait $attached || code=$?
    [ $code = 137 ] || fail "attach ends with $code"
    "$@" rm live >/dev/null
    "$@" create --name again web:1 sh -c 'echo said; exit 5' >/dev/null
    for i in 1 2; do
        gives 5 "$@" start -a again
        is said
    done
    gives 1 "$@" attach again
    "$@" rm again >/dev/null

    say "-- $1: the keys that let go"
    "$@" run -d -it --name tty web:1 sh -c 'while read line; do echo got $line; done' >/dev/null
    OUT=$( (sleep 0.5; printf 'one\r'; sleep 0.5; printf '\020'; sleep 0.1; printf '\021'; sleep 1) | typed "$* attach tty")
    says 'got one'
    OUT=$( (sleep 0.5; printf 'two\r'; sleep 0.5; printf x; sleep 1) | typed "$* attach --detach-keys x tty")
    says 'got two'
    "$@" kill tty >/dev/null && "$@" rm -f tty >/dev/null # it ran all the while
    within 5 none_left || fail "left: $(shoal 1 container ps -a)"

    say "-- $1: signals are passed on"
    "$@" run --rm web:1 sh -c 'trap "echo caught; exit 9" TERM; echo ready; while :; do sleep 0.1; done' >"$WORK/caught" &
    runner=$!
    within 10 grep -q ready "$WORK/caught" || fail "it does not run"
    kill -TERM "$runner"
    code=0
    wait $runner || code=$?
    [ $code = 9 ] || fail "it ends with $code: $(cat "$WORK/caught")"
    grep -q caught "$WORK/caught" || fail "nothing is caught"
    within 5 none_left || fail "left: $(shoal 1 container ps -a)"
}

head -c 4000000 /dev/urandom >"$WORK/bytes"
cat >"$WORK/container" <<END
#!/bin/sh
exec "$SHOAL" --socket "$WORK/1/run/shoal.sock" container "\$@"
END
chmod +x "$WORK/container"
story "$WORK/container"

say "-- over HTTP"
http() { curl -s --unix-socket "$WORK/1/run/shoal.sock" "$@"; }
id=$("$WORK/container" create web:1 sh -c 'sleep 0.3; exit 6')
case $(http -X POST "http://x/containers/$id/wait?condition=sometime") in *'invalid condition'*) ;; *) fail "any condition is good" ;; esac
[ "$(http -X POST "http://x/containers/$id/wait" | jq .StatusCode)" = 0 ] || fail "not-running of one that does not run"
http -X POST "http://x/containers/$id/wait?condition=next-exit" >"$WORK/next" &
http -X POST "http://x/containers/$id/wait?condition=removed" >"$WORK/removed" &
"$WORK/container" start "$id" >/dev/null
within 5 grep -q '"StatusCode":6' "$WORK/next" || fail "next-exit: $(cat "$WORK/next")"
[ ! -s "$WORK/removed" ] || fail "it is not removed yet"
"$WORK/container" rm "$id" >/dev/null
within 5 grep -q '"StatusCode":6' "$WORK/removed" || fail "removed: $(cat "$WORK/removed")"

if command -v docker >/dev/null; then
    export DOCKER_HOST=unix://$WORK/1/run/shoal.sock DOCKER_CONFIG=$WORK/docker-config
    story docker
else
    say "no docker client here: its half is left out"
fi
say "attached to everything"
