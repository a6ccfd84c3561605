#!/bin/bash
# Three and eight hosts: every container reaches every other, over IPv4, IPv6, and over an underlay
# of either family.
. "${SHOAL_SOURCE:?}/tests/e2e/lib_overlay.sh"

mesh() { # HOST..
    lab_up "$@"
    for h in "$@"; do
        node_start "$h" lanes=1
        say "$h" net back 4096 10.0.9.0/24 fd00:9::/64 >/dev/null
    done
    all_know
    n=10
    for h in "$@"; do
        n=$((n + 1))
        box "$h" "c$h" back 10.0.9.$n fd00:9::$n
    done
    for h in "$@"; do
        for p in "$@"; do [ "$h" = "$p" ] || wait_for "$h to $p" is_up "$h" "$p"; done
    done
    for h in "$@"; do
        n=10
        for _ in "$@"; do
            n=$((n + 1))
            in_box "$h" "c$h" ping -q -c 1 -W 1 10.0.9.$n >/dev/null || fail "$h to 10.0.9.$n"
            in_box "$h" "c$h" ping -q -c 1 -W 1 fd00:9::$n >/dev/null || fail "$h to fd00:9::$n"
        done
    done
}

case ${1:-} in
three) UNDERLAY=fd99:: mesh h1 h2 h3 ;;
eight) mesh h1 h2 h3 h4 h5 h6 h7 h8 ;;
*)
    "$BASH" "$0" three
    "$BASH" "$0" eight
    ;;
esac
echo "ok"
