# shellcheck shell=bash
# shellcheck disable=SC2016 # the machine expands
# One machine, by itself and as a cluster of one: sourced by run.sh, for each layout of cgroups.

gives() { # STATUS COMMAND: on the machine; its output is in $OUT
    local got=0
    OUT=$(vm 1 "$2") || got=$?
    [ "$got" = "$1" ] || complain "'$2' ended with $got instead of $1: $OUT"
}
says() { # TEXT: in what the last command printed
    case $OUT in *"$1"*) ;; *) complain "not '$1' but: $OUT" ;; esac
}
on() { vm 1 "$1"; } # a command for `within`
inspect() { vm 1 "shoal container inspect $1 | grep -oE '\"$2\": [^,]*' | head -n 1 | cut -d' ' -f2-"; } # CONTAINER FIELD
has_ended() { [ "$(inspect "$1" Running)" = false ]; }
pid_of() { inspect "$1" Pid; }

boots_with() { # LAYOUT
    local type
    gives 0 'stat -fc %T /sys/fs/cgroup /sys/fs/cgroup/unified 2>&1; uname -r'
    type=$(head -n 1 <<<"$OUT")
    case $1 in
    v2) [ "$type" = cgroup2fs ] ;;
    v1) [ "$type" = tmpfs ] && [[ $OUT != *cgroup2fs* ]] ;;
    hybrid) [ "$type" = tmpfs ] && [[ $OUT == *cgroup2fs* ]] ;;
    esac
    say ": kernel $(tail -n 1 <<<"$OUT")"
}

starts_as_unit() { # LAYOUT
    gives 0 'systemctl enable --now shoal'
    gives 0 'systemctl is-active shoal'
    gives 0 'shoal version'
    gives 0 'journalctl -u shoal -o cat'
    case $1 in
    v2) says 'cgroups v2' ;;
    v1) says 'cgroups v1' ;;
    hybrid) says 'cgroups hybrid' ;;
    esac
}

has_manual() {
    gives 0 'man -P cat shoal'
    says 'service create'
    gives 0 'man -P cat shoal-daemon'
    says '/var/lib/shoal'
}

imports_image() {
    gives 0 'shoal image import /root/web.tar web:1'
    gives 0 'shoal image save -o /root/saved.tar web:1'
    gives 0 'shoal image rm web:1'
    gives 0 'shoal image load -i /root/saved.tar'
    gives 7 'shoal container run --rm web:1 sh -c "echo here; exit 7"'
    says here
}

limits_memory() {
    gives 137 'shoal container run --name big -m 32m web:1 dd if=/dev/zero of=/dev/null bs=100M count=1'
    [ "$(inspect big OOMKilled)" = true ] || complain "not told as out of memory"
    gives 0 'shoal container run -d --name killed -m 32m web:1 sleep 1000'
    gives 0 'shoal container kill killed'
    within 10 has_ended killed
    [ "$(inspect killed OOMKilled)/$(inspect killed ExitCode)" = false/137 ] ||
        complain "a kill: $(inspect killed OOMKilled)/$(inspect killed ExitCode)"
    gives 0 'shoal container rm big killed'
}

limits_cpu() {
    local pid before after share
    gives 0 'shoal container run -d --name busy --cpus 0.2 web:1 sh -c "while :; do :; done"'
    pid=$(pid_of busy)
    before=$(on "awk '{ print \$14 + \$15 }' /proc/$pid/stat; date +%s%N")
    on 'sleep 4'
    after=$(on "awk '{ print \$14 + \$15 }' /proc/$pid/stat; date +%s%N")
    share=$(awk '{ v[NR] = $1 } END { printf "%d", (v[3] - v[1]) * 1e9 / (v[4] - v[2]) }' <<<"$before"$'\n'"$after")
    say ": of 20 % of a processor it took $share %"
    [ "$share" -ge 10 ] && [ "$share" -le 27 ]
    gives 0 'shoal container rm -f busy'
}

limits_processes() {
    gives 0 'shoal container run --rm --pids-limit 5 web:1 sh -c "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait" || true'
    says "can't fork"
}

has_streams() {
    gives 0 'shoal container run -d --name stays -m 64m --pids-limit 50 web:1 sh -c "trap \"exit 3\" TERM; echo up; while :; do sleep 0.1; done"'
    within 10 on 'shoal container logs stays | grep -q up'
    gives 5 'shoal container exec -e WHO=me stays sh -c "echo hello \$WHO; exit 5"'
    says 'hello me'
    gives 0 'echo through | shoal container exec -i stays cat'
    says through
    gives 0 'shoal container stats --format json stays'
    says '"PROCESSES":"2"'
    say ": $OUT"
}

