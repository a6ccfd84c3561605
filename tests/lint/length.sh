#!/usr/bin/env bash
# One noun per file. Over 600 lines is reported, over 1000 is an error: split it.
. "$(dirname "$0")/lib.sh"
sources '*.c' '*.h' '*.sh' dev | xargs -d '\n' wc -l | awk '$2 != "total"' | sort -rn >"$work/lengths"
awk '$1 > 600 && $1 <= 1000 { print "long: " $2 ": " $1 " lines" }' "$work/lengths"
awk '$1 > 1000 { print $2 ": " $1 " lines; the limit is 1000" }' "$work/lengths" >"$work/bad"
verdict "$work/bad" "a file that is too long"
