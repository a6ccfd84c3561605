#!/bin/sh
# Runs one libFuzzer target on its corpus for a while: run.sh TARGET CORPUS. New finds stay out of
# the tree; a crash is written beside the build and named in the output.
# Its exit code is 1: libFuzzer's own, 77, means to ctest that the test was skipped.
set -eu
target=$1 corpus=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -d "$corpus" ] || corpus=
"$target" -max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -error_exitcode=1 -artifact_prefix="$(dirname "$target")/crash-$(basename "$target")-" "$work" ${corpus:+"$corpus"}
