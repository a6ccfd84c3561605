#!/usr/bin/env bash
# Options of service create and update, seen in effect inside the containers.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq

task() { rows 1 "$1" | cut -d' ' -f1; }
x() { shoal 1 exec "$@"; } # TASK COMMAND..
settled() { within 25 running 1 "$1" "${2:-1}" || { shoal 1 service ps "$1"; shoal 1 service why "$1"; fail "$1 does not run"; }; }
inside() { # SERVICE PATTERN COMMAND..: what the command prints in its task has it
    local service=$1 pattern=$2
    shift 2
    x "$(task "$service")" "$@" >"$WORK/seen" 2>&1 || fail "$service: $*: $(cat "$WORK/seen")"
    grep -qE -- "$pattern" "$WORK/seen" || fail "$service: $*: without /$pattern/: $(cat "$WORK/seen")"
}
spec() { shoal 1 service inspect web | jq -c ".[0].Spec.TaskTemplate.ContainerSpec$1"; }
update() { shoal 1 service update "$@" web >/dev/null || fail "update $*"; settled web; }

cluster_up 1
make_image
cluster_join 1
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null
printf '# of the test\nFROM_FILE=yes\nBOTH=file\nFROM_HERE\n' >"$WORK/env"
echo hidden | shoal 1 secret create pass >/dev/null
export FROM_HERE=here

say "-- what was asked for is so in the container"
shoal 1 service create -d --name web --stop-grace-period 0s \
    --ulimit nofile=321:654 --sysctl net.ipv4.ip_default_ttl=77 \
    --cap-drop all --cap-add net_raw --dns 192.0.2.53 --dns-search example.org --dns-option ndots:3 \
    --host db:192.0.2.7 --hostname box --init --limit-pids 50 --group 44 \
    --env-file "$WORK/env" --env BOTH=option \
    --mount type=tmpfs,target=/small,tmpfs-size=2m,tmpfs-mode=1750 \
    --secret source=pass,target=word,mode=0400,uid=7 \
    --log-driver json-file --log-opt max-size=1m --no-healthcheck \
    --entrypoint 'sh -c' web:1 'sleep 1d; true "not alone"' >/dev/null || fail "create"
settled web
inside web '^Max open files +321 +654 ' cat /proc/1/limits
inside web '^77$' cat /proc/sys/net/ipv4/ip_default_ttl
inside web '^CapBnd:.0000000000002000$' cat /proc/1/status
inside web '^192.0.2.7[[:space:]]+db$' cat /etc/hosts
inside web '^search example.org$' cat /etc/resolv.conf
inside web '^options .*ndots:3' cat /etc/resolv.conf
inside web '^nameserver 192.0.2.53$' cat /etc/resolv.conf
inside web '^box$' hostname
inside web '^Groups:.*44' cat /proc/1/status
inside web '^yes option here$' sh -c 'echo $FROM_FILE $BOTH $FROM_HERE'
inside web ' /small .*size=2048k.*mode=1750' cat /proc/mounts
inside web '^-r-------- .* 7 ' busybox ls -ln /run/secrets/word
inside web '^sleep$' sh -c 'cat /proc/[0-9]*/comm'
group_dirs "/$GROUP/h1/*" | while read -r dir; do find "$dir" -name pids.max -exec cat {} +; done >"$WORK/seen"
grep -qx 50 "$WORK/seen" || fail "pids.max: $(cat "$WORK/seen")"

say "-- an update changes one entry"
update --ulimit-add nofile=222 --host-add more:192.0.2.8 --host-rm db --env-rm BOTH --env-add ALSO=1 \
    --sysctl-rm net.ipv4.ip_default_ttl --cap-drop net_raw --dns-rm 192.0.2.53 --dns-add 192.0.2.54 \
    --dns-search-rm example.org --dns-search-add example.net
