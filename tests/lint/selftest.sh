#!/usr/bin/env bash
# The checks of this folder are themselves checked: each is run on a small tree that is clean, and
# must pass, and then on the same tree with one violation, and must fail and name the culprit.
set -euo pipefail
checks=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$checks/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch/cache
failures=0

# A clean tree: pure base, pure raft on it, runtime with one pure file and one driver.
fresh() {
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree"/{base,raft,gossip,runtime,tests/unit/raft,build}
    cd "$scratch/tree"
    cp "$root/.clang-format" "$root/.clang-tidy" .
    cat >base/sum.h <<'C'
#ifndef BASE_SUM_H
#define BASE_SUM_H

int base_sum(int a, int b);

#endif
C
    printf '#include "base/sum.h"\n\nint base_sum(int a, int b)\n{\n    return a + b;\n}\n' >base/sum.c
    printf '#include "base/sum.h"\n\nint raft_step(int n);\n\nint raft_step(int n)\n{\n    return base_sum(n, 1);\n}\n' >raft/raft.c
    printf '#ifndef GOSSIP_H\n#define GOSSIP_H\n\nint gossip_step(int n);\n\n#endif\n' >gossip/gossip.h
    printf '#include "base/sum.h"\n\nint plan(int n);\n\nint plan(int n)\n{\n    return base_sum(n, 2);\n}\n' >runtime/plan.c
    printf '#include <unistd.h>\n\nint drive(void);\n\nint drive(void)\n{\n    return getpid();\n}\n' >runtime/drive.c
    printf '#include "base/sum.h"\n' >tests/unit/raft/test_raft.c
    printf '#!/bin/sh\nset -eu\necho "$1"\n' >dev
    cat >build/include-table.txt <<'T'
base|base||*
raft|raft|base|*
gossip|gossip|base|*
runtime|runtime|base|plan.c
T
}

compile() { # what CMake and ninja would have left in build/
    local library source
    for library in base raft runtime; do
        for source in "$library"/*.c; do
            mkdir -p "build/CMakeFiles/shoal_$library.dir/$library"
            gcc -std=c17 -D_GNU_SOURCE -I. -w -c "$source" -o "build/CMakeFiles/shoal_$library.dir/$source.o"
        done
    done
}

run() { # run CHECK: its verdict on the tree as it is
    SHOAL_SOURCE=$scratch/tree SHOAL_BUILD=$scratch/tree/build bash "$checks/$1.sh" >"$scratch/out" 2>&1
}

passes() { # passes CHECK
    run "$1" && return
    echo "$1: a clean tree fails:"
    cat "$scratch/out"
    failures=$((failures + 1))
}

catches() { # catches CHECK TEXT WHAT
    if run "$1"; then
        echo "$1: does not notice $3"
        failures=$((failures + 1))
    elif ! grep -q "$2" "$scratch/out"; then
        echo "$1: fails on $3 without naming '$2':"
        cat "$scratch/out"
        failures=$((failures + 1))
    else
        echo "$1 catches $3"
    fi
}

fresh && compile
for check in includes purity format headers words shell length cppcheck; do passes "$check"; done

fresh && printf '#include "gossip/gossip.h"\n' >>raft/raft.c
catches includes raft/raft.c "a forbidden include"
fresh && sed -i 's/^raft|raft|base|/raft|raft|base,gossip|/' build/include-table.txt
catches includes 'raft USES' "a table that was edited against the architecture"
fresh && printf '#include "sum.h"\n' >>base/sum.c
catches includes base/sum.c "an include that is not written from the top"
fresh && printf '#include "runtime/plan.h"\n' >>tests/unit/raft/test_raft.c && : >runtime/plan.h
catches includes test_raft.c "a test that includes what its library does not link"
fresh && printf '#include "base/b.h"\n' >base/a.h && printf '#include "base/a.h"\n' >base/b.h
catches includes 'cycle' "an include cycle"

fresh && printf '#include <time.h>\nlong now(void) { return (long)time(NULL); }\n' >>raft/raft.c && compile
catches purity 'raft/raft.c: calls time' "a clock in a pure library"
fresh && printf '#include <sodium.h>\nvoid draw(void *p) { randombytes_buf(p, 8); }\n' >>base/sum.c && compile
catches purity 'base/sum.c: calls randombytes_buf' "randomness in a pure library"
fresh && printf 'int drive(void);\nint f(void) { return drive(); }\n' >>runtime/plan.c && compile
catches purity 'runtime/plan.c: calls drive' "a pure file that calls a driver of its folder"
fresh && compile && printf 'int g;\n' >raft/new.c
catches purity 'raft/new.c: not built' "an object that was not built"

fresh && printf 'int  x ;\n' >>base/sum.h
catches format base/sum.h "bad formatting"
fresh && printf 'size_t len(void);\n' >base/len.h
catches headers base/len.h "a header that needs another before it"
fresh && printf '/* TO''DO: later */\n' >>base/sum.c
catches words base/sum.c "a promise"
fresh && printf 'cd $1 && rm -r $*\n' >>dev
catches shell dev "careless shell"
fresh && seq 1001 | sed 's|.*|int x;|' >base/long.c
catches length base/long.c "a file that is too long"
fresh && printf 'int late(void)\n{\n    int a[2] = { 0 };\n\n    return a[2];\n}\n' >>base/sum.c
catches cppcheck base/sum.c "an index out of range"

# tidy needs a real build directory: what is found, what is remembered, what is forgotten again.
fresh
cat >CMakeLists.txt <<'C'
cmake_minimum_required(VERSION 3.25)
project(scratch LANGUAGES C)
include_directories(${CMAKE_SOURCE_DIR})
add_library(shoal_base STATIC base/sum.c)
C
build_tree() { cmake -G Ninja -S . -B build -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null && ninja -C build >/dev/null; }
build_tree
passes tidy
passes tidy
grep -q ' 0 of them' "$scratch/out" || { echo "tidy: forgets what it has seen"; failures=$((failures + 1)); }
sed -i 's/int b);/int b); \/* changed *\//' base/sum.h && build_tree
passes tidy
grep -q ' 1 of them' "$scratch/out" || { echo "tidy: does not notice a changed header"; failures=$((failures + 1)); }
printf '#include <stdlib.h>\nint number(const char *s);\nint number(const char *s)\n{\n    return atoi(s);\n}\n' >>base/sum.c && build_tree
catches tidy base/sum.c "a conversion that cannot fail"
catches tidy base/sum.c "it again: a failure is not remembered as clean"

[ "$failures" = 0 ] || { echo "$failures checks do not check" >&2; exit 1; }
