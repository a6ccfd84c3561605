# shellcheck shell=bash
# A cluster on one machine: hosts are network namespaces on a bridge, each with a real daemon.
# Source it; then: need, cluster_up N, host I COMMAND.., shoal I ARGS..
#
# Whatever is made carries a process id in its name (namespaces $CLUSTER-*, cgroups /$GROUP, files
# below $WORK), so clusters can run side by side. The script runs under a guard, which is at the end
# of this file: it takes everything away when the script ends, also after a failure or Ctrl-C, unless
# KEEP is set. What a guard could not take away because it was killed itself, the next script does.

: "${SHOAL_BUILD:?build directory}"
SHOAL=$SHOAL_BUILD/shoal

say() { printf '%s\n' "$*"; }
skip() { say "skipped: $*"; exit 77; }
fail() {
    local log
    printf 'FAILED: %s\n' "$*" >&2
    for log in "$WORK"/*/log; do
        [ -s "$log" ] || continue
        printf -- '--- %s\n' "$log" >&2
        tail -n 15 "$log" >&2
    done
    exit 1
}

need() { # [PROGRAM..]
    local tool
    [ -x "$SHOAL" ] || skip "this build has no $SHOAL"
    [ "$(id -u)" = 0 ] || skip "needs root"
    ip netns add "$CLUSTER-try" 2>/dev/null || skip "network namespaces cannot be made here"
    ip netns del "$CLUSTER-try"
    for tool in crun conmon nft busybox curl "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

host() { local i=$1; shift; ip netns exec "$CLUSTER-$i" "$@"; }
shoal() { local i=$1; shift; "$SHOAL" --socket "$WORK/$i/run/shoal.sock" "$@"; }
address() { echo "10.99.0.$1"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
ask() { ip netns exec "$CLUSTER-client" curl -sf -m 2 "http://$(address "$1"):${2:-8080}/"; }

# Waits until the command succeeds: within SECONDS COMMAND..
within() {
    local limit=$1 start=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        [ $((SECONDS - start)) -lt "$limit" ] || return 1
        sleep 0.05
    done
}

# --- Questions about the cluster, asked of manager $1

# rows MANAGER SERVICE: "task node" of every task that should run and does
rows() {
    shoal "$1" service ps "$2" --format json | jq -r \
        'select(.DESIRED == "running" and (.STATE | startswith("running"))) | .ID + " " + .NODE'
}
running() { [ "$(rows "$1" "$2" | wc -l)" -eq "$3" ]; }                      # MANAGER SERVICE COUNT
running_off() { [ "$(rows "$1" "$2" | grep -vcw "h$4")" -eq "$3" ]; }        # .. not on HOST
node_is() { shoal "$1" node ls --format json | grep "\"HOSTNAME\":\"h$2\"" | grep -q "\"$3\""; }
leads() { node_is "$1" "$2" leader; }                                       # MANAGER HOST
leader() { # the host that leads, as MANAGER sees it
    shoal "$1" node ls --format json | jq -r 'select(.["MANAGER STATUS"] == "leader") | .HOSTNAME[1:]'
}
# containers HOST: "id pid" of every container that lives there: the same as long as nobody touched it
containers() {
    local dir pid
    group_dirs "/$GROUP/h$1/*" | while read -r dir; do
        # The oldest, not the lowest: numbers begin again at the end of their range.
        pid=$(sed 's|.*|/proc/&/stat|' "$dir/cgroup.procs" 2>/dev/null | xargs -r cat 2>/dev/null |
            awk '{ pid = $1; sub(/.*\) /, ""); print $20, pid }' | sort -n | head -n 1 | cut -d ' ' -f 2)
        [ -z "$pid" ] || echo "${dir##*/} $pid"
    done | sort -u
}

# --- Load: a command again and again; what it answered is counted.

load_start() { # NAME COMMAND..
    local name=$1
    shift
    (
        good=0 bad=0
        while [ -d "$WORK" ] && [ ! -e "$WORK/$name.stop" ]; do
            if "$@" >/dev/null 2>&1; then good=$((good + 1)); else bad=$((bad + 1)); fi
            sleep "${LOAD_PAUSE:-0.02}"
        done
        echo "$good $bad" >"$WORK/$name.load"
    ) &
}

