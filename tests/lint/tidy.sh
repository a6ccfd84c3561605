#!/usr/bin/env bash
# clang-tidy over every library source. A file that was found clean is remembered by the contents
# of everything that decides the verdict - its own text, our headers that it includes, its compile
# command, the configuration, the tool's version - together with its warnings, so only what changed
# is analysed again. The cache is shared by all checkouts of a user. The path-sensitive analyzer takes
# ten times as long as all other checks and only warns, so it runs when SHOAL_ANALYZE is set
# (./dev ci).
. "$(dirname "$0")/lib.sh"
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/shoal-tidy
mkdir -p "$cache"
find "$cache" -type f -mtime +30 -delete
checks='-clang-analyzer-*'
[ -z "${SHOAL_ANALYZE:-}" ] || checks=-none
export checks
tool=$checks$(clang-tidy --version | sha256sum)$(sha256sum <.clang-tidy)$(sha256sum <"${BASH_SOURCE[0]}")

sources '*.c' '*.h' | xargs -d '\n' sha256sum >"$work/sums"
ninja -C "$SHOAL_BUILD" -t deps >"$work/deps"

# One line per library object: "source<TAB>everything that decides", the latter hashed below.
# ccache may make the dependencies relative to the build directory.
awk -v root="$SHOAL_SOURCE/" -v relative="$(realpath --relative-to="$SHOAL_BUILD" "$SHOAL_SOURCE")/" -v build="$SHOAL_BUILD" -v tool="$tool" '
FILENAME == ARGV[1] { sum[$2] = $1; next }
FILENAME == ARGV[2] { # compile_commands.json
    if ($1 == "\"command\":") command = $0
    if ($1 == "\"file\":") {
        gsub(/[",]/, "", $2)
        gsub(build, "B", command)
        gsub(root, "", command)
        command_of[substr($2, length(root) + 1)] = command
    }
    next
}
/^[^ ].*#deps/ { flush(); object = $1; source = ""; text = ""; next }
/^ / {
    file = $1
    sub("^" relative, root, file)
    if (index(file, root) == 1) {
        file = substr(file, length(root) + 1)
        if (source == "") source = file
        if (file in sum) text = text file sum[file]
    }
}
END { flush() }
function flush() {
    if (object ~ /^CMakeFiles\/shoal_[a-z_]*\.dir\// && source != "" && (source in sum))
        print source "\t" tool command_of[source] text
    object = ""
}' "$work/sums" "$SHOAL_BUILD/compile_commands.json" "$work/deps" | sort -u |
    while IFS=$'\t' read -r source decides; do
        key=$(printf '%s' "$decides" | sha256sum | cut -c1-64)
        echo "$source $key"
    done >"$work/keys"
[ -s "$work/keys" ] || { echo "no library objects in $SHOAL_BUILD" >&2; exit 1; }

while read -r source key; do
    [ -e "$cache/$key" ] || echo "$source $key"
done <"$work/keys" >"$work/changed"

tidy_one() { # BUILD CACHE SOURCE KEY
    local out rc=0
    out=$(clang-tidy -p "$1" --quiet --checks="$checks" --extra-arg=-Wno-unknown-warning-option "$3" 2>/dev/null) || rc=$?
    out=$(printf '%s\n' "$out" | grep -E '(error|warning):' |
        sed "s|^$PWD/||; /^[^:]*\.h:/s|\$| (seen in $3)|") || true
    if [ $rc = 0 ] && [[ $out != *error:* ]]; then
        printf '%s\n' "$out" >"$2/$4.$$" && mv "$2/$4.$$" "$2/$4"
    else
        printf '%s\n' "${out:-$3:1: error: clang-tidy failed with status $rc}"
    fi
}
export -f tidy_one
xargs -r -P "$(nproc)" -L 1 bash -c 'tidy_one "$0" "$1" "$2" "$3"' "$SHOAL_BUILD" "$cache" \
    <"$work/changed" >"$work/bad"
while read -r _ key; do
    [ ! -e "$cache/$key" ] || sed '/^$/d' "$cache/$key"
done <"$work/keys" | sort -u
verdict "$work/bad" "clang-tidy error"
echo "$(wc -l <"$work/keys") files clean, $(wc -l <"$work/changed") of them analysed now"
