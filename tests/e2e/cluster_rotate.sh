#!/usr/bin/env bash
# Keys change while everything runs: the gossip key when a node is removed, the root on request, and
# nobody's containers, links or clients notice.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq
cluster_up 4
cluster_join 3
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
shoal 1 service create -d --name web --mode global -p 8080:80 web:1 sh -c "$(web_server web)" >/dev/null
within 20 running 1 web 4 || { shoal 1 service ps web; fail "a web server on each host"; }
# A host that knows of its own web server asks no other. Until then a client of it may be led to host 4,
# which is about to be killed.
each_its_own() {
    local i answers=''
    for i in 1 2 3 4; do
        answers+=$(for _ in $(seq 8); do ask "$i"; done | sort -u)$'\n'
    done
    [ "$(grep -c . <<<"$answers")" = 4 ] && [ "$(sort -u <<<"$answers" | grep -c .)" = 4 ]
}
within 20 each_its_own || fail "hosts do not answer by their own web servers"

log_count() { grep -c -- "$2" "$WORK/$1/log" || true; } # HOST PATTERN

for i in 1 2 3; do LOAD_PAUSE=0.02 load_start "host$i" ask "$i"; done

say "-- the gossip key changes when a node is removed"
links=$(for i in 1 2 3; do log_count "$i" 'link to .* is down'; done)
host_kill 4
within 30 node_is 1 4 down || { shoal 1 node ls; fail "host 4 is not down"; }
within 10 shoal 1 node rm h4 || fail "host 4 cannot be removed"
for i in 1 2 3; do
    within 30 grep -q 'gossip is sealed with key 2, which is alone' "$WORK/$i/log" || fail "host $i does not change its gossip key"
done
for i in 1 2 3; do within 10 node_is 1 "$i" ready || { shoal 1 node ls; fail "host $i is not ready"; }; done
[ "$(for i in 1 2 3; do log_count "$i" 'is unreachable'; done | sort -n | tail -n 1)" -le 1 ] ||
    fail "the new key cut somebody off"
say "keys: $(for i in 1 2 3; do log_count "$i" 'gossip is sealed'; done | tr '\n' ' ')steps on hosts 1 2 3, links lost before $(tr '\n' ' ' <<<"$links")"

say "-- the root changes; who is away holds it up and is not locked out"
daemon_kill 3
within 30 node_is 1 3 down || { shoal 1 node ls; fail "host 3 is not down"; }
old_token=$(shoal 1 token worker -q)
old_root=$(shoal 1 ca)
shoal 1 ca --rotate --detach || fail "the rotation does not begin"
held_up() { shoal 1 ca | grep -q '^2 of 3 nodes have .*waiting for h3 (down)$'; }
within 30 held_up || { shoal 1 ca; fail "the rotation does not wait for host 3 alone"; }
[ "$(shoal 1 token worker -q)" = "$old_token" ] || fail "the token changed before the end"
leads 1 1 && daemon_kill 1 && daemon_start 1 # and a new leader goes on with it
within 30 held_up || { shoal 1 ca; fail "the rotation is forgotten by the next leader"; }
daemon_start 3
over() { [ "$(shoal "$1" ca)" != "$old_root" ] && ! shoal "$1" ca | grep -q rotated; }
for i in 1 2 3; do within 30 over "$i" || { shoal "$i" ca; fail "the rotation does not end on host $i"; }; done
for i in 1 2 3; do within 10 node_is 1 "$i" ready || { shoal 1 node ls; fail "host $i was locked out"; }; done
[ "$(shoal 1 token worker -q)" != "$old_token" ] || fail "the join token still names the old root"
for i in 1 2 3; do
    daemon_kill "$i"
    daemon_start "$i"
done
for i in 1 2 3; do within 20 node_is 1 "$i" ready || { shoal 1 node ls; fail "host $i does not come back under the new root"; }; done
wire 5 "$(address 5)"
HOSTS=5
echo "$GUARD $CLUSTER $HOSTS" >"$WORK/owner" # for the end
daemon_start 5
! shoal 5 join --token "$old_token" --advertise-addr "$(address 5)" "$(address 1):2377" 2>/dev/null ||
    fail "a token of the old root still lets nodes in"
shoal 5 join --token "$(shoal 1 token worker -q)" --advertise-addr "$(address 5)" "$(address 1):2377" >/dev/null ||
    fail "the new token lets nobody in"
within 10 node_is 1 5 ready || { shoal 1 node ls; fail "host 5 is not ready"; }
shoal 1 ca --rotate | tail -n 1 | grep -q 'not trusted any more' || fail "a second rotation, watched"

for i in 1 2 3; do
    read -r good bad <<<"$(load_stop "host$i")"
    say "host $i: $good requests answered, $bad failed"
    [ "$good" -gt 20 ] || fail "host $i was not asked enough to say anything"
    [ "$bad" = 0 ] || fail "clients of host $i noticed"
done
