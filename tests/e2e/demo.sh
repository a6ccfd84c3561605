#!/usr/bin/env bash
# The main job on this machine, with assertions: three hosts, an encrypted network, a service that
# answers everywhere, a lost host, a rolling update under load. KEEP=1 leaves the cluster running;
# `demo.sh --end` takes away what was left so.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

bold=$(printf '\033[1m') plain=$(printf '\033[0m')
[ -t 1 ] || bold='' plain=''
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

need jq tcpdump strings
if [ "${1:-}" = --end ]; then
    sweep kept
    exit 0
fi
began=$SECONDS

step "Three hosts, each in a network namespace with its own daemon"
cluster_up 3
cluster_join
shoal 1 node ls

step "An image, known to the first host only: the others fetch it from there"
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
shoal 1 image import "$WORK/image.tar" web:2 >/dev/null
shoal 1 image ls

step "An encrypted network and a service on it, published on port 8080"
shoal 1 network create back >/dev/null
started=$(milliseconds)
shoal 1 service create -d --name web --replicas 3 --network back -p 8080:80 \
    --update-parallelism 1 --update-order start-first web:1 sh -c "$(web_server one)" >/dev/null
within 20 running 1 web 3 || { shoal 1 service ps web; fail "three replicas"; }
say "three replicas run after $(($(milliseconds) - started)) ms"
shoal 1 service ps web

step "It answers on every host, and sees the address of who asks"
for i in 1 2 3; do
    within 10 ask "$i" || fail "host $i does not answer on port 8080"
    say "host $i: $(ask "$i")"
done
shoal 1 service logs web 2>&1 | grep -q '10\.99\.0\.100' || fail "the service does not see the client's address"
say "the service's log names the client: 10.99.0.100"

step "By name, from containers of other hosts; nothing of it readable on the wire"
host 1 timeout 20 tcpdump -i eth0 -w "$WORK/wire.pcap" -U 2>/dev/null &
capture=$!
within 5 test -s "$WORK/wire.pcap" || fail "tcpdump"
shoal 1 service create -d --name asker --mode global --network back web:1 \
    sh -c 'while true; do curl -s -m 2 http://web/ || echo failed; sleep 0.3; done' >/dev/null
asked() { [ "$(shoal 1 service logs asker 2>/dev/null | grep -c '^one\|one ')" -ge 12 ]; }
within 20 asked || { shoal 1 service ps asker; shoal 1 service logs asker | tail -5; fail "look-ups by name"; }
shoal 1 service logs -n 2 asker 2>/dev/null | tail -3
kill "$capture" 2>/dev/null || true
wait "$capture" 2>/dev/null || true
if strings "$WORK/wire.pcap" | grep -q 'GET / HTTP\|Host: web'; then
    fail "a request between containers is readable on the wire"
fi
say "$(stat -c %s "$WORK/wire.pcap") bytes captured between the hosts: no request is readable"

step "A host is lost: its tasks run elsewhere"
shoal 1 service rm asker >/dev/null
lost=3
started=$(milliseconds)
host_kill $lost
within 20 running_off 1 web 3 $lost || { shoal 1 node ls; shoal 1 service ps web; fail "the lost replicas did not come back"; }
say "three replicas on the remaining hosts after $(($(milliseconds) - started)) ms"
shoal 1 node ls

step "A rolling update under load"
load_start update ask 1
shoal 1 service update -d --image web:2 web >/dev/null
updated() { shoal 1 service inspect web | grep -q '"State": "completed"'; }
within 60 updated || { shoal 1 service ps web; fail "the update"; }
read -r good bad <<<"$(load_stop update)"
say "$good requests answered, $bad failed during the update"
[ "$good" -gt 0 ] && [ "$bad" = 0 ] || fail "the update was noticed"
shoal 1 service ps web

step "Done in $((SECONDS - began)) s"
if [ -n "${KEEP:-}" ]; then
    say "The cluster stays. Try:"
    say "  $SHOAL --socket $WORK/1/run/shoal.sock node ls"
    say "  DOCKER_HOST=unix://$WORK/1/run/shoal.sock docker service ls"
    say "  ip netns exec $CLUSTER-client curl http://$(address 2):8080/"
    say "and take it away with:  ./dev demo --end"
fi
