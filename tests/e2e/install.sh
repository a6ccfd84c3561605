#!/usr/bin/env bash
# What `./dev install` lays down: a program that runs, manual pages that know every option of the
# daemon and none besides, and units that name the installed program.
set -euo pipefail
: "${SHOAL_BUILD:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

options_of() { # every --word of the text on standard input
    grep -oE -- '--[a-z][a-z-]*' | sort -u
}

cmake --install "$SHOAL_BUILD" --prefix "$work/usr" >"$work/log" || fail "$(cat "$work/log")"

"$work/usr/bin/shoal" daemon --help | options_of >"$work/said"
echo "--help" >>"$work/said"
sort -uo "$work/said" "$work/said"
sed 's/\\-/-/g' "$work/usr/share/man/man8/shoal-daemon.8" | options_of >"$work/documented"
diff "$work/said" "$work/documented" || fail "shoal-daemon(8) and shoal daemon --help differ"

page=$work/usr/share/man/man1/shoal.1
"$work/usr/bin/shoal" help | awk '/^  [a-z]/ { print }' | sed -E 's/^  (.*[^ ])  +.*/\1/' |
    sed -E 's/  +.*//' | grep -v '^daemon$' >"$work/commands"
[ "$(wc -l <"$work/commands")" -gt 30 ] || fail "shoal help lists too few commands"
while read -r command; do
    grep -qxF ".SS shoal \\&${command//-/\\-}" "$page" || fail "shoal(1) does not know '$command'"
done <"$work/commands"

program=$(sed -n 's/^ExecStart=\([^ ]*\) daemon$/\1/p' "$work/usr/lib/systemd/system/shoal.service")
[ "$program" = "$work/usr/bin/shoal" ] || fail "the unit starts '$program'"
program=$(sed -n 's/^ExecStop=\([^ ]*\) daemon --shut-down$/\1/p' "$work/usr/lib/systemd/system/shoal-containers.service")
[ "$program" = "$work/usr/bin/shoal" ] || fail "the unit of containers stops them by '$program'"
