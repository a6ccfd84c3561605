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
for i in 1 2 3; do within 10 ask "$i" || fail "host $i does not answer"; done


log_count() { grep -c -- "$2" "$WORK/$1/log" || true; } # HOST PATTERN

for i in 1 2 3; do LOAD_PAUSE=0.1 load_start "host$i" ask "$i"; done

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

for i in 1 2 3; do
    read -r good bad <<<"$(load_stop "host$i")"
    say "host $i: $good requests answered, $bad failed"
    [ "$good" -gt 20 ] || fail "host $i was not asked enough to say anything"
    [ "$bad" = 0 ] || fail "clients of host $i noticed"
done
