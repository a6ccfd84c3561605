#!/usr/bin/env bash
# What pure code may call. Every undefined symbol of a pure object must be defined by another pure
# object of ours or be listed in pure-symbols.txt. So no clock, no randomness, no file, no thread
# gets into a state machine, however it is spelled.
. "$(dirname "$0")/lib.sh"
allowed=$(dirname "${BASH_SOURCE[0]}")/pure-symbols.txt
case $allowed in /*) ;; *) allowed=$OLDPWD/$allowed ;; esac

# Objects of pure files, as "object source".
while IFS='|' read -r name dir _ pure; do
    [ -n "$pure" ] || continue
    objects=$SHOAL_BUILD/CMakeFiles/shoal_$name.dir/$dir
    if [ "$pure" = "*" ]; then
        for source in "$dir"/*.c; do
            [ ! -e "$source" ] || echo "$objects/$(basename "$source").o $source"
        done
    else
        for file in ${pure//,/ }; do
            [ ! -e "$dir/$file" ] || echo "$objects/$file.o $dir/$file"
        done
    fi
done <"$SHOAL_BUILD/include-table.txt" >"$work/objects"
[ -s "$work/objects" ] || { echo "no pure objects in include-table.txt" >&2; exit 1; }

while read -r object source; do
    [ -f "$object" ] || { echo "$source: not built: $object" >&2; exit 1; }
    nm --defined-only -g "$object" | awk '{ print $3 }' >>"$work/own"
    nm -u "$object" | awk -v s="$source" '{ print s, $2 }' >>"$work/undefined"
done <"$work/objects"

awk '
FILENAME == ARGV[1] { sub(/#.*/, ""); if (NF == 1) ok[$1] = 1; else if (NF == 2) ok[$1 " " $2] = 1; next }
FILENAME == ARGV[2] { ok[$1] = 1; next }
!($2 in ok) && !($1 " " $2 in ok) && !match_prefix($2) { print $1 ": calls " $2 ", which pure code may not (tests/lint/pure-symbols.txt)" }
function match_prefix(name,    p) {
    for (p in ok)
        if (p ~ /\*$/ && index(name, substr(p, 1, length(p) - 1)) == 1) return 1
    return 0
}' "$allowed" "$work/own" "$work/undefined" | sort -u >"$work/bad"
verdict "$work/bad" "impure call"
echo "$(wc -l <"$work/objects") pure objects call nothing impure"