does_not_inherit() { # what the daemon's unit sets for the daemon
    local pid
    pid=$(pid_of stays)
    gives 0 "cat /proc/$pid/oom_score_adj"
    [ "$OUT" = 0 ] || complain "its oom_score_adj is $OUT"
    gives 0 "cat /proc/$pid/cgroup"
    [[ $OUT != *shoal.service* ]] || complain "it is in the daemon's cgroup: $OUT"
    gives 0 'shoal container run --rm web:1 grep Sig /proc/self/status' # a shell ignores some itself
    grep -qE 'SigIgn:.0000000(000000000|180000000)' <<<"$OUT" ||
        complain "signals that it does not hear: $OUT" # 32 and 33 are the C library's own
    grep -q 'SigBlk:.0000000000000000' <<<"$OUT"
}

# Neither what systemd does to the unit nor its limits reach them; their memory is not counted as its.
monitors_are_apart() {
    gives 0 'cat /proc/$(cat /run/shoal/runtime/containers/*/conmon.pid | head -n 1)/cgroup'
    [[ $OUT == */shoal/_conmon* && $OUT != *shoal.service* ]] || complain "conmon is in $OUT"
    gives 0 'systemctl status --no-pager -n 0 shoal | grep -E "conmon|crun" || true'
    [ -z "$OUT" ] || complain "systemd sees in the daemon's unit: $OUT"
}

pauses() {
    local pid
    pid=$(pid_of stays)
    gives 0 'shoal container pause stays'
    gives 0 'shoal container ps'
    says Paused
    on "awk '{ print \$14 + \$15 + \$16 + \$17 }' /proc/$pid/stat" >"$WORK/before"
    on 'sleep 1'
    on "awk '{ print \$14 + \$15 + \$16 + \$17 }' /proc/$pid/stat" | cmp - "$WORK/before"
    gives 0 'shoal container unpause stays'
    gives 0 'shoal container exec stays true'
}

# The daemon goes by COMMAND and comes back; one container stays, one ends meanwhile, with 9.
outlives() { # COMMAND
    local pid
    pid=$(pid_of stays)
    gives 0 'shoal container run -d --name ends web:1 sh -c "while [ ! -e /go ]; do sleep 0.1; done; exit 9"'
    OUT=$(pid_of ends)
    gives 0 "$1; touch /proc/$OUT/root/go"
    within 20 on 'systemctl is-active shoal && shoal version'
    [ "$(pid_of stays)" = "$pid" ] || complain "another process: $(pid_of stays) instead of $pid"
    gives 0 'shoal container exec stays true'
    within 10 has_ended ends
    [ "$(inspect ends ExitCode)" = 9 ] || complain "its exit code is $(inspect ends ExitCode)"
    gives 0 'shoal container rm ends'
}
restart='systemctl restart shoal'
kill9='kill -9 $(systemctl show -P MainPID shoal); sleep 0.2'
stopstart='systemctl stop shoal; sleep 0.5; systemctl start shoal'

stops_by_signal() {
    gives 0 'shoal container stop stays'
    [ "$(inspect stays ExitCode)" = 3 ] || complain "its exit code is $(inspect stays ExitCode)"
    gives 0 'shoal container rm stays'
    gives 0 'find /sys/fs/cgroup -path "*/shoal/*" -type d ! -name _conmon'
    [ -z "$OUT" ] || complain "cgroups stay: $OUT"
}

count_running() { [ "$(on "shoal service ps --format json $1 | grep '\"DESIRED\":\"running\"' | grep -c '\"STATE\":\"running'")" = "$2" ]; }

server='mkdir -p /www; echo "web $(hostname)" >/www/index.html; exec httpd -f -p 80 -h /www'
runs_service() {
    gives 0 'shoal init'
    says 'shoal join --token'
    within 20 on 'shoal node ls | grep -q leader'
    gives 0 'shoal network create back'
    gives 0 "shoal service create --name web --replicas 3 --network back -p 8080:80 --stop-grace-period 1s --health-cmd 'wget -q -O /dev/null http://127.0.0.1/' --health-interval 1s web:1 sh -c '$server'"
    within 30 count_running web 3
    within 10 ask 1
    say ": $(ask 1)"
    gives 0 'shoal container ps'
    says healthy
}

finds_service() {
    gives 0 "shoal service create --name asker --network back --stop-grace-period 0s web:1 sh -c 'while :; do nslookup web; nslookup tasks.web; wget -q -O - http://\$(nslookup web | sed -n \"s/^Address: *//p\" | tail -n 1)/; sleep 1; done'"
    within 30 on 'shoal service logs asker 2>&1 | grep -q "web .*[0-9a-f]"' || { on 'shoal service logs asker'; false; }
    gives 0 'shoal service logs asker 2>&1'
    [ "$(grep -A 5 'tasks.web' <<<"$OUT" | grep -c 'Address: 10\.')" -ge 3 ] || complain "tasks.web: $OUT"
    gives 0 'shoal service rm asker'
}

# No request fails while the daemon goes and comes back.
serves_through() { # COMMAND
    local bad=0
    ( for _ in $(seq 60); do ask 1 >/dev/null || echo bad; sleep 0.05; done ) >"$WORK/bad" &
    on "$1"
    wait $!
    bad=$(wc -l <"$WORK/bad")
    [ "$bad" = 0 ] || complain "$bad of 60 requests failed"
    within 20 count_running web 3
}

