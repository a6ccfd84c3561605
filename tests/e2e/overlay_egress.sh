#!/bin/bash
# The way out of the cluster: masqueraded, isolated between sandboxes, not for internal networks; and
# ports of the host that lead in, with the client's address. All of it outlives the daemon.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"
command -v nft >/dev/null || skip "needs nft"

lab_up a world
node_start a egress=172.31.192.0/18
say a net back 4096 10.0.9.0/24 - >/dev/null
say a net hidden 4097 10.0.8.0/24 - internal >/dev/null
HOSTS=a box a web back 10.0.9.11 - egress publish=8080:80
HOSTS=a box a app back 10.0.9.12 - egress
HOSTS=a box a shut hidden 10.0.8.11 -
HOSTS="a world"

# Out, under the host's address.
EXEC="exec" on_host world tcpdump -n -l -i w0 icmp >"$LAB_DIR/seen" 2>"$LAB_DIR/tcpdump.err" &
echo $! >"$LAB_DIR/pids/tcpdump"
wait_for "tcpdump" grep -q "listening on" "$LAB_DIR/tcpdump.err"
pings a web 10.200.0.2 >/dev/null || fail "no way out"
wait_for "the record" grep -q "10.200.0.1 > 10.200.0.2" "$LAB_DIR/seen"
! grep -q "172.31" "$LAB_DIR/seen" || fail "an inner address got out"
! pings a shut 10.200.0.2 >/dev/null 2>&1 || fail "an internal network has a way out"
say a box bad egress hidden 10.0.8.12 - eth0 >"$LAB_DIR/bad" && fail "egress of an internal network"
grep -q "internal" "$LAB_DIR/bad" || fail "the reason is not told: $(cat "$LAB_DIR/bad")"

# Sandboxes do not reach each other this way, nor with another's address.
app=$(in_box a app ip -o -4 addr show egress0 | awk '{ sub("/.*", "", $4); print $4 }')
! in_box a web ping -q -c 1 -W 1 "$app" >/dev/null || fail "sandboxes talk over the way out"
in_box a web ip addr add "$app/18" dev egress0
! in_box a web ping -q -c 1 -W 1 -I "$app" 10.200.0.2 >/dev/null || fail "a forged address gets out"
in_box a web ip addr del "$app/18" dev egress0

# The gateway's MAC, which sandboxes remember, stays when ports come and go: a bridge left to itself
# takes the lowest one that is there.
gateway_mac() { on_host a ip -o link show shoal0 | sed 's/.*ether //; s/ .*//'; }
had=$(gateway_mac)
on_host a ip link add low0 address 02:00:00:00:00:01 type veth peer name low1
on_host a ip link set low0 master shoal0 up
[ "$(gateway_mac)" = "$had" ] || fail "the gateway's MAC was $had and is $(gateway_mac)"
pings a web 10.200.0.2 >/dev/null || fail "no way out after a port joined"
on_host a ip link del low0

# In: the published port, from elsewhere and from the host itself; the client's address is kept.
serve() {
    EXEC="exec" in_box a web socat TCP6-LISTEN:80,ipv6only=0,fork,reuseaddr SYSTEM:'echo from $SOCAT_PEERADDR' &
    echo $! >"$LAB_DIR/pids/web"
    wait_for "listener" is_listening a web 80
}
ask() { on_host "$1" timeout 3 socat - "TCP:${2:-10.200.0.1}:8080,connect-timeout=1" </dev/null; }
serve
[[ $(ask world) == *":ffff:0ac8:0002]" ]] || fail "published port from elsewhere: '$(ask world)'"
[ "$(ask world '[fd99::1]')" = "from [fd99:0000:0000:0000:0000:0000:0000:0002]" ] \
    || fail "published port from elsewhere over IPv6: '$(ask world '[fd99::1]')'"
for to in 10.200.0.1 '[fd99::1]' 127.0.0.1; do
    ask a "$to" | grep -q from || fail "published port from the host itself at $to"
done
on_host a timeout 3 socat - 'TCP:[::1]:8080,connect-timeout=2' </dev/null 2>"$LAB_DIR/refused" && fail "::1 answers"
grep -q refused "$LAB_DIR/refused" || fail "at ::1 a user waits: $(cat "$LAB_DIR/refused")"
# What is for 127.0.0.1 alone stays so: the bridge lets only answers in.
on_host a sysctl -qn net.ipv4.conf.shoal0.route_localnet | grep -q 1 || fail "answers to 127.0.0.1"
on_host a nft list chain inet shoal_egress loopback | grep -q 'iifname "shoal0" ip daddr 127.0.0.0/8 drop' \
    || fail "containers reach what listens at 127.0.0.1"
say a box two egress publish=8080:81 back 10.0.9.13 - eth0 >"$LAB_DIR/bad" && fail "one port, two sandboxes"
grep -q "port 8080" "$LAB_DIR/bad" || fail "the reason is not told: $(cat "$LAB_DIR/bad")"

# The daemon dies: both ways stay open; a new one adopts them and keeps the address.
node_kill a
pings a web 10.200.0.2 >/dev/null || fail "no way out without the daemon"
ask world | grep -q from || fail "published port without the daemon"
node_start a egress=172.31.192.0/18
ask world | grep -q from || fail "published port closed by the new daemon"
say a net back 4096 10.0.9.0/24 - >/dev/null
had=$(in_box a web ip -o -4 addr show egress0)
say a box web egress publish=8080:80 back 10.0.9.11 - eth0 >/dev/null
[ "$(in_box a web ip -o -4 addr show egress0)" = "$had" ] || fail "the address changed"
ask world | grep -q from || fail "published port after adoption"
say a settle >/dev/null
is_closed() { ! ask world; }
say a nobox web >/dev/null
wait_for "the port to close" is_closed
echo "ok"
