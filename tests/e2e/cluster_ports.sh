#!/usr/bin/env bash
# Published ports on real nodes, of both families: every host answers at its addresses of IPv4 and of
# IPv6 for a task on one of them, over TCP and UDP, and the task sees the client's own address. On the
# host itself localhost answers too. Ports in host mode answer where the task is, not at ::1.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq socat

answer() { # PROTOCOL NAMESPACE HOST:PORT: what the task says it sees
    echo who | ip netns exec "$CLUSTER-$2" timeout 3 socat -t 2 - "$1:$3" 2>/dev/null
}
sees() { # PROTOCOL NAMESPACE TARGET EXPECTED
    within 10 eval "[ \"\$(answer '$1' '$2' '$3')\" = '$4' ]" \
        || fail "$1 from $2 to $3: the task says '$(answer "$1" "$2" "$3")', not '$4'"
}
silent() { [ -z "$(answer "$1" client "$2")" ]; } # PROTOCOL TARGET
answers() { within 10 eval "[ -n \"\$(answer '$1' '$2' '$3')\" ]" || fail "$1 on $2 at $3: no answer"; }

# socat writes addresses of IPv6 in full; those of IPv4 come as mapped ones.
CLIENT4="[0000:0000:0000:0000:0000:ffff:0a63:0064]"
CLIENT6="[fd99:0000:0000:0000:0000:0000:0000:0064]"

# A server of one family of sockets for both; its answers to UDP come from an unbound address.
server() { # PROTOCOL
    # shellcheck disable=SC2016 # the container's shell expands it
    case $1 in
    tcp) echo 'exec socat TCP6-LISTEN:80,ipv6only=0,fork,reuseaddr SYSTEM:"echo \$SOCAT_PEERADDR"' ;;
    udp) echo 'exec socat UDP6-RECVFROM:80,ipv6only=0,fork,reuseaddr SYSTEM:"read x; echo \$SOCAT_PEERADDR"' ;;
    esac
}

cluster_up 3
for i in 1 2 3; do ip -n "$CLUSTER-$i" addr add "fd99::$i/64" dev eth0 nodad; done
ip -n "$CLUSTER-client" addr add fd99::64/64 dev eth0 nodad
make_image socat
cluster_join 1
shoal 1 image import "$WORK/image.tar" web:1 >/dev/null || fail "import"
shoal 1 network inspect ingress | jq -e '.[0].EnableIPv6' >/dev/null || fail "ingress has no IPv6"

for protocol in tcp udp; do
    say "-- ingress mode, $protocol: one task on host 2, asked of every host"
    shoal 1 service create -d --name "in-$protocol" --constraint node.hostname==h2 \
        -p "8080:80/$protocol" web:1 sh -c "$(server $protocol)" >/dev/null || fail "service create"
    within 20 running 1 "in-$protocol" 1 || fail "in-$protocol does not run"
    for i in 1 2 3; do
        sees "$protocol" client "$(address "$i"):8080" "$CLIENT4"
        sees "${protocol}6" client "[fd99::$i]:8080" "$CLIENT6"
        answers "${protocol}4" "$i" "127.0.0.1:8080"
        answers "${protocol}6" "$i" "[::1]:8080"
    done
    say "-- host mode, $protocol"
    shoal 1 service create -d --name "at-$protocol" --constraint node.hostname==h3 \
        --publish "mode=host,published=8081,target=80,protocol=$protocol" \
        web:1 sh -c "$(server $protocol)" >/dev/null || fail "service create"
    within 20 running 1 "at-$protocol" 1 || fail "at-$protocol does not run"
    sees "$protocol" client "$(address 3):8081" "$CLIENT4"
    sees "${protocol}6" client "[fd99::3]:8081" "$CLIENT6"
    answers "${protocol}4" 3 127.0.0.1:8081
    silent "$protocol" "$(address 1):8081" || fail "host mode answers where no task is"
done

say "-- where the task is, its port goes on without the daemon, and after that has returned"
sees tcp6 client "[fd99::2]:8080" "$CLIENT6"
daemon_kill 2
sees tcp6 client "[fd99::2]:8080" "$CLIENT6"
answers tcp6 2 "[::1]:8080"
daemon_start 2
within 10 node_is 1 2 ready || fail "host 2 does not return"
sees tcp6 client "[fd99::2]:8080" "$CLIENT6"
sees tcp6 client "[fd99::1]:8080" "$CLIENT6"

say "-- a service that has gone is gone in both families"
shoal 1 service rm in-tcp in-udp at-tcp at-udp >/dev/null || fail "rm"
within 10 silent tcp "$(address 3):8080" || fail "port 8080 still answers"
within 10 silent tcp6 "[fd99::3]:8080" || fail "port 8080 still answers over IPv6"
say "ok"
