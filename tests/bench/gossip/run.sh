#!/bin/sh
# ./dev bench gossip [--peers] [OPTION..] [TABLE..]: figures in the simulator; with --peers those of 60
# real nodes on loopback beside Debian's serf.
set -eu
peers=
args=
for a in "$@"; do
    case $a in
    --peers) peers=1 ;;
    *) args="$args $a" ;;
    esac
done
if [ -n "$peers" ]; then
    exec python3 "$SHOAL_SOURCE/tests/bench/gossip/peers.py" "${NODES:-60}" \
        "$SHOAL_BUILD/bench_node_cluster_gossip_node"
fi
# shellcheck disable=SC2086
exec "$SHOAL_BUILD/bench_gossip_sim" $args
