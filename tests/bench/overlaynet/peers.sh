# Other overlays for run.sh --peers: Debian's packages, unpacked into the work folder and nowhere else,
# between the same two hosts. They carry from host to host: no container, bridge or second veth pair,
# which is less than the sealed path and clear VXLAN do.
# shellcheck shell=bash
PEER_SYSTEMS="veth wireguard-go nebula tinc"
PEER_PACKAGES="wireguard-go wireguard-tools nebula tinc liblzo2-2"
PEER_MADE_RUN_DIR=

peer_address() { # SYSTEM: of host b
    case $1 in
    veth) host_ip b ;;
    wireguard-go) echo 10.201.0.2 ;;
    nebula) echo 10.202.0.2 ;;
    tinc) echo 10.203.0.2 ;;
    esac
}
index_of() { cat "$LAB_DIR/$1/index"; }
other_of() { [ "$1" = a ] && echo b || echo a; }
peer_libraries() { find "$PEER_DIR" -name 'lib*.so.*' -printf '%h\n' | sort -u | paste -sd: -; }
peer_tool() { # one of the unpacked programs
    t=$1
    shift
    LD_LIBRARY_PATH=$(peer_libraries) "$PEER_DIR/$t" "$@"
}
peer_daemon() { # NAME HOST PROGRAM..: in the background, on a host
    what=$1 on=$2 program=$3
    shift 3
    LD_LIBRARY_PATH=$(peer_libraries) EXEC="exec" on_host "$on" \
        "$PEER_DIR/$program" "$@" >"$PEER_DIR/$what.$on.log" 2>&1 </dev/null &
    echo $! >"$LAB_DIR/pids/$what.$on"
}
peer_answers() { on_host a ping -q -c 1 -W 1 "$(peer_address "$1")"; }
has_link() { ip -n "$LAB$1" link show "$2"; }

unpack_peers() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "--peers takes Debian's packages"
    # shellcheck disable=SC2086
    (cd "$PEER_DIR" && { apt-get update -qq && apt-get download -qq $PEER_PACKAGES; } >apt.log 2>&1) ||
        fail "no packages of peers: $(tail -n 1 "$PEER_DIR/apt.log")"
    for deb in "$PEER_DIR"/*.deb; do dpkg-deb -x "$deb" "$PEER_DIR"; done
}

# Interfaces carry the name of the lab: the control sockets of all namespaces share a folder.
wireguard_up() {
    [ -d /var/run/wireguard ] || PEER_MADE_RUN_DIR=1
    for h in a b; do
        (umask 077 && peer_tool usr/bin/wg genkey >"$PEER_DIR/wg.$h.key")
        peer_tool usr/bin/wg pubkey <"$PEER_DIR/wg.$h.key" >"$PEER_DIR/wg.$h.pub"
        WG_PROCESS_FOREGROUND=1 peer_daemon wireguard-go $h usr/bin/wireguard-go -f "$LAB$h"
    done
    for h in a b; do
        o=$(other_of $h)
        wait_for "wireguard-go of $h" has_link $h "$LAB$h"
        peer_tool usr/bin/wg set "$LAB$h" private-key "$PEER_DIR/wg.$h.key" listen-port 51820 \
            peer "$(cat "$PEER_DIR/wg.$o.pub")" allowed-ips 0.0.0.0/0 endpoint "$(host_ip "$o"):51820"
        ip -n "$LAB$h" addr add "10.201.0.$(index_of $h)/24" dev "$LAB$h"
        ip -n "$LAB$h" link set dev "$LAB$h" mtu 1420 up
    done
}

nebula_up() {
    (cd "$PEER_DIR" && peer_tool usr/bin/nebula-cert ca -name bench >/dev/null)
    for h in a b; do
        o=$(other_of $h)
        (cd "$PEER_DIR" && peer_tool usr/bin/nebula-cert sign -name $h -ip "10.202.0.$(index_of $h)/24")
        cat >"$PEER_DIR/nebula.$h.yml" <<EOT
pki: {ca: $PEER_DIR/ca.crt, cert: $PEER_DIR/$h.crt, key: $PEER_DIR/$h.key}
static_host_map: {"10.202.0.$(index_of "$o")": ["$(host_ip "$o"):4242"]}
lighthouse: {am_lighthouse: false, hosts: []}
listen: {host: 0.0.0.0, port: 4242, batch: 64, read_buffer: 4194304, write_buffer: 4194304}
cipher: aes
tun: {dev: neb0, mtu: 1440, tx_queue: 2000}
logging: {level: warning}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
EOT
        peer_daemon nebula $h usr/bin/nebula -config "$PEER_DIR/nebula.$h.yml"
    done
}

tinc_up() {
    for h in a b; do
        d=$PEER_DIR/tinc.$h
        mkdir -p "$d/hosts"
        printf 'Name=%s\nAddressFamily=ipv4\nInterface=tinc0\nConnectTo=%s\n' $h "$(other_of $h)" >"$d/tinc.conf"
        printf 'Address=%s\nSubnet=10.203.0.%s/32\n' "$(host_ip $h)" "$(index_of $h)" >"$d/hosts/$h"
        # shellcheck disable=SC2016
        printf '#!/bin/sh\nip addr add 10.203.0.%s/24 dev $INTERFACE\nip link set $INTERFACE mtu 1400 up\n' \
            "$(index_of $h)" >"$d/tinc-up"
        chmod +x "$d/tinc-up"
        peer_tool usr/sbin/tincd -c "$d" -K 2048 </dev/null >"$PEER_DIR/tinc.keys.log" 2>&1
    done
    cp "$PEER_DIR/tinc.a/hosts/a" "$PEER_DIR/tinc.b/hosts/"
    cp "$PEER_DIR/tinc.b/hosts/b" "$PEER_DIR/tinc.a/hosts/"
    for h in a b; do
        peer_daemon tinc $h usr/sbin/tincd -c "$PEER_DIR/tinc.$h" -D --pidfile="$PEER_DIR/tinc.$h.pid"
    done
}

peers_up() {
    PEER_DIR=$OUT/peers
    mkdir "$PEER_DIR"
    unpack_peers
    wireguard_up
    nebula_up
    tinc_up
    for p in $PEER_SYSTEMS; do
        for h in a b; do echo "/run/netns/$LAB$h" >"$LAB_DIR/$h/box.$p"; done
        wait_for "an answer through $p" peer_answers "$p"
    done
    serve veth # all of them reach host b's own servers
}
peers_down() { # before the lab goes; also of half an installation
    for f in "$LAB_DIR"/pids/wireguard-go.*; do
        [ -f "$f" ] || continue
        kill "$(cat "$f")" && wait "$(cat "$f")" # it removes its control socket
        rm "$f"
    done 2>/dev/null
    [ -z "$PEER_MADE_RUN_DIR" ] || rmdir /var/run/wireguard 2>/dev/null # unless others are in it
}
