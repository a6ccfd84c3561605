#!/usr/bin/env bash
# Who may include whom. The table is the one that CMake links by (include-table.txt):
#   - a library's files may include headers of its own folder and of the folders in its USES;
#   - tests/<kind>/<library>/ may include what <library> links, directly or not, the simulated worlds
#     of chaos/, tests/support/ and the tests of its library, in its own folder without the path;
#   - headers do not include each other in a circle;
#   - base uses nothing; raft, gossip, overlaynet and runtime use base and nothing else. This is
#     stated here again so that editing the table is not enough to break the architecture.
# chaos/ follows the table like any folder; it may simply name more libraries there.
. "$(dirname "$0")/lib.sh"

sources '*.c' '*.h' | xargs -d '\n' grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' \
    >"$work/includes" || true

awk -F'|' -v includes="$work/includes" -v edges="$work/edges" '
function owner(path,    d) { # the library of the deepest folder that holds path
    d = path
    while (sub(/\/[^\/]*$/, "", d))
        if (d in lib_of) return lib_of[d]
    return ""
}
function reach(lib,    i, n, list) { # marks what lib links, into seen[]
    if (lib in seen) return
    seen[lib] = 1
    n = split(uses[lib], list, ",")
    for (i = 1; i <= n; i++) reach(list[i])
}
{ dir[$1] = $2; lib_of[$2] = $1; uses[$1] = $3 }
END {
    floor["base"] = ""
    floor["raft"] = floor["gossip"] = floor["overlaynet"] = floor["runtime"] = "base"
    for (lib in floor)
        if ((lib in uses) && uses[lib] != floor[lib])
            print "CMakeLists.txt: " lib " USES \"" uses[lib] "\": the architecture says \"" floor[lib] "\""
    while ((getline line <includes) > 0) {
        split(line, part, ":")
        file = part[1]
        header = line
        sub(/^[^"]*"/, "", header)
        sub(/".*/, "", header)
        where = file ":" part[2] ": \"" header "\": "
        if (file ~ /^tests\// && header !~ /\//) {
            beside = file
            sub(/[^\/]*$/, header, beside)
            header = beside
        }
        if ((getline probe <header) < 0) {
            print where "no such file; includes are written from the top of the tree"
            continue
        }
        close(header)
        if (file ~ /\.h$/) print header, file >edges
        to = owner(header)
        if (file ~ /^tests\//) {
            split(file, part, "/")
            lib = part[3]
            if (header ~ /^(tests\/support|chaos)\// || (header ~ /^tests\// && split(header, other, "/") == 4 && other[3] == lib)) continue
            delete seen
            if (lib in uses) reach(lib)
            if (to == "base" && part[2] == "support") continue
            if (!(to in seen)) print where "tests of " lib " may include only what it links"
        } else {
            from = owner(file)
            if (to == "" || from == "") print where "not in a library of CMakeLists.txt"
            else if (to != from && index("," uses[from] ",", "," to ",") == 0)
                print where from " may not use " to " (shoal_library USES in CMakeLists.txt)"
        }
    }
}' "$SHOAL_BUILD/include-table.txt" >"$work/bad"

if [ -f "$work/edges" ] && ! tsort "$work/edges" >/dev/null 2>"$work/loops"; then
    sed -n 's/^tsort: *-*: */include cycle: /p; s/^tsort: \([^ ]*\.h\)$/include cycle: \1/p' "$work/loops" |
        grep -v 'contains a loop' >>"$work/bad" || echo "include cycle" >>"$work/bad"
fi
verdict "$work/bad" "forbidden include"
echo "$(wc -l <"$work/includes") includes follow the table"