tells_out_of_memory() {
    gives 0 'shoal service create -d --name hungry --limit-memory 32m --restart-condition none web:1 dd if=/dev/zero of=/dev/null bs=100M count=1'
    within 20 on 'shoal service ps --format json hungry | grep -q "out of memory"' || { on 'shoal service ps hungry'; false; }
    gives 0 'shoal service rm hungry'
}

unhealthy_ends() {
    gives 0 "shoal service create -d --name ill --stop-grace-period 0s --restart-condition none --health-cmd false --health-interval 500ms web:1 sleep 1000"
    within 30 on 'shoal service ps --format json ill | grep -q unhealthy' || { on 'shoal service ps ill'; false; }
    gives 0 'shoal service rm ill'
}

# Warnings and errors of the whole run, but those of kill -9: of the daemon, with what it had started.
journal_is_clean() {
    gives 0 'journalctl -b -p warning -u shoal -u shoal-containers -o cat --no-pager; journalctl -b -u shoal -o cat --no-pager | grep -E "left-over|Unit process" || true'
    OUT=$(grep -vE "status=9/KILL|Failed with result 'signal'|\((crun|nft)\)" <<<"$OUT" || true)
    [ -z "$OUT" ] || complain "$OUT"
}

is_quiet() {
    local before
    on 'sleep 2'
    before=$(on 'journalctl -u shoal -o cat | wc -l')
    on 'sleep 10'
    [ "$(on 'journalctl -u shoal -o cat | wc -l')" = "$before" ] || { on 'journalctl -u shoal -o cat -n 20'; false; }
    say ": $(on 'awk "/^Rss:/ {r = \$2} /^Pss:/ {p = \$2} END {printf \"%.1f MB resident, %.1f MB proportional\", r / 1024, p / 1024}" /proc/$(systemctl show -P MainPID shoal)/smaps_rollup')"
}

# Containers hear their stop signal before the machine goes down, while it still writes to its disk.
reboots() { # COMMAND before it
    local took
    gives 0 "shoal container run -d --name alone web:1 sh -c 'trap \"sleep 1; echo saved >/kept; exit 3\" TERM; echo up; while :; do sleep 0.1; done'"
    within 10 on 'shoal container logs alone | grep -q up'
    gives 0 "$1"
    took=$(vm_reboot 1)
    say ": the reboot took $((took / 1000)) s"
    within 20 on 'systemctl is-active shoal && shoal version'
    [ "$(inspect alone Running)/$(inspect alone ExitCode)" = false/3 ] ||
        complain "its end: $(inspect alone Running)/$(inspect alone ExitCode), $(inspect alone Error)"
    gives 0 'shoal container start alone'
    gives 0 'shoal container exec alone cat /kept'
    says saved
    gives 0 'shoal container rm -f alone'
}

comes_back() {
    within 60 count_running web 3 || { on 'shoal service ps web'; false; }
    within 10 ask 1
}

machine() { # LAYOUT [KERNEL ARGUMENT..]
    local layout=$1
    shift
    say "== One machine, cgroup $layout"
    vm_start 1 "$@"
    case_of "starts" vm_wait 1 || { vms_off; return; }
    case_of "has the cgroups that this is about" boots_with "$layout"
    case_of "systemctl enable --now shoal" starts_as_unit "$layout"
    case_of "man shoal, man shoal-daemon" has_manual
    case_of "images: import, save, load; a container's exit code" imports_image
    case_of "memory: the limit kills, and is told apart from a kill" limits_memory
    case_of "processor: the limit holds" limits_cpu
    case_of "processes: the limit holds" limits_processes
    case_of "logs, exec, stats" has_streams
    case_of "containers inherit nothing from the daemon's unit" does_not_inherit
    case_of "monitors are outside of the daemon's unit" monitors_are_apart
    case_of "pause stops it, unpause lets it go on" pauses
    case_of "containers outlive systemctl restart" outlives "$restart"
    case_of "containers outlive kill -9 of the daemon" outlives "$kill9"
    case_of "containers outlive systemctl stop" outlives "$stopstart"
    case_of "stop by signal; nothing stays" stops_by_signal
    case_of "init; a service of 3 on a network, published, with health checks" runs_service
    case_of "names and virtual IP" finds_service
    case_of "service answers while the daemon restarts" serves_through "$restart"
    case_of "service answers while the daemon is killed" serves_through "$kill9"
    case_of "a task out of memory says so" tells_out_of_memory
    case_of "an unhealthy task ends" unhealthy_ends
    case_of "idle, the log is quiet" is_quiet
    case_of "no warning in the journal" journal_is_clean
    case_of "reboot: containers end in order" reboots true
    case_of "after the reboot services come back" comes_back
    case_of "no warning in the journal after the reboot" journal_is_clean
    case_of "reboot without the daemon: containers end in order" reboots 'systemctl stop shoal'
    vms_off
}
