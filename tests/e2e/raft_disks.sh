#!/bin/bash
# A Raft member whose disk hangs hands leadership over; one whose disk is full refuses writes, stays
# up, and takes them again when there is room. Real members (tests/bench/node_cluster) on file
# systems of their own.
set -eu
bench=${SHOAL_BUILD:?}/bench_node_cluster_raft
port=$((10000 + $$ % 10000))
work=''
pids=''

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || skip "needs root: mounts"
[ -x "$bench" ] || skip "$bench is not built"
for tool in mkfs.ext4 fsfreeze losetup; do command -v $tool >/dev/null || skip "needs $tool"; done

cleanup() {
    set +e
    [ -n "$work" ] || return
    mountpoint -q "$work/disk" && fsfreeze -u "$work/disk" 2>/dev/null
    for p in $pids; do kill -9 "$p" 2>/dev/null; done
    wait 2>/dev/null
    mountpoint -q "$work/disk" && umount "$work/disk"
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mount_disk() { # mount_disk MEGABYTES
    truncate -s "$1M" "$work/image"
    mkfs.ext4 -q -F -m 0 "$work/image"
    mkdir -p "$work/disk"
    mount -o loop "$work/image" "$work/disk" || skip "cannot mount an image"
}

member() { # member ID DIR
    "${bench}_member" "$1" "$port" "$2" &
    pids="$pids $!"
}

ask() { "$bench" --port "$port" --ask "$1" "$2" 2>/dev/null; }

until_answer() { # until_answer SECONDS ID OP ANSWER
    for _ in $(seq $(($1 * 20))); do
        [ "$(ask "$2" "$3")" = "$4" ] && return 0
        sleep 0.05
    done
    return 1
}

work=$(mktemp -d -p "$SHOAL_BUILD")
mount_disk 200
member 1 "$work/disk/1"
until_answer 10 1 L 1 || fail "a single member does not lead"
for id in 2 3; do
    member $id "$work/$id"
    for _ in $(seq 200); do
        [ "$(ask 1 V$id)" = 1 ] && break
        ask 1 A$id >/dev/null || true
        sleep 0.05
    done
    [ "$(ask 1 V$id)" = 1 ] || fail "member $id does not become a voter"
done
ask 1 P >/dev/null || fail "the leader takes no write"

fsfreeze -f "$work/disk"
ask 1 P >/dev/null && fail "a write was acknowledged that is on no disk of the leader's"
for _ in $(seq 200); do
    { ask 2 P || ask 3 P; } >/dev/null && break
    sleep 0.05
done
{ ask 2 P || ask 3 P; } >/dev/null || fail "nobody took over from the leader whose disk hangs"
fsfreeze -u "$work/disk"
echo "a hanging disk: ok"

for p in $pids; do kill -9 "$p"; done
wait 2>/dev/null || true
pids=''
umount "$work/disk"
port=$((port + 10))

mount_disk 100
member 1 "$work/disk/1"
until_answer 10 1 L 1 || fail "a single member does not lead"
sleep 1 # its spare segments are made
dd if=/dev/zero of="$work/disk/filler" bs=1M status=none 2>/dev/null || true
refused=''
for _ in $(seq 20); do
    "$bench" --port "$port" --load 64 --seconds 1 >"$work/load" || fail "the member is gone"
    grep -q 'errors 0$' "$work/load" || { refused=1; break; }
done
[ -n "$refused" ] || fail "a full disk refused nothing"
[ "$(ask 1 P)" = -20004 ] || fail "refused with another error than ERR_FULL"
[ "$(ask 1 L)" = 1 ] || fail "the member with the full disk does not lead any more"
rm "$work/disk/filler"
for _ in $(seq 100); do
    ask 1 P >/dev/null && break
    sleep 0.1
done
ask 1 P >/dev/null || fail "there is room again, and still writes are refused"
echo "a full disk: ok"
