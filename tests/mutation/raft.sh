#!/bin/bash
# raft.sh - Puts known bugs back into raft/, one at a time, and demands that a test notices.
#
#     tests/mutation/raft.sh [id ..]      all of tests/mutation/raft.txt, or these
#
# For each: copy the sources, edit, compile, then run unit tests, scenarios and, while nothing has
# failed, seeds of the simulator. Prints a table; exit code 1 if any bug went unnoticed.
# SEEDS and SECONDS_MAX bound the simulator's share per bug.
set -eu
cd "$(dirname "$0")/../.."
source=$PWD
seeds=${SEEDS:-4000}
seconds=${SECONDS_MAX:-40}
work=$(mktemp -d "${TMPDIR:-/tmp}/shoal-mutation.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
cc="${CC:-cc} -std=c17 -D_GNU_SOURCE -DSHOAL_DCHECK=1 -O1 -fno-strict-aliasing -w"
command -v ccache >/dev/null && cc="ccache $cc"
units="conf log node progress quorum session"

base_files="check err heap prng buf hash"
mkdir -p "$work/tree" "$work/o"
cp -r base raft chaos tests "$work/tree/"
cd "$work/tree"
rm -f chaos/sim/gossip* chaos/sim/control* chaos/sim/cluster*
sim_files=$(ls chaos/sim/{clock,net,disk,process,trace,linear,raft_*,program,main}.c)

compile() { # sources -> $work/o/*.o
    for f in "$@"; do
        $cc -I. -c "$f" -o "$work/o/$(echo "$f" | tr / _).o" || return 1
    done
}
link_all() {
    local core
    core=$(for f in raft/*.c; do echo "$work/o/$(echo "$f" | tr / _).o"; done
        for b in $base_files; do echo "$work/o/base_$b.c.o"; done)
    # shellcheck disable=SC2046,SC2086
    $cc -o "$work/sim" $(for f in $sim_files; do echo "$work/o/$(echo "$f" | tr / _).o"; done) $core -lsodium
    # shellcheck disable=SC2086
    $cc -o "$work/scenario" "$work"/o/tests_scenario_raft_*.o $core -lsodium
    for u in $units; do
        # shellcheck disable=SC2086
        $cc -o "$work/unit_$u" "$work/o/tests_unit_raft_test_$u.c.o" $core -lcmocka -lsodium
    done
}

# What notices: prints it, returns 1 if nothing does.
hunt() { # simulator arguments
    local t out
    for u in $units; do
        timeout 60 "$work/unit_$u" >/dev/null 2>&1 || { echo "unit: $u"; return 0; }
    done
    for t in tests/scenario/raft/*.txt; do
        timeout 20 "$work/scenario" "$t" >/dev/null 2>&1 || { echo "scenario: $(basename "$t" .txt)"; return 0; }
    done
    # shellcheck disable=SC2086
    out=$(timeout $((seconds + 60)) "$work/sim" --once --seed 1 --count "$seeds" --seconds "$seconds" $1 2>&1) && return 1
    echo "$out" | grep -E 'FAILED|check failed|CHECK' | head -1 | sed 's/^/simulator: /' | cut -c1-110
    [ -n "$out" ] || echo "simulator: crash"
}

table=$source/tests/mutation/raft.txt
# shellcheck disable=SC2046
compile $(for b in $base_files; do echo "base/$b.c"; done) raft/*.c $sim_files tests/scenario/raft/*.c \
    $(for u in $units; do echo "tests/unit/raft/test_$u.c"; done)
link_all
if hunt "" >"$work/clean"; then
    echo "the unchanged sources fail already: $(cat "$work/clean")" >&2
    exit 1
fi

missed=0 total=0
one() { # id file args edits meaning
    local id=$1 file=$2 args=$3 edits=$4 meaning=$5 line target edit found
    total=$((total + 1))
    while IFS= read -r line; do
        case $line in
        '+ '*) target=$(echo "$line" | cut -d' ' -f2); edit=$(echo "$line" | cut -d' ' -f3-) ;;
        *) target=$file; edit=$line ;;
        esac
        cp "$target" "$work/before"
        sed -i "$edit" "$target"
        if cmp -s "$work/before" "$target"; then
            echo "bug $id: the edit of $target changes nothing: $edit" >&2
            missed=$((missed + 1))
            cp "$source/$target" "$target"
            return
        fi
    done <<<"$edits"
    case $file in *.h) compile raft/*.c $sim_files tests/scenario/raft/*.c ;; *) compile raft/*.c ;; esac
    link_all
    if found=$(hunt "$args"); then
        printf '%-4s %-72s %s\n' "$id" "$meaning" "$found"
    else
        printf '%-4s %-72s %s\n' "$id" "$meaning" "NOT NOTICED"
        missed=$((missed + 1))
    fi
    cp "$source"/raft/*.[ch] raft/
    case $file in *.h) compile $sim_files tests/scenario/raft/*.c ;; esac
}

id='' file='' args='' lines=''
flush() {
    [ -n "$id" ] || return 0
    if [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $id "* ]]; then
        one "$id" "$file" "$args" "$(echo "$lines" | sed '$d')" "$(echo "$lines" | tail -1)"
    fi
    id='' lines=''
}
wanted=("$@")
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
    '## '*)
        flush
        read -r _ id file args <<<"$line"
        ;;
    '#'* | '') ;;
    *) lines="${lines:+$lines
}$line" ;;
    esac
done <"$table"
flush
echo "$((total - missed)) of $total bugs noticed"
[ "$missed" = 0 ]
