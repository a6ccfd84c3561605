# shellcheck shell=bash
# shellcheck disable=SC2016 # the machine expands
# Three machines, and what README.md says under "Use it", word for word: sourced by run.sh.

boots_three() {
    local i
    for i in 1 2 3; do vm_wait $i; done
}

joins() { # every machine by the line that the first one prints
    local i line
    for i in 1 2 3; do vm $i 'systemctl enable --now shoal'; done
    line=$(vm 1 'shoal init' | grep -oE 'shoal join --token [^ ]+ [^ ]+')
    say ": $line"
    for i in 2 3; do vm $i "$line"; done
    within 20 three_ready
}
three_ready() { [ "$(vm "${1:-1}" 'shoal node ls --format json | grep -c "\"STATUS\":\"ready\""')" = 3 ]; }

makes_managers() { vm 1 'shoal node promote h2 h3' && within 20 three_managers; }
three_managers() { [ "$(vm 1 'shoal node ls --format json | grep -cE "\"MANAGER STATUS\":\"(leader|reachable)\""')" = 3 ]; }

first_use() { # README.md
    vm 1 'shoal image import /root/web.tar web:1 && shoal image save -o web.tar web:1 && shoal image rm web:1'
    vm 1 'shoal image load -i web.tar'
    vm 1 'shoal network create back'
    vm 1 "shoal service create --name web --replicas 3 --network back -p 8080:80 web:1 sh -c 'mkdir -p /www; echo \"web \$(hostname)\" >/www/index.html; exec httpd -f -v -p 80 -h /www'"
    vm 1 'shoal service ps web'
    within 60 web_runs 1
}
web_rows() { vm "$1" 'shoal service ps --format json web | grep "\"DESIRED\":\"running\"" | grep "\"STATE\":\"running"'; }
web_runs() { [ "$(web_rows "$1" | wc -l)" = 3 ]; }
web_runs_off() { [ "$(web_rows "$1" | grep -vc "\"NODE\":\"$2\"")" = 3 ]; }

answers_everywhere() {
    local i
    for i in 1 2 3; do
        within 20 ask $i || complain "machine $i does not answer"
        say ": machine $i: $(ask $i)"
    done
    within 10 sees_client || complain "the client's address is not seen"
}
sees_client() { vm 1 'shoal service logs web 2>&1' | grep -q '10\.99\.0\.254'; }

loses_power() { # MACHINE, ASKED
    local started
    vm_cut "$1"
    started=$(milliseconds)
    within 60 web_runs_off "$2" "h$1" || { vm "$2" 'shoal node ls; shoal service ps web'; false; }
    say ": tasks run elsewhere after $(($(milliseconds) - started)) ms"
    within 10 ask "$2"
}

returns() { # MACHINE: its disk as the power cut left it
    vm_start "$1"
    vm_wait "$1"
    within 60 three_ready "$1" || { vm "$1" 'shoal node ls; journalctl -u shoal -n 20 --no-pager'; false; }
    within 20 ask "$1"
}

updates() {
    vm 1 'shoal image tag web:1 web:2'
    vm 1 'shoal service update --image web:2 web'
    within 60 web_runs 1
}

journals_are_clean() { # a lost machine is worth a warning, but each is said once or twice
    local i count
    for i in 1 2 3; do
        count=$(vm $i 'journalctl -b -p warning -u shoal -o cat --no-pager | wc -l')
        say ": machine $i: $count warnings"
        [ "$count" -le 20 ] || { vm $i 'journalctl -b -p warning -u shoal -o cat --no-pager | tail -n 40'; false; }
        [ -z "$(vm $i 'journalctl -b -p err -u shoal -o cat --no-pager')" ] ||
            { vm $i 'journalctl -b -p err -u shoal -o cat --no-pager'; false; }
    done
}

cluster() {
    local i
    say "== Three machines"
    for i in 1 2 3; do CPUS=1 vm_start $i; done
    case_of "start" boots_three || { vms_off; return; }
    case_of "init, and two joins by the line that it prints" joins
    case_of "promotion of both" makes_managers
    case_of "image load, network, service" first_use
    case_of "every machine answers, with the client's address" answers_everywhere
    case_of "power cut: tasks run elsewhere" loses_power 3 1
    case_of "the machine comes back" returns 3
    case_of "power cut of the first machine" loses_power 1 2
    case_of "the machine comes back" returns 1
    case_of "rolling update" updates
    case_of "journals read well" journals_are_clean
    vms_off
}
