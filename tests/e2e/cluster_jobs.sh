#!/usr/bin/env bash
# Jobs on real nodes: so many completions, so many at a time; failures tried again; a new iteration by
# an update; once on every node. `service ls` shows what Docker's does.
set -eu
cd "$(dirname "$0")"
. ./lib_cluster.sh

need jq

replicas() { [ "$(shoal 1 service ls --format json | jq -r "select(.NAME == \"$1\") | .REPLICAS")" = "$2" ]; }
settled() { within 30 replicas "$1" "$2" || { shoal 1 service ps "$1"; fail "$1 does not reach $2"; }; }
open_tasks() { shoal 1 service ps "$1" --format json | jq -r 'select(.DESIRED == "complete" and (.STATE | test("^(complete|pending)") | not)) | .ID' | wc -l; }

cluster_up 2
make_image
cluster_join 1
for i in 1 2; do shoal "$i" image import "$WORK/image.tar" web:1 >/dev/null || fail "import"; done

say "-- a replicated job waits for its completions"
shoal 1 service create --name sum --mode replicated-job --replicas 5 --max-concurrent 2 web:1 \
    sh -c 'sleep 0.2' >"$WORK/sum.out" || fail "the job did not complete"
grep -qx '5 of 5 tasks completed' "$WORK/sum.out" || fail "it said: $(cat "$WORK/sum.out")"
settled sum '0/2 (5/5 completed)'

say "-- at most so many run at a time"
shoal 1 service create -d --name slow --mode replicated-job --replicas 4 --max-concurrent 2 web:1 \
    sh -c 'exec sleep 300' >/dev/null || fail "slow"
settled slow '2/2 (0/4 completed)'
[ "$(open_tasks slow)" = 2 ] || fail "$(open_tasks slow) tasks are open"

say "-- what failed is tried again, and the job goes on"
shoal 1 service create -d --name flaky --mode replicated-job --replicas 1 --restart-delay 100ms \
    --mount type=volume,source=once,target=/once --constraint node.hostname==h1 web:1 \
    sh -c '[ -e /once/seen ] || { echo x >/once/seen; exit 3; }' >/dev/null || fail "flaky"
settled flaky '0/1 (1/1 completed)'
shoal 1 service ps flaky --format json | grep -q 'non-zero exit (3)' || fail "its failure is not told"

say "-- an update is a new iteration"
shoal 1 service update --force sum >/dev/null || fail "update"
settled sum '0/2 (5/5 completed)'
[ "$(shoal 1 service inspect sum | jq '.[0].JobStatus.JobIteration.Index')" = 1 ] || fail "iteration"

say "-- a global job, once on every node"
shoal 1 service create --name everywhere --mode global-job web:1 sh -c 'hostname' >/dev/null || fail "global job"
settled everywhere '0/0 (2/2 completed)'
[ "$(shoal 1 service ps everywhere --format json | jq -r .NODE | sort -u | tr '\n' ' ')" = 'h1 h2 ' ] || fail "not on both"

say "-- what no job can be is refused"
! shoal 1 service create -d --name no --mode replicated-job --update-delay 1s web:1 2>"$WORK/err" || fail "update config accepted"
grep -q 'Jobs may not have an update config' "$WORK/err" || fail "it said: $(cat "$WORK/err")"
! shoal 1 service create -d --name no --mode sometimes web:1 2>"$WORK/err" || fail "an unknown mode accepted"
grep -q 'give replicated, global, replicated-job or global-job' "$WORK/err" || fail "it said: $(cat "$WORK/err")"

say "-- a job that was given no name gets one"
name=$(shoal 1 service inspect "$(shoal 1 service create -d --mode replicated-job web:1 true)" | jq -r '.[0].Spec.Name')
[[ $name =~ ^[a-z]+_[a-z]+$ ]] || fail "its name is '$name'"
shoal 1 service rm sum slow flaky everywhere >/dev/null || fail "rm"
say "ok"