load_stop() { # NAME: prints "GOOD BAD"
    : >"$WORK/$1.stop"
    within 10 test -s "$WORK/$1.load" || fail "the load '$1' does not end"
    cat "$WORK/$1.load"
}

# --- Hosts

switch_up() {
    ip netns add "$CLUSTER-sw"
    ip -n "$CLUSTER-sw" link add br0 type bridge
    ip -n "$CLUSTER-sw" link set br0 up
}

wire() { # NAME ADDRESS: a namespace on the switch
    ip netns add "$CLUSTER-$1"
    ip -n "$CLUSTER-sw" link add "p$1" type veth peer name eth0 netns "$CLUSTER-$1"
    ip -n "$CLUSTER-sw" link set "p$1" master br0 up
    ip -n "$CLUSTER-$1" addr add "$2/24" dev eth0
    ip -n "$CLUSTER-$1" link set lo up
    ip -n "$CLUSTER-$1" link set eth0 up
    ip -n "$CLUSTER-$1" route add default via 10.99.0.254
}

# A mount namespace of its own, which a host keeps over restarts of its daemon, as a machine would.
host_start() {
    mkdir -p "$WORK/$1/state" "$WORK/$1/run"
    setsid nsenter --net="/run/netns/$CLUSTER-$1" unshare -m -u --propagation private \
        sh -c "hostname h$1; echo \$\$ >'$WORK/$1/mounts.pid'; exec sleep infinity" &
    disown
    within 5 test -s "$WORK/$1/mounts.pid" || fail "host $1"
}

daemon_start() {
    [ -s "$WORK/$1/mounts.pid" ] || host_start "$1"
    setsid nsenter -t "$(cat "$WORK/$1/mounts.pid")" -m -u -n \
        "$SHOAL" daemon --state-dir "$WORK/$1/state" --run-dir "$WORK/$1/run" \
        --cgroup-parent "/$GROUP/h$1" >>"$WORK/$1/log" 2>&1 &
    echo $! >"$WORK/$1/pid"
    disown
    within 10 shoal "$1" version || fail "the daemon of host $1 does not answer"
}

daemon_kill() { kill -9 "$(cat "$WORK/$1/pid")" 2>/dev/null || true; }

# Everything of a host ends, as when its power fails.
host_kill() {
    ip -n "$CLUSTER-$1" link set eth0 down
    daemon_kill "$1"
    group_kill "/$GROUP/h$1"
}

cluster_up() { # COUNT
    local i
    sweep
    HOSTS=$1
    echo "$GUARD $CLUSTER $HOSTS" >"$WORK/owner"
    switch_up
    for i in $(seq 1 "$HOSTS"); do
        wire "$i" "$(address "$i")"
        daemon_start "$i"
    done
    wire client 10.99.0.100
}

cluster_join() { # [MANAGERS]: all hosts, the first so many (3) as managers
    local i managers=${1:-3} role
    shoal 1 init --advertise-addr "$(address 1)" >/dev/null || fail "init"
    for i in $(seq 2 "$HOSTS"); do
        role=$([ "$i" -le "$managers" ] && echo manager || echo worker)
        shoal "$i" join --token "$(shoal 1 token "$role" -q)" --advertise-addr "$(address "$i")" \
            "$(address 1):2377" >/dev/null || fail "join of host $i"
    done
    for i in $(seq 1 "$HOSTS"); do
        within 10 node_is 1 "$i" ready || { shoal 1 node ls; fail "host $i is not ready"; }
    done
}

# An image: a shell and a web server of busybox, curl, and further programs.
make_image() { # [PROGRAM..]
    local root=$WORK/root applet program
    mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,run}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in sh sleep echo httpd wget ping nslookup ip cat hostname mkdir seq sed head; do
        ln -sf busybox "$root/bin/$applet"
    done
    # Static programs cannot resolve names through glibc: curl, with its libraries, can.
    for program in curl "$@"; do
        cp -L "$(command -v "$program")" "$root/bin/$program"
        ldd "$(command -v "$program")" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp "$library" "$root$library"
        done
    done
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    tar -C "$root" -cf "$WORK/image.tar" .
}

