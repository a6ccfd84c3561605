#!/usr/bin/env bash
# Formatting is clang-format's business: `clang-format -i FILE` settles it.
. "$(dirname "$0")/lib.sh"
sources '*.c' '*.h' >"$work/files"
xargs -d '\n' -P "$(nproc)" -n 20 clang-format --dry-run -Werror <"$work/files" 2>"$work/out" || true
grep 'error:' "$work/out" | sed 's/ \[-Wclang-format-violations\]//' >"$work/bad" || true
[ -s "$work/bad" ] || [ ! -s "$work/out" ] || cp "$work/out" "$work/bad"
verdict "$work/bad" "formatting differs: clang-format -i the file"
echo "$(wc -l <"$work/files") files are formatted"
