#!/usr/bin/env bash
# What people get wrong is answered with an error that names the thing, or with a reason on the
# task; whatever is wrong with one service, the cluster goes on with the others.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq
# refuses PATTERN COMMAND..: it fails, and says why
refuses() {
    local pattern=$1 text
    shift
    ! text=$("$@" 2>&1) || fail "$* succeeded: $text"
    grep -qE -- "$pattern" <<<"$text" || fail "$* said, without /$pattern/: $text"
}
create() { local i=$1; shift; shoal "$i" service create -d --stop-grace-period 0s "$@"; }
# api HOST METHOD PATH BODY: the status, and what was said
api() {
    curl -s -m 5 -w '\n%{http_code}' --unix-socket "$WORK/$1/run/shoal.sock" -X "$2" "http://shoal/v1.41$3" \
        -H 'Content-Type: application/json' --data-binary "$4"
}
answers() { # STATUS PATTERN HOST METHOD PATH BODY
    local status=$1 pattern=$2 text
    shift 2
    text=$(api "$@")
    [ "$(tail -n 1 <<<"$text")" = "$status" ] || fail "$*: not $status: $text"
    jq -e .message >/dev/null <<<"$(head -n -1 <<<"$text")" || fail "$*: no message: $text"
    grep -qE -- "$pattern" <<<"$text" || fail "$*: without /$pattern/: $text"
}
# reason SERVICE PATTERN: a task of it says why it does not run, in `ps` and in the API
told() { shoal 1 service ps "$1" --format json | jq -r .ERROR | grep -qE -- "$2"; }
reason() { within 25 told "$1" "$2" || { shoal 1 service ps "$1"; fail "no task of $1 says /$2/"; }; }

cluster_up 4
shoal 1 init --advertise-addr "$(address 1)" >/dev/null
shoal 4 init --advertise-addr "$(address 4)" >/dev/null # another cluster
token=$(shoal 1 token worker -q)
make_image
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null

say "-- who may join"
refuses 'begins with SHTKN-1-' shoal 2 join --token nonsense "$(address 1):2377"
refuses 'token' shoal 2 join --token "${token%?????}aaaaa" "$(address 1):2377"
refuses 'another cluster|cluster' shoal 2 join --token "$(shoal 4 token worker -q)" "$(address 1):2377"
refuses 'already part of a swarm' shoal 4 join --token "$token" "$(address 1):2377"
refuses "$(address 77)" timeout 30 "$SHOAL" --socket "$WORK/2/run/shoal.sock" join --token "$token" "$(address 77):2377"
old=$token
token=$(shoal 1 token worker -q --rotate)
refuses 'token' shoal 2 join --token "$old" "$(address 1):2377"
shoal 2 join --token "$(shoal 1 token manager -q)" "$(address 1):2377" >/dev/null || fail "join after refusals"
shoal 3 join --token "$token" "$(address 1):2377" >/dev/null || fail "join after refusals"
for i in 1 2 3; do within 10 node_is 1 "$i" ready || fail "host $i is not ready"; done
refuses 'not a swarm manager' shoal 3 node ls

say "-- names and references"
shoal 1 network create back >/dev/null
echo x | shoal 1 secret create key - >/dev/null
create 1 --name web --network back -p 8080:80 --secret key web:1 sh -c "$(web_server web)" >/dev/null
refuses 'name conflicts|already exists|in use' create 1 --name web web:1
refuses 'already exists|conflict' shoal 1 network create back
refuses 'key' sh -c "echo y | '$SHOAL' --socket '$WORK/1/run/shoal.sock' secret create key -"
refuses 'nowhere.*not found' create 1 --name lost --network nowhere web:1
refuses 'nothing' create 1 --name lost --secret nothing web:1
refuses '8080' create 1 --name late -p 8080:80 web:1
refuses 'in use' shoal 1 secret rm key
refuses 'in use' shoal 1 network rm back
refuses 'nobody' shoal 1 service rm nobody
refuses 'valid|name' create 1 --name 'not/a name' web:1
refuses 'constraint|==' create 1 --name odd --constraint 'node.hostname like h1' web:1

say "-- tasks that cannot run say why"
create 1 --name noimage "$(address 1):5000/not-there:9" >/dev/null # where nobody listens
create 1 --name nowhere --constraint node.labels.disk==ssd web:1 sleep 1d >/dev/null
create 1 --name greedy --reserve-cpu 900 web:1 sleep 1d >/dev/null
create 1 --name nocommand --restart-condition none web:1 /no/such/program >/dev/null
reason nowhere 'no suitable node.*constraint'
reason greedy 'no suitable node.*insufficient resources'
reason nocommand '/no/such/program'
reason noimage 'No such image: .*not-there:9.*registry .*:5000' # a registry is tried a few times
within 15 running 1 web 1 || { shoal 1 service ps web; fail "web does not run beside them"; }
shoal 1 node update --label-add disk=ssd h3 >/dev/null
within 15 running 1 nowhere 1 || { shoal 1 service ps nowhere; fail "the label does not help"; }

say "-- requests that are no requests"
answers 400 '.' 1 POST /services/create '{"Name": "broken"'
answers 400 'Replicas' 1 POST /services/create '{"Name":"r","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},"Mode":{"Replicated":{"Replicas":"many"}}}'
answers 400 '.' 1 POST /services/create '[]'
answers 400 '.' 1 GET '/services?filters=%7B' ''
answers 404 'page not found' 1 GET /no/such/thing ''
answers 503 'not a swarm manager' 3 POST /configs/create '{"Name":"c","Data":"eA=="}'
head -c 20000000 /dev/zero | curl -s -m 10 -o "$WORK/answer" -w '%{http_code}' --unix-socket "$WORK/1/run/shoal.sock" \
    -H 'Content-Type: application/json' --data-binary @- http://shoal/services/create >"$WORK/status" || true
grep -qE '^(400|413)$' "$WORK/status" || fail "20 MB of nothing: $(cat "$WORK/status" "$WORK/answer")"

say "-- a dead manager"
runs_on=$(rows 1 web | sed 's/.* h//')
daemon_kill 2
refuses "$WORK/2/run/shoal.sock" shoal 2 node ls
# One of two managers: nothing can be decided, and that is what is said, in bounded time.
refuses 'manager|leader|majority|quorum|timed out' timeout 40 "$SHOAL" --socket "$WORK/1/run/shoal.sock" service scale -d web=2
within 5 ask "$runs_on" || fail "what runs does not go on without a majority"
daemon_start 2
within 20 sh -c "'$SHOAL' --socket '$WORK/1/run/shoal.sock' service scale -d web=2" || fail "the majority does not come back"
within 20 running 1 web 2 || { shoal 1 service ps web; fail "the cluster does not go on"; }
say "every mistake has its answer"
