#!/usr/bin/env bash
# cppcheck over every library, incremental: unchanged files are not analysed again.
. "$(dirname "$0")/lib.sh"
mkdir -p "$SHOAL_BUILD/cppcheck"
sources '*.c' | grep -vE '^tests/|\.bpf\.c$' >"$work/files"
cppcheck --cppcheck-build-dir="$SHOAL_BUILD/cppcheck" -j "$(nproc)" --quiet --std=c11 \
    --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
    --suppressions-list="$(dirname "${BASH_SOURCE[0]}")/cppcheck-suppressions.txt" \
    --library=posix -D__GNUC__=12 -D__x86_64__ -D_GNU_SOURCE -I. --max-configs=1 \
    --template='{file}:{line}: {severity}: {message} [{id}]' \
    --file-list="$work/files" 2>"$work/bad" || true
verdict "$work/bad" "cppcheck finding"
echo "$(wc -l <"$work/files") files"
