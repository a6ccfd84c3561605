#!/usr/bin/env bash
# Every header compiles alone, with both compilers and all warnings: whoever includes it needs to
# include nothing before it.
. "$(dirname "$0")/lib.sh"
flags="-std=c17 -fsyntax-only -I. -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
 -Wundef -Wstrict-prototypes -Wcast-qual -Wpointer-arith -Werror -Wno-unused-macros"

# headers of pure libraries get strict C17, others the extensions their folder is built with
while IFS='|' read -r _ dir _ pure; do
    extensions=-D_GNU_SOURCE
    [ "$pure" = "*" ] && extensions=-DSHOAL_STRICT
    for header in "$dir"/*.h; do
        [ ! -e "$header" ] || printf '%s %s\n' "$header" "$extensions"
    done
done <"$SHOAL_BUILD/include-table.txt" >"$work/headers"
for header in tests/support/*.h; do
    [ ! -e "$header" ] || printf '%s -D_GNU_SOURCE\n' "$header" >>"$work/headers"
done

check_header() { # FLAGS HEADER EXTENSIONS
    for cc in gcc clang; do
        # shellcheck disable=SC2086
        printf '#include "%s"\ntypedef int not_empty;\n' "$2" | "$cc" $1 "$3" -x c - 2>&1 |
            sed "s|<stdin>|$2 alone|" | grep -E 'error|warning' || true
    done
}
export -f check_header
xargs -P "$(nproc)" -L 1 bash -c 'check_header "$0" "$1" "$2"' "$flags" <"$work/headers" >"$work/bad"
verdict "$work/bad" "a header that does not compile alone"
echo "$(wc -l <"$work/headers") headers compile alone"
