#!/usr/bin/env bash
# `shoal service why` says what stands in the way, on every manager, and that nothing does when so.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq
create() { shoal 1 service create -d --stop-grace-period 0s "$@" >/dev/null; }
# says MANAGER SERVICE JQ-CONDITION: of the answer
says() { shoal "$1" service why "$2" --format json | jq -e "$3" >/dev/null; }
# why MANAGER SERVICE CODE PATTERN: the first reason of a task, in JSON and in the table
why() {
    within 25 says "$1" "$2" ".AsDesired == false and .Places[0].Code == \"$3\"" ||
        fail "host $1, $2: not $3: $(shoal "$1" service why "$2" --format json)"
    shoal "$1" service why "$2" | grep -qE -- "$3 +.*$4" ||
        fail "host $1, $2: without /$4/: $(shoal "$1" service why "$2")"
}

cluster_up 2
shoal 1 init --advertise-addr "$(address 1)" >/dev/null
shoal 2 join --token "$(shoal 1 token manager -q)" "$(address 1):2377" >/dev/null
for i in 1 2; do within 10 node_is 1 "$i" ready || fail "host $i is not ready"; done
within 15 shoal 2 service ls || fail "host 2 is no manager"
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null

create --name web --mode global -p mode=host,target=80,published=8080 web:1 sleep 1d
create --name nowhere --replicas 2 --constraint node.labels.disk==ssd web:1 sleep 1d
create --name greedy --reserve-memory 900g web:1 sleep 1d
create --name noimage "$(address 1):5000/not-there:9" # where nobody listens
create --name ended --restart-condition none web:1 false
within 25 running 1 web 2 || fail "web does not run"
create --name late -p mode=host,target=80,published=8080 web:1 sleep 1d

say "-- what does not run says why: the leader and the other manager"
for i in 1 2; do
    why "$i" nowhere no_suitable_node 'constraint node.labels.disk==ssd refused 2 of 2 \(such as h[12]\)'
    why "$i" greedy no_suitable_node 'not enough memory on 2: reserves 900 GiB, at most .* is free'
    why "$i" late no_suitable_node 'port 8080 of the host is taken on 2 of 2 \(on h[12] by service web\)'
    why "$i" ended given_up 'the restart condition is none'
    why "$i" noimage image_missing 'No such image: .*not-there:9.*registry .*:5000'
    within 10 says "$i" web '.AsDesired and (.Places | length) == 0' || fail "web: $(shoal "$i" service why web)"
done
says 1 nowhere '(.Places | length) == 2 and .Places[1].Slot == 2 and .Places[0].Filters[0].Nodes == 2' ||
    fail "nowhere: $(shoal 1 service why nowhere --format json)"
[ "$(shoal 1 service why web)" = 'web: everything is as it should be' ] || fail "web: $(shoal 1 service why web)"

say "-- names that nobody has, and the way out"
! shoal 1 service why nobody 2>"$WORK/answer" || fail "nobody is explained"
grep -q nobody "$WORK/answer" || fail "nobody: $(cat "$WORK/answer")"
! shoal 1 service create -d --name lost --network nosuch web:1 2>"$WORK/answer" || fail "an unknown network is taken"
grep -q 'nosuch.*not found' "$WORK/answer" || fail "nosuch: $(cat "$WORK/answer")"
shoal 1 node update --label-add disk=ssd h2 >/dev/null
within 20 says 2 nowhere .AsDesired || fail "the label does not help: $(shoal 2 service why nowhere)"
shoal 1 service scale -d nowhere=0 >/dev/null
within 20 says 1 nowhere '.AsDesired and .Reasons[0].Code == "scaled_to_zero"' || fail "scale 0: $(shoal 1 service why nowhere)"
say "every service says why"
