#!/usr/bin/env bash
# The stock docker client tells the whole story: a swarm of three, networks, services from create to
# rollback, logs, secrets, configs and nodes; its tables say what a user of Swarm expects.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq docker
case $(docker version --format '{{.Client.Version}}' 2>/dev/null) in
28.* | 29.*) ;;
*) skip "the docker client here is $(docker version --format '{{.Client.Version}}' 2>/dev/null), not 28 or later" ;;
esac
export DOCKER_CONFIG=$WORK/docker-config
docker_on() { local i=$1; shift; DOCKER_HOST="unix://$WORK/$i/run/shoal.sock" docker "$@"; }
d() { docker_on 1 "$@"; }

# says PATTERN COMMAND..: it succeeds and a line of what it prints matches
says() {
    local pattern=$1 text
    shift
    text=$("$@" 2>&1) || fail "$* failed: $text"
    grep -qE -- "$pattern" <<<"$text" || fail "$* printed, without /$pattern/: $text"
}
# refuses PATTERN COMMAND..: it fails, and says why
refuses() {
    local pattern=$1 text
    shift
    ! text=$("$@" 2>&1) || fail "$* succeeded: $text"
    grep -qE -- "$pattern" <<<"$text" || fail "$* said, without /$pattern/: $text"
}
replicas() { [ "$(d service ls --filter "name=$1" --format '{{.Replicas}}')" = "$2" ]; }
settled() { within 30 replicas "$1" "$2" || { d service ps --no-trunc "$1"; fail "$1 does not reach $2"; }; }

cluster_up 3
make_image

say "-- swarm"
refuses 'This node is not a swarm manager' d node ls
says 'Swarm initialized: current node \([a-z0-9]{25}\) is now a manager' d swarm init --advertise-addr "$(address 1)"
refuses 'already part of a swarm' d swarm init
says "docker swarm join --token [^ ]+ $(address 1):2377" d swarm join-token worker
says 'This node joined a swarm as a manager' docker_on 2 swarm join --token "$(d swarm join-token -q manager)" "$(address 1):2377"
says 'This node joined a swarm as a worker' docker_on 3 swarm join --token "$(d swarm join-token -q worker)" "$(address 1):2377"
says 'Swarm: active' d info
refuses 'autolock is not supported' d swarm update --autolock=true
refuses 'heartbeat is not a setting' d swarm update --dispatcher-heartbeat 1s
says 'Task History Retention Limit: 5' d info
refuses 'minimum certificate expiry time is 1h0m0s' d swarm update --cert-expiry 10m
says 'Swarm updated' d swarm update --cert-expiry 48h
says 'BEGIN PUBLIC KEY' d swarm ca
old_root=$(d swarm ca)
says 'BEGIN PUBLIC KEY' d swarm ca --rotate
[ "$(d swarm ca)" != "$old_root" ] || fail "the root is the old one"
[ "$(d node ls --format '{{.TLSStatus}}' | sort -u)" = Ready ] || fail "nodes need rotation: $(d node ls --format '{{.Hostname}} {{.TLSStatus}}')"
says 'Issuer Public Key' d node inspect --pretty self
for i in 1 2 3; do within 10 sh -c "DOCKER_HOST=unix://$WORK/1/run/shoal.sock docker node ls --format '{{.Hostname}} {{.Status}}' | grep -qx 'h$i Ready'" || fail "h$i is not ready"; done
says '^[a-z0-9]{25} \* +h1 +Ready +Active +Leader +[0-9.]+' d node ls
says '^[a-z0-9]{25} +h2 +Ready +Active +Reachable' d node ls
says '^[a-z0-9]{25} +h3 +Ready +Active +[0-9.]+' d node ls
says 'ID +HOSTNAME +STATUS +AVAILABILITY +MANAGER STATUS' docker_on 2 node ls
refuses 'is not a swarm manager' docker_on 3 node ls
says 'Leader:.*Yes' d node inspect --pretty self
says 'Hostname:.*h3' d node inspect --pretty h3

say "-- images, networks, secrets, configs"
says 'sha256:' d import "$WORK/image.tar" web:1
says '' d tag web:1 web:2
says '^web +2 ' d images
says '[a-z0-9]{25}' d network create -d overlay --subnet 10.44.0.0/24 --attachable back
says 'back +overlay +swarm' d network ls
says '10.44.0.0/24' d network inspect back
refuses 'already exists' d network create -d overlay back
printf 'swordfish' >"$WORK/secret"
says '[a-z0-9]{25}' d secret create password "$WORK/secret"
says '^[a-z0-9]{25} +password ' d secret ls
says '[a-z0-9]{25}' d config create page "$WORK/secret"
says '^swordfish' d config inspect --pretty page
[ -z "$(d secret inspect password | jq -r '.[0].Spec.Data // empty')" ] || fail "a secret can be read back"

say "-- services"
web="mkdir -p /www; cat /run/secrets/password /page >/www/index.html; exec httpd -f -v -p 80 -h /www"
says 'verify: Service [a-z0-9]{25} converged' d service create --no-resolve-image --name web --replicas 3 \
    --network back -p 8080:80 --secret password --config page --update-order start-first \
    --update-monitor 1s --rollback-monitor 1s --stop-grace-period 1s web:1 sh -c "$web"
