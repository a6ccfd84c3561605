#!/usr/bin/env bash
# kill -9 of a daemon, of the leader's, a follower's and a worker's in turn, while clients ask and
# the service is scaled: no acknowledged change is lost, no container is touched, no client on any
# host notices; the daemon that comes back adopts what runs.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq
hosts="1 2 3 4"
cluster_up 4
cluster_join 3
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
shoal 1 network create back >/dev/null
# One everywhere, so that each host answers from its own container; and one to be scaled.
shoal 1 service create -d --name web --mode global --network back -p 8080:80 web:1 \
    sh -c "$(web_server web)" >/dev/null
shoal 1 service create -d --name work --replicas 2 --network back web:1 sleep 1d >/dev/null
within 20 running 1 web 4 || { shoal 1 service ps web; fail "a web server on each host"; }
within 20 running 1 work 2 || { shoal 1 service ps work; fail "two workers"; }
for i in $hosts; do within 10 ask "$i" || fail "host $i does not answer"; done
for i in $hosts; do LOAD_PAUSE=0.1 load_start "host$i" ask "$i"; done

another_manager() { for i in 1 2 3; do [ "$i" = "$1" ] || { echo "$i"; return; }; done; }

acknowledged=''
write() { # MANAGER NAME: a change, noted once it is acknowledged
    echo x | shoal "$1" config create "$2" - >/dev/null && acknowledged="$acknowledged $2"
}
known() { # MANAGER: it has every acknowledged change
    local name list
    list=$(shoal "$1" config ls --format json | jq -r .NAME) || return 1
    for name in $acknowledged; do grep -qx "$name" <<<"$list" || return 1; done
}

replicas=2
kill_and_return() { # WHAT HOST
    local victim=$2 other before lost
    other=$(another_manager "$victim")
    before=$(for i in $hosts; do containers "$i"; done)
    replicas=$((replicas + 1))
    write "$other" "before-$1" || fail "a write before $1 is killed"
    if [ "$victim" -le 3 ]; then # acknowledged by the victim itself, in its last moment
        shoal "$victim" service scale -d work=$replicas >/dev/null
    else
        shoal "$other" service scale -d work=$replicas >/dev/null
    fi
    daemon_kill "$victim"
    within 10 write "$other" "after-$1" || fail "no write is possible after $1 was killed"
    daemon_start "$victim"
    within 15 running "$other" work $replicas ||
        { shoal "$other" service ps work; fail "scaling work to $replicas was acknowledged, and then lost with $1"; }
    within 15 node_is "$other" "$victim" ready || fail "host $victim does not come back"
    for i in 1 2 3; do within 10 known "$i" || fail "manager $i does not know all of$acknowledged"; done
    lost=$(comm -23 <(sort <<<"$before") <(for i in $hosts; do containers "$i"; done | sort))
    [ -z "$lost" ] || { shoal "$other" service ps web; shoal "$other" service ps work; fail "containers were ended when $1 was killed: $lost"; }
    say "killed $1 (host $victim): nothing lost, $(wc -l <<<"$before") containers as before"
}

kill_and_return leader "$(leader 1)"
lead=$(leader 1)
kill_and_return follower "$([ "$lead" = 2 ] && echo 3 || echo 2)"
kill_and_return worker 4

for i in $hosts; do
    read -r good bad <<<"$(load_stop "host$i")"
    say "host $i: $good requests answered, $bad failed"
    [ "$good" -gt 20 ] || fail "host $i was not asked enough to say anything"
    [ "$bad" = 0 ] || fail "clients of host $i noticed that a daemon was killed"
done
within 10 running 1 web 4 || { shoal 1 service ps web; fail "web servers"; }
[ "$(shoal 1 service ps web --format json | wc -l)" = 4 ] || { shoal 1 service ps web; fail "a task of web was replaced"; }
