#!/usr/bin/env bash
# Containers, images and volumes without a cluster, through the commands and the stock client.
# shellcheck disable=SC2016 # the shells inside expand
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

# Runs COMMAND, which must end with STATUS; its output is in $OUT.
gives() { # STATUS COMMAND..
    local want=$1 got=0
    shift
    OUT=$("$@" 2>&1) || got=$?
    [ "$got" = "$want" ] || fail "'$*' ended with $got instead of $want: $OUT"
}
says() { # TEXT: in what the last command printed
    case $OUT in *"$1"*) ;; *) fail "not '$1' but: $OUT" ;; esac
}
c() { shoal 1 container "$@"; }

need jq
cluster_up 1
make_image

say "== Images"
gives 0 shoal 1 image import "$WORK/image.tar" web:1
gives 0 shoal 1 image ls
says web:1
gives 0 shoal 1 image save -o "$WORK/saved.tar" web:1
gives 125 c run missing:1 echo
says missing

say "== Run"
gives 7 c run --name one -e COLOR=blue -w /tmp web:1 sh -c 'pwd; echo $COLOR; echo bad >&2; exit 7'
says /tmp
says blue
says bad
gives 0 c ps -a
says "Exited (7)"
gives 125 c run --name one web:1 echo
says one
gives 1 shoal 1 image rm web:1 # a container uses it
gives 0 c rm one
gives 2 c run --memory lots web:1 echo
says --memory
gives 125 c run --network somewhere web:1 echo
says services
gives 0 c run --rm web:1 echo
gives 0 c ps -aq
[ -z "$OUT" ] || fail "--rm leaves $OUT"

say "== A container that stays"
gives 0 shoal 1 volume create -l use=test data
gives 0 c run -d --name stays -v data:/data -m 64m --log-opt max-size=1m web:1 \
    sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.1; done'
within 10 sh -c "'$SHOAL' --socket '$WORK/1/run/shoal.sock' container logs stays | grep -q up" ||
    fail "its logs"
gives 5 c exec -e WHO=me stays sh -c 'echo hello $WHO; echo trouble >&2; exit 5'
says "hello me"
says trouble
OUT=$(echo through | c exec -i stays cat)
says through
gives 0 c exec -w /tmp stays sh -c 'pwd; echo kept >/data/file'
says /tmp
gives 0 c stats stays
says stays
gives 0 c inspect stays
says '"Memory": 67108864'
gives 1 c rm stays
says "stop it first"
gives 1 shoal 1 volume rm data
gives 0 c pause stays
gives 0 c ps
says Paused
gives 0 c unpause stays

say "== The daemon goes and comes back"
daemon_kill 1
within 5 ended "$(cat "$WORK/1/pid")"
gives 0 c logs --offline --state-dir "$WORK/1/state" stays
says up
daemon_start 1
gives 0 c exec stays echo
gives 0 c stop stays
gives 0 c wait stays
says 3
gives 0 c start stays
gives 0 c exec stays cat /data/file
says kept
gives 0 c kill stays
within 10 sh -c "'$SHOAL' --socket '$WORK/1/run/shoal.sock' container wait stays | grep -q 137" ||
    fail "killed, it must have ended with 137"
gives 0 c rm stays
gives 0 shoal 1 volume ls
says data
gives 0 shoal 1 volume rm data

say "== Its image comes back from the archive"
gives 0 shoal 1 image rm web:1
gives 0 shoal 1 image load -i "$WORK/saved.tar"
gives 0 c run --rm web:1 echo again
says again
gives 0 shoal 1 image prune

say "== What nobody uses goes"
gives 0 c run --name ended web:1 sh -c :
gives 0 shoal 1 container prune --until 1h
[ -z "$OUT" ] || fail "what has just ended is pruned: $OUT"
gives 0 shoal 1 container prune
gives 1 c inspect ended
gives 0 shoal 1 volume create named
gives 0 shoal 1 volume prune
[ -z "$OUT" ] || fail "a volume with a name is pruned: $OUT"
gives 0 shoal 1 volume prune --all
says named

if command -v docker >/dev/null; then
    say "== The stock client"
    export DOCKER_HOST=unix://$WORK/1/run/shoal.sock
    gives 0 docker run -d --name stock web:1 sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'
    gives 0 docker ps
    says stock
    gives 0 docker exec stock echo hello
    says hello
    within 10 sh -c 'docker logs stock | grep -q up' || fail "docker logs"
    gives 0 docker stats --no-stream stock
    gives 0 docker inspect stock
    gives 0 docker stop stock
    gives 0 docker rm stock
    gives 0 docker run -d --rm web:1 echo
    within 10 sh -c 'test -z "$(docker ps -aq)"' || fail "--rm leaves a container"
    gives 125 docker run -d -p 80:80 web:1 echo
    says PortBindings
    gives 125 docker run -d --privileged web:1 echo
    says Privileged
fi
say "ok"