says '^[a-z0-9]{12} +web +replicated +3/3 +web:1 +\*:8080->80/tcp' d service ls
says '^[a-z0-9]{12} +web\.[123] +web:1 +h[123] +Running +Running .*ago' d service ps web
[ "$(d service ps --format '{{.Node}}' web | sort -u | wc -l)" = 3 ] || fail "not one on each node"
for i in 1 2 3; do
    [ "$(ask "$i")" = swordfishswordfish ] || fail "host $i answers '$(ask "$i")'"
done
says 'Replicas:.*3' d service inspect --pretty web
says '^web\.[123]\.[a-z0-9]+@h[123] +\| .*10\.99\.0\.100.* response:200' d service logs web
says '"Name": "web"' d service inspect web
refuses 'name conflicts with an existing object' d service create -d --no-resolve-image --name web web:1
refuses 'is in use by service|in use' d network rm back
refuses "in use by the following service: web" d secret rm password

says 'scaled to 5' d service scale -d web=5
settled web 5/5
says '^web$' d service update -d --no-resolve-image --image web:2 --env-add COLOUR=blue web
updated() { [ "$(d service inspect --format '{{.UpdateStatus.State}}' web)" = "$1" ]; }
within 60 updated completed || { d service ps web; fail "the update does not end"; }
says '^[a-z0-9]{12} +web +replicated +5/5 +web:2' d service ls
says '^[a-z0-9]{12} +\\_ web\.[1-5] +web:1 +h[123] +Shutdown' d service ps web
says '^web$' d service rollback -d web
within 60 updated rollback_completed || { d service ps web; d service inspect web; fail "the rollback does not end"; }
says '^[a-z0-9]{12} +web +replicated +5/5 +web:1' d service ls
says '[a-z0-9]{25}' d service create -d --no-resolve-image --name all --mode global --stop-grace-period 1s web:1 sleep 1d
settled all 3/3
says '^[a-z0-9]{12} +all +global +3/3' d service ls

say "-- nodes"
says '^h3$' d node update --availability drain --label-add disk=ssd h3
says 'h3 +Ready +Drain' d node ls
moved() { [ -z "$(d node ps --filter desired-state=running --format '{{.Name}} {{.CurrentState}}' h3 | grep Running)" ]; }
within 20 moved || { d node ps h3; fail "h3 does not become empty"; }
settled web 5/5
settled all 2/2
says 'disk=ssd' d node inspect --pretty h3
says '^h3$' d node update --availability active h3
settled all 3/3
says 'Node h3 promoted to a manager in the swarm' d node promote h3
manages() { [ "$(docker_on 3 info --format '{{.Swarm.ControlAvailable}}')" = "$1" ]; }
within 15 manages true || fail "h3 does not become a manager"
says '^[a-z0-9]{25} \* +h3 +Ready +Active +Reachable' docker_on 3 node ls
says 'h3 demoted in the swarm' d node demote h3
within 15 manages false || fail "h3 does not become a worker again"
refuses 'is not down' d node rm h3
says 'Node left the swarm' docker_on 3 swarm leave
left() { d node ls --format '{{.Hostname}} {{.Status}}' | grep -qx 'h3 Down'; }
within 20 left || { d node ls; fail "h3 left, and is not seen as down"; }
says '^h3$' d node rm h3
[ "$(d node ls -q | wc -l)" = 2 ] || fail "h3 is still listed"
settled web 5/5

say "-- a stack"
echo kept >"$WORK/word"
cat >"$WORK/stack.yml" <<'STACK'
version: "3.8"
services:
  one:
    image: web:1
    command: ["sleep", "1d"]
    networks: [inner]
    secrets: [word]
    volumes: ["data:/data"]
    deploy: {replicas: 2, resources: {limits: {memory: 32M}}}
networks: {inner: {}}
volumes: {data: {}}
secrets: {word: {file: ./word}}
STACK
says 'Creating service pile_one' d stack deploy --detach=true -c "$WORK/stack.yml" pile
settled pile_one 2/2
says '^pile +1' d stack ls
says 'pile_one\.2 +web:1 .*Running' d stack ps pile
sed -i 's/replicas: 2/replicas: 1/' "$WORK/stack.yml"
says 'Updating service pile_one' d stack deploy --detach=true -c "$WORK/stack.yml" pile
settled pile_one 1/1
says '' within 20 d stack rm pile # its network is in use until the last task has ended
unstacked() { [ -z "$(d stack ls --format '{{.Name}}')$(d network ls -qf name=pile_)$(d secret ls -qf name=pile_)" ]; }
within 20 unstacked || fail "something of the stack is left"

say "-- away with it"
says '^web$' d service rm web
says '^all$' d service rm all
says '' within 20 d network rm back
says '^password$' d secret rm password
says '^page$' d config rm page
for kind in service secret config; do [ -z "$(d $kind ls -q)" ] || fail "a $kind is left"; done
gone() { [ -z "$(containers 1)$(containers 2)" ]; }
within 20 gone || fail "containers are left: $(containers 1) $(containers 2)"
refuses 'You are attempting to leave the swarm on a node that is participating as a manager' docker_on 2 swarm leave
says 'Node left the swarm' docker_on 2 swarm leave --force
say "the docker client is content"
