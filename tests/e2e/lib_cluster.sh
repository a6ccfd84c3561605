# shellcheck shell=bash
# A cluster on one machine: hosts are network namespaces on a bridge, each with a real daemon.
# Source it; then: cluster_up N, host I COMMAND.., shoal I ARGS.., cluster_down.
# Names carry the process id, so two clusters may run side by side. Everything made here is taken
# away again, also after a failure or Ctrl-C, unless KEEP is set.

: "${SHOAL_BUILD:?build directory}"
CLUSTER=${CLUSTER:-sh$$}
WORK=${WORK:-$(mktemp -d /tmp/shoal-e2e.XXXXXX)}
SHOAL=$SHOAL_BUILD/shoal
HOSTS=0

say() { printf '%s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    for log in "$WORK"/*/log; do
        [ -s "$log" ] || continue
        printf -- '--- %s\n' "$log" >&2
        tail -n 15 "$log" >&2
    done
    exit 1
}

need() {
    [ -x "$SHOAL" ] || { say "skipped: this build has no $SHOAL"; exit 77; }
    [ "$(id -u)" = 0 ] || { say "skipped: needs root"; exit 77; }
    ip netns add "$CLUSTER-try" 2>/dev/null || { say "skipped: network namespaces cannot be made here"; exit 77; }
    ip netns del "$CLUSTER-try"
    for tool in crun conmon nft busybox curl; do
        command -v $tool >/dev/null || { say "skipped: $tool is not installed"; exit 77; }
    done
}

host() { local i=$1; shift; ip netns exec "$CLUSTER-$i" "$@"; }
shoal() { local i=$1; shift; "$SHOAL" --socket "$WORK/$i/run/shoal.sock" "$@"; }
address() { echo "10.99.0.$1"; }

# Waits until the command succeeds: within SECONDS COMMAND..
within() {
    local limit=$1 start=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        [ $((SECONDS - start)) -lt "$limit" ] || return 1
        sleep 0.1
    done
}

switch_up() {
    ip netns add "$CLUSTER-sw"
    ip -n "$CLUSTER-sw" link add br0 type bridge
    ip -n "$CLUSTER-sw" link set br0 up
}

# wire NAME ADDRESS: a namespace on the switch
wire() {
    ip netns add "$CLUSTER-$1"
    ip link add "v$1-$$" type veth peer name "p$1-$$"
    ip link set "v$1-$$" netns "$CLUSTER-$1"
    ip link set "p$1-$$" netns "$CLUSTER-sw"
    ip -n "$CLUSTER-$1" link set "v$1-$$" name eth0
    ip -n "$CLUSTER-$1" addr add "$2/24" dev eth0
    ip -n "$CLUSTER-$1" link set lo up
    ip -n "$CLUSTER-$1" link set eth0 up
    ip -n "$CLUSTER-sw" link set "p$1-$$" master br0 up
    ip -n "$CLUSTER-$1" route add default via 10.99.0.254
}

daemon_start() {
    local i=$1
    mkdir -p "$WORK/$i/state" "$WORK/$i/run"
    # A mount namespace of its own, which it keeps over restarts, as a machine would.
    if [ ! -s "$WORK/$i/mounts.pid" ]; then
        nsenter --net="/run/netns/$CLUSTER-$i" unshare -m -u --propagation private \
            sh -c "hostname h$i; echo \$\$ >'$WORK/$i/mounts.pid'; exec sleep infinity" &
        echo $! >"$WORK/$i/holder.pid"
        within 5 test -s "$WORK/$i/mounts.pid" || fail "host $i"
    fi
    nsenter -t "$(cat "$WORK/$i/mounts.pid")" -m -u -n \
        "$SHOAL" daemon --state-dir "$WORK/$i/state" --run-dir "$WORK/$i/run" >>"$WORK/$i/log" 2>&1 &
    echo $! >"$WORK/$i/pid"
    within 10 shoal "$i" version || fail "the daemon of host $i does not answer"
}

daemon_kill() { kill -9 "$(cat "$WORK/$1/pid")" 2>/dev/null || true; }

# Everything of a host ends, as when its power fails.
host_kill() {
    ip -n "$CLUSTER-$1" link set eth0 down
    daemon_kill "$1"
}

cluster_up() {
    local i
    HOSTS=$1
    switch_up
    for i in $(seq 1 "$HOSTS"); do
        wire "$i" "$(address "$i")"
        daemon_start "$i"
    done
    wire client 10.99.0.100
}

cluster_join() { # all hosts: the first two more as managers
    local i token
    shoal 1 init --advertise-addr "$(address 1)" >/dev/null || fail "init"
    for i in $(seq 2 "$HOSTS"); do
        token=$(shoal 1 token "$([ "$i" -le 3 ] && echo manager || echo worker)" -q)
        shoal "$i" join --token "$token" --advertise-addr "$(address "$i")" "$(address 1):2377" >/dev/null ||
            fail "join of host $i"
    done
}

# An image: a shell and a web server of busybox, and curl.
make_image() {
    local root=$WORK/root applet
    mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,run}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in sh sleep echo httpd wget ping nslookup ip cat hostname mkdir seq sed head; do
        ln -sf busybox "$root/bin/$applet"
    done
    # Static programs cannot resolve names through glibc: curl, with its libraries, can.
    cp "$(command -v curl)" "$root/bin/curl"
    ldd "$(command -v curl)" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp "$library" "$root$library"
    done
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    tar -C "$root" -cf "$WORK/image.tar" .
}

processes_below() { # pids whose command line names our work directory
    grep -lsa -- "$WORK/" /proc/[0-9]*/cmdline 2>/dev/null | sed 's|/proc/\([0-9]*\)/.*|\1|' | grep -vx "$$" || true
}

cluster_down() {
    local pid i ns
    [ -z "${KEEP:-}" ] || return 0
    set +e
    for i in $(seq 1 "$HOSTS"); do
        [ -s "$WORK/$i/pid" ] && kill "$(cat "$WORK/$i/pid")" 2>/dev/null
    done
    for i in $(seq 1 "$HOSTS"); do
        [ -s "$WORK/$i/pid" ] && within 5 sh -c "! kill -0 $(cat "$WORK/$i/pid")" || kill -9 "$(cat "$WORK/$i/pid")" 2>/dev/null
    done
    for pid in $(processes_below); do # conmon and what it watches
        pkill_tree "$pid"
    done
    for i in $(seq 1 "$HOSTS"); do
        [ -s "$WORK/$i/holder.pid" ] && kill -9 "$(cat "$WORK/$i/holder.pid")" "$(cat "$WORK/$i/mounts.pid")" 2>/dev/null
    done
    for ns in $(ip netns list | awk '{print $1}' | grep "^$CLUSTER-"); do ip netns del "$ns"; done
    for i in $(grep -s " $WORK/" /proc/mounts | awk '{print $2}' | sort -r); do umount -l "$i"; done
    rm -rf "$WORK" 2>/dev/null
    wait 2>/dev/null
    return 0
}

pkill_tree() { # a process of ours and its children, by pid
    local child
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do pkill_tree "$child"; done
    kill -9 "$1" 2>/dev/null
}
