# shellcheck shell=bash
# Virtual machines on a switch of their own: a network namespace that leads nowhere else. Source it;
# then: vms_up; vm_start I [KERNEL ARGUMENT..]; vm I COMMAND; client COMMAND..; vm_cut I; vms_down.
#
# A machine's files are $WORK/I.*: its disk, its console, the pid of its qemu, and the two pipes that
# are its virtual serial port, on which it carries out commands (image.sh).

: "${IMAGE:?directory that image.sh filled}" "${WORK:?}"
SWITCH=shvm$$
MEMORY=${MEMORY:-768}

# A processor that does not show virtualisation, but a kernel that offers KVM: another hypervisor
# lends it, and few of them well enough for a stock kernel. Without KVM all takes SLOW times as long.
if [ -w /dev/kvm ] && grep -qE '^flags.* (vmx|svm) ' /proc/cpuinfo; then
    ACCELERATE=(-accel kvm -cpu host) SLOW=${SLOW:-1}
else
    ACCELERATE=(-accel "tcg,thread=multi" -cpu max) SLOW=${SLOW:-6}
fi

say() { printf '%s\n' "$*"; }
address() { echo "10.99.0.$1"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
client() { ip netns exec "$SWITCH" "$@"; }
ask() { client curl -sf -m 2 "http://$(address "$1"):${2:-8080}/"; }

# Waits until the command succeeds: within SECONDS COMMAND..
within() {
    local limit=$(($1 * SLOW)) start=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        [ $((SECONDS - start)) -lt "$limit" ] || return 1
        sleep 0.1
    done
}

vms_up() {
    ip netns add "$SWITCH"
    ip -n "$SWITCH" link add br0 type bridge
    ip -n "$SWITCH" addr add 10.99.0.254/24 dev br0
    ip -n "$SWITCH" link set br0 up
}

vm_start() { # I [KERNEL ARGUMENT..]
    local i=$1 kernel
    shift
    kernel="root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 systemd.hostname=h$i $*"
    [ -e "$WORK/$i.disk" ] || cp --sparse=always "$IMAGE/disk" "$WORK/$i.disk"
    rm -f "$WORK/$i.in" "$WORK/$i.out"
    mkfifo "$WORK/$i.in" "$WORK/$i.out"
    eval "exec $((20 + i))<>$WORK/$i.in $((30 + i))<>$WORK/$i.out"
    ip netns exec "$SWITCH" sh -c "ip link del t$i 2>/dev/null; ip tuntap add t$i mode tap && ip link set t$i master br0 up"
    # The host's page cache is the machine's disk: what was written is there after a power cut.
    setsid ip netns exec "$SWITCH" qemu-system-x86_64 -name "shoal-vm-$i" -nodefaults -no-user-config \
        -machine q35 "${ACCELERATE[@]}" -smp "${CPUS:-2}" -m "$MEMORY" -display none \
        -kernel "$IMAGE/vmlinuz" -initrd "$IMAGE/initrd" -append "$kernel" \
        -drive "file=$WORK/$i.disk,if=none,id=disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=disk \
        -netdev "tap,id=net,ifname=t$i,script=no,downscript=no" \
        -device "virtio-net-pci,netdev=net,mac=52:54:00:99:00:0$i" -device virtio-rng-pci \
        -serial "file:$WORK/$i.console" -chardev "pipe,id=shell,path=$WORK/$i" \
        -device virtio-serial-pci -device virtserialport,chardev=shell,name=shell \
        >"$WORK/$i.qemu" 2>&1 &
    echo $! >"$WORK/$i.pid"
    disown
}

# Runs a line of bash in a machine; prints what it prints, and ends with its status; 124 when there
# is no answer within LIMIT seconds.
vm() { # I COMMAND
    local i=$1 number=$RANDOM$RANDOM$RANDOM got status text
    printf '%s %s\n' "$number" "$(base64 -w 0 <<<"$2")" >&$((20 + i))
    while read -r -t $((${LIMIT:-60} * SLOW)) got status text <&$((30 + i)); do
        [ "$got" = "$number" ] || continue # of a question that nobody waits for any more
        [ -z "$text" ] || base64 -d <<<"$text"
        return "$status"
    done
    echo "machine $i does not answer: $2" >&2
    return 124
}

vm_is_up() { [ "$(LIMIT=2 vm "$1" 'systemctl is-active multi-user.target')" = active ]; }
vm_wait() { # I: until it has started
    within 60 vm_is_up "$1" && return
    tail -n 20 "$WORK/$1.qemu" "$WORK/$1.console" >&2
    return 1
}

vm_reboot() { # I: as its administrator does it; prints how long it took
    local i=$1 before started
    before=$(vm "$i" 'cat /proc/sys/kernel/random/boot_id') started=$(milliseconds)
    LIMIT=2 vm "$i" 'systemctl --no-block reboot' >/dev/null 2>&1 || true # it may be gone before it answers
    within 60 other_boot "$i" "$before" && vm_wait "$i" || return 1
    echo $(($(milliseconds) - started))
}
other_boot() { local now; now=$(LIMIT=2 vm "$1" 'cat /proc/sys/kernel/random/boot_id') && [ "$now" != "$2" ]; }

vm_cut() { # I: the power fails
    kill -9 "$(cat "$WORK/$1.pid")" 2>/dev/null || true
    within 5 vm_is_off "$1"
}
vm_is_off() { ! kill -0 "$(cat "$WORK/$1.pid")" 2>/dev/null; }

vms_off() {
    local pid
    for pid in "$WORK"/*.pid; do
        [ ! -s "$pid" ] || vm_cut "$(basename "$pid" .pid)"
    done
    rm -f "$WORK"/*.pid "$WORK"/*.disk
}

vms_down() {
    vms_off
    ip netns del "$SWITCH" 2>/dev/null || true
}

# --- Cases: each is a function whose first failing command fails it

PASSED=0 FAILED=0
complain() { printf 'FAILED: %s\n' "$*" >&2; return 1; }

case_of() { # WHAT FUNCTION [ARGUMENT..]
    local what=$1 status started
    [[ $what =~ ${CASES:-.} ]] || return 0
    shift
    started=$(milliseconds)
    ( set -eE; trap 'printf "at: %s\n" "$BASH_COMMAND" >&2' ERR; "$@" ) >"$WORK/case" 2>&1
    status=$?
    if [ $status = 0 ]; then
        PASSED=$((PASSED + 1))
        printf 'ok      %-64s %6d ms\n' "$what" $(($(milliseconds) - started))
        grep '^: ' "$WORK/case" || true # what a case has to tell
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED  %s\n' "$what"
        tail -n "${LINES_OF_FAILURE:-40}" "$WORK/case" | sed 's/^/        /'
    fi
    return $status
}