# A web server as a service's command: says TEXT and the container's name.
web_server() { # TEXT
    echo "mkdir -p /www; echo \"$1 \$(hostname)\" >/www/index.html; exec httpd -f -v -p 80 -h /www"
}

# --- The end

group_dirs() { find /sys/fs/cgroup -maxdepth 4 -type d -path "*$1" 2>/dev/null; }
group_pids() { group_dirs "$1" | while read -r dir; do find "$dir" -name cgroup.procs -exec cat {} +; done | sort -un; }
group_kill() { local pid; for pid in $(group_pids "$1"); do kill -9 "$pid" 2>/dev/null || true; done; }
group_gone() {
    local dir
    group_kill "$1"
    for dir in $(group_dirs "$1"); do find "$dir" -depth -type d -exec rmdir {} +; done
    [ -z "$(group_dirs "$1")" ]
}

processes_below() { # pids whose command line names our work directory
    grep -lsa -- "$WORK/" /proc/[0-9]*/cmdline 2>/dev/null | sed 's|/proc/\([0-9]*\)/.*|\1|' | grep -vx "$$" || true
}

tree_kill() { # a process and its children, by pid
    local child
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do tree_kill "$child"; done
    kill -9 "$1" 2>/dev/null
}

ended() { ! kill -0 "$1" 2>/dev/null; }

cluster_down() {
    local pid i ns
    for pid in $(processes_below); do # daemons; conmon and what it watches
        tree_kill "$pid"
    done
    within 5 group_gone "/$GROUP"
    for i in $(seq 1 "$HOSTS"); do
        [ -s "$WORK/$i/mounts.pid" ] && kill -9 "$(cat "$WORK/$i/mounts.pid")" 2>/dev/null
    done
    for ns in $(ip netns list 2>/dev/null | awk '{print $1}' | grep "^$CLUSTER-"); do ip netns del "$ns"; done
    for i in $(grep -s " $WORK/" /proc/mounts | awk '{print $2}' | sort -r); do umount -l "$i"; done
    rm -rf "$WORK" 2>/dev/null
}

# Clusters whose guard is gone and did not mean to leave them; with an argument, the kept ones too.
sweep() {
    local owner pid
    for owner in /tmp/shoal-e2e.*/owner; do
        [ -s "$owner" ] || continue
        (
            set +e
            read -r pid CLUSTER HOSTS <"$owner"
            WORK=${owner%/owner} GROUP=shoal-$CLUSTER
            if [ -e "$WORK/kept" ]; then [ -n "${1:-}" ]; else ended "$pid"; fi && cluster_down
            true
        )
    done
}

# --- The guard: runs the script again as a child in a process group of its own. A terminal's Ctrl-C
# reaches the guard alone, whose `wait` notices it at once; a shell that waits for a program may not.

interrupted() {
    INTERRUPTED=1
    kill -KILL -- "-$CHILD" 2>/dev/null
}

guard() { # ARGUMENTS OF THE SCRIPT..
    local status=0
    INTERRUPTED='' CHILD=
    export GUARD=$$ CLUSTER=sh$$ GROUP=shoal-sh$$ WORK
    WORK=$(mktemp -d /tmp/shoal-e2e.XXXXXX)
    set +e -m
    bash "$PWD/$(basename "$0")" "$@" &
    CHILD=$!
    trap interrupted INT TERM HUP
    set +m
    wait "$CHILD"
    status=$?
    trap '' INT TERM HUP
    kill -KILL -- "-$CHILD" 2>/dev/null # what it left in the background
    [ -z "$INTERRUPTED" ] || status=130
    HOSTS=0
    [ ! -s "$WORK/owner" ] || read -r _ _ HOSTS <"$WORK/owner"
    if [ -n "${KEEP:-}" ] && [ -z "$INTERRUPTED" ] && [ "$HOSTS" -gt 0 ]; then
        : >"$WORK/kept"
    else
        cluster_down
    fi
    exit $status
}

[ "${GUARD:-}" = "$PPID" ] || guard "$@"
