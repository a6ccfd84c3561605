#!/bin/bash
# cluster.sh - Puts bugs into managers and agents, one at a time, and demands that sim_cluster notices.
#
#     tests/mutation/cluster.sh [id ..]      all of tests/mutation/cluster.txt, or these
#
# Uses the libraries of a build (BUILD, build/dev) that is up to date: of each bug only its file is
# compiled, and linked before the library that has the sound one. Prints a table; exit code 1 if any
# bug went unnoticed. SEEDS and SECONDS_MAX bound the share of each.
set -eu
cd "$(dirname "$0")/../.."
source=$PWD
build=$(realpath "${BUILD:-build/dev}")
seeds=${SEEDS:-200}
seconds=${SECONDS_MAX:-90}
work=$(mktemp -d "${TMPDIR:-/tmp}/shoal-mutation.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
read -ra cc <<<"${CC:-cc} -std=c17 -D_GNU_SOURCE -DSHOAL_DCHECK=1 -Og -g -fno-strict-aliasing -w"

link=$(ninja -C "$build" -t commands sim_cluster | tail -1)
link=${link#*&& }
link=${link%% && :*}

missed=0 total=0
one() { # id file edit meaning
    local id=$1 file=$2 edit=$3 meaning=$4 found
    total=$((total + 1))
    mkdir -p "$work/$(dirname "$file")"
    sed "$edit" "$file" >"$work/$file"
    if cmp -s "$file" "$work/$file"; then
        echo "bug $id: the edit of $file changes nothing: $edit" >&2
        missed=$((missed + 1))
        return
    fi
    "${cc[@]}" -I"$source" -c "$work/$file" -o "$work/bug.o"
    (cd "$build" && eval "${link/ -o sim_cluster / $work/bug.o -o $work/sim_cluster }")
    if found=$("$work/sim_cluster" --once --seed 1 --count "$seeds" --seconds "$seconds" 2>&1); then
        found="NOT NOTICED"
        missed=$((missed + 1))
    else
        found=$(grep -E 'FAILED|check failed' <<<"$found" | head -1 | cut -c1-120)
    fi
    printf '%-3s %-66s %s\n' "$id" "$meaning" "${found:-crash}"
}

wanted=" $* "
while IFS= read -r line; do
    case $line in
    '## '*)
        read -r _ id file <<<"$line"
        IFS= read -r edit
        IFS= read -r meaning
        if [ $# -eq 0 ] || [[ $wanted == *" $id "* ]]; then
            one "$id" "$file" "$edit" "$meaning"
        fi
        ;;
    esac
done <tests/mutation/cluster.txt
echo "$((total - missed)) of $total bugs noticed"
[ "$missed" = 0 ]
