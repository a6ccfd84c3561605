#!/usr/bin/env bash
# ./dev vm [v2|v1|hybrid|cluster]..: Shoal on stock Debian 12 with its own kernel and systemd, in
# virtual machines; all parts unless some are named. MEMORY (768) MB for each; KERNEL is another
# package of the kernel than linux-image-cloud-amd64; KEEP=1 keeps consoles and disks; SLOW=20 waits
# so many times as long as a quick machine needs (1 with KVM, else 6), for one that is busy besides;
# CASES is a pattern of the cases to run, with those that they need.
# Ends with "N passed, N failed".
set -u
cd "$(dirname "$0")" || exit 1
: "${SHOAL_BUILD:?}" "${IMAGE:?directory of the image}"
WORK=$(mktemp -d /tmp/shoal-vm.XXXXXX)
. ./lib_vm.sh
. ./machine.sh
. ./cluster.sh

for part in "$@"; do
    case $part in
    v2 | v1 | hybrid | cluster) ;;
    *) echo "usage: ./dev vm [v2|v1|hybrid|cluster].." >&2; exit 2 ;;
    esac
done
[ $# -gt 0 ] || set -- v2 v1 hybrid cluster

end() {
    trap '' INT TERM HUP EXIT
    vms_down
    [ -n "${KEEP:-}" ] && say "kept: $WORK" || rm -rf "$WORK"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

flock "$IMAGE.lock" bash ./image.sh "$IMAGE" || exit 1
vms_up
for part in "$@"; do
    case $part in
    v2) machine v2 ;;
    v1) machine v1 systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1 ;;
    hybrid) machine hybrid systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0 ;;
    cluster) cluster ;;
    esac
done
printf '%d passed, %d failed\n' $PASSED $FAILED
[ $FAILED = 0 ]
