#!/usr/bin/env bash
# Shell scripts are programs too. Left out: files that are sourced and what they assign (set -u
# finds a variable that nobody set).
. "$(dirname "$0")/lib.sh"
{ sources '*.sh'; grep -lE '^#!.*\b(ba)?sh\b' dev .ci/run 2>/dev/null || true; } >"$work/files"
xargs -d '\n' shellcheck -x -S warning -e SC1091,SC2154 -f gcc <"$work/files" >"$work/bad" || true
verdict "$work/bad" "shellcheck warning"
echo "$(wc -l <"$work/files") scripts are clean"