inside web '^Max open files +222 +222 ' cat /proc/1/limits
inside web '^192.0.2.8[[:space:]]+more$' cat /etc/hosts
! grep -q 192.0.2.7 "$WORK/seen" || fail "the host is still there: $(cat "$WORK/seen")"
inside web '^yes 1 here .$' sh -c 'echo $FROM_FILE $ALSO $FROM_HERE $BOTH.'
inside web '^64$' cat /proc/sys/net/ipv4/ip_default_ttl
inside web '^CapBnd:.0000000000000000$' cat /proc/1/status
inside web '^nameserver 192.0.2.54$' cat /etc/resolv.conf
inside web '^search example.net$' cat /etc/resolv.conf
[ "$(spec .Env)" = '["FROM_FILE=yes","FROM_HERE=here","ALSO=1"]' ] || fail "env: $(spec .Env)"

say "-- networks, secrets and ports by their names"
shoal 1 network create back >/dev/null
update --network-add name=back,alias=store --secret-rm pass --publish-add 8080:80 \
    --dns-search-rm example.net --dns-option-rm ndots:3 # names of a domain would be asked of nobody
[ "$(spec .Secrets)" = null ] || [ "$(spec .Secrets)" = '[]' ] || fail "secrets: $(spec .Secrets)"
inside web '^Address.*10\.' nslookup store
update --network-rm back --publish-rm 80
[ "$(shoal 1 service inspect web | jq '.[0].Spec | (.TaskTemplate.Networks // []) + (.EndpointSpec.Ports // []) | length')" = 0 ] ||
    fail "left: $(shoal 1 service inspect web)"

say "-- back to the spec before, alone"
! shoal 1 service update --rollback --env-add A=1 web 2>"$WORK/err" || fail "a rollback with more"
grep -q 'not together with --env-add' "$WORK/err" || fail "it said: $(cat "$WORK/err")"
update --rollback
[ "$(shoal 1 service inspect web | jq '.[0].Spec.TaskTemplate.Networks | length')" = 1 ] || fail "not rolled back"

say "-- what is not there, or makes no sense"
update --mount-rm /nowhere --env-rm NOBODY
! shoal 1 service update -d --network-rm nosuch web 2>"$WORK/err" || fail "an unknown network"
grep -q 'nosuch.*not found' "$WORK/err" || fail "it said: $(cat "$WORK/err")"
! shoal 1 service update -d --env A=1 web 2>"$WORK/err" || fail "a whole list"
grep -q 'env-add and --env-rm change one' "$WORK/err" || fail "it said: $(cat "$WORK/err")"

say "-- a network's own addresses"
shoal 1 network create --subnet 10.77.0.0/24 --gateway 10.77.0.99 own >/dev/null || fail "network create"
shoal 1 network inspect own | jq -e '.[0].IPAM.Config[0] | .Subnet == "10.77.0.0/24" and .Gateway == "10.77.0.99"' >/dev/null ||
    fail "$(shoal 1 network inspect own)"
! shoal 1 network create --gateway 10.78.0.1 none 2>"$WORK/err" || fail "a gateway of no subnet"
grep -q 'give the --subnet' "$WORK/err" || fail "it said: $(cat "$WORK/err")"

say "-- a container of its own"
shoal 1 container run --rm --ulimit nofile=55 --dns 192.0.2.55 --dns-search a.org --sysctl net.ipv4.ip_default_ttl=78 \
    --env-file "$WORK/env" --shm-size 1m web:1 \
    sh -c 'cat /etc/resolv.conf /proc/1/limits /proc/sys/net/ipv4/ip_default_ttl /proc/mounts; echo $FROM_FILE' >"$WORK/seen" || fail "run"
for pattern in '^nameserver 192.0.2.55$' '^search a.org$' '^Max open files +55 +55 ' '^78$' ' /dev/shm .*size=1024k' '^yes$'; do
    grep -qE "$pattern" "$WORK/seen" || fail "without /$pattern/: $(cat "$WORK/seen")"
done
shoal 1 service rm web >/dev/null || fail "rm"
say "ok"
