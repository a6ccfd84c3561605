# Shared by the checks in this folder. Each check is run with
#   SHOAL_SOURCE   the tree to judge
#   SHOAL_BUILD    its build directory: objects, include-table.txt, compile_commands.json
# prints what breaks the rule as file:line: text, and exits 1 if anything did.
# shellcheck shell=bash
set -euo pipefail
: "${SHOAL_SOURCE:?}" "${SHOAL_BUILD:?}"
cd "$SHOAL_SOURCE"
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# sources PATTERN..: files of the tree with one of these names, sorted, without build output.
sources() {
    local args=()
    for pattern in "$@"; do args+=(-o -name "$pattern"); done
    find . \( -name build -o -name .git \) -prune -o -type f \( "${args[@]:1}" \) -print | sed 's|^\./||' | sort
}

# verdict FILE WHAT: fails with the lines of FILE if it has any.
verdict() {
    if [ -s "$1" ]; then
        cat "$1"
        echo "$(wc -l <"$1") x $2" >&2
        exit 1
    fi
}
