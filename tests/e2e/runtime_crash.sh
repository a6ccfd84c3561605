#!/usr/bin/env bash
# The process that runs containers is killed with SIGKILL at 50 random moments, while containers are
# created, started, stopped and removed and images come and go: none is lost, nothing is left over.
set -eu
: "${SHOAL_BUILD:?build directory}"
test=$SHOAL_BUILD/unit_runtime_crash
[ -x "$test" ] || { echo "skipped: this build has no $test"; exit 77; }
CRASHES=${CRASHES:-50} exec "$test"
