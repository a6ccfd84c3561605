#!/usr/bin/env bash
# Known bugs of gossip systems, put back one at a time into a copy of the core: the unit tests must
# notice each. A mutation whose original line is gone fails too, so the list cannot rot. Usage:
# gossip_mutations.sh [NAME..]
set -euo pipefail
: "${SHOAL_SOURCE:=$(cd "$(dirname "$0")/../.." && pwd)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests="core merge parts world seeds"
flags=(-std=c17 -O1 -g0 -w -D_GNU_SOURCE -I"$work" -I"$work/tests/unit/gossip")
libs=(-lsodium -lcmocka -lm)
mkdir -p "$work/tests/unit"
cp -r "$SHOAL_SOURCE/gossip" "$SHOAL_SOURCE/base" "$work/"
mkdir -p "$work/chaos/sim"
cp "$SHOAL_SOURCE"/chaos/sim/gossip_world* "$work/chaos/sim/"
cp -r "$SHOAL_SOURCE/tests/unit/gossip" "$work/tests/unit/"

base=()
for b in check err heap prng id buf hash; do base+=("$work/base/$b.c"); done
objects() { # objects OUT SOURCE..: compiles what does not change once
    local out=$1
    shift
    mkdir -p "$out"
    for s in "$@"; do cc "${flags[@]}" -c "$s" -o "$out/$(basename "$s" .c).o"; done
}
objects "$work/fixed" "${base[@]}" "$work"/chaos/sim/gossip_world*.c "$work"/tests/unit/gossip/support_*.c
for t in $tests; do objects "$work/test_$t" "$work/tests/unit/gossip/test_$t.c"; done
objects "$work/core" "$work"/gossip/*.c

# run NAME: links the core's objects with each test; prints the first test that fails.
run() {
    local t
    for t in $tests; do
        cc -o "$work/run" "$work/test_$t"/*.o "$work"/fixed/*.o "$work"/core/*.o "${libs[@]}"
        GOSSIP_SEEDS=60 timeout 120 "$work/run" >"$work/log" 2>&1 || { echo "$t"; return; }
    done
}

failed=0
mutate() { # mutate NAME FILE OLD NEW
    local name=$1 file=$work/gossip/$2 caught
    [ -z "$only" ] || [[ " $only " == *" $name "* ]] || return 0
    if ! python3 - "$file" "$3" "$4" <<'PY'
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
if text.count(old) != 1:
    sys.exit(f"{path}: {text.count(old)} times: {old}")
open(path, "w").write(text.replace(old, new))
PY
    then
        echo "$name: the line to change is not there" && failed=1 && return 0
    fi
    cc "${flags[@]}" -c "$file" -o "$work/core/$(basename "$2" .c).o"
    caught=$(run)
    echo "$name: ${caught:+caught by }${caught:-NOT CAUGHT}"
    tried=$((tried + 1))
    if [ -n "$caught" ]; then noticed=$((noticed + 1)); else failed=1; fi
    cp "$SHOAL_SOURCE/gossip/$2" "$file"
    cc "${flags[@]}" -c "$file" -o "$work/core/$(basename "$2" .c).o"
}

only=${*:-}
tried=0
noticed=0
caught=$(run)
[ -z "$caught" ] || { echo "without any mutation, $caught fails"; cat "$work/log"; exit 1; }

mutate unreachable-is-never-retried contact.c \
    '    probe_contact(g, s->subject, &r.addr);' '    (void)r;'
mutate contacts-are-given-up contact.c \
    '        probe_contact(g, NULL, &c->addr);' '        if (c->interval < 4 * FIRST_INTERVAL) probe_contact(g, NULL, &c->addr);'
mutate sleep-is-not-noticed gossip.c \
    'now > mono_after(g->asked, STALL_MIN)' 'now > mono_after(g->asked, 3600 * NS_PER_S)'
mutate self-accusation-is-accepted record.c 'a.subject == a.accuser ||' ''
mutate accused-does-not-answer view.c '        view_refute(g);' '        (void)0;'
mutate epoch-is-ignored gossip.c \
    '    if (a.epoch != b.epoch)' '    if (a.epoch != b.epoch && a.counter == b.counter)'
mutate past-epoch-is-not-told packet.c '        tell_stale(g, m, addr);' ''
mutate own-past-is-not-stepped-over view.c \
    '    view_say_self(g, (struct gossip_incarnation){ .epoch = epoch + 1 }, &held.addr,' \
    '    if (g->left) view_say_self(g, (struct gossip_incarnation){ .epoch = epoch + 1 }, &held.addr,'
mutate second-life-is-not-told packet.c \
    '(by->boot_epoch == p->boot_epoch && by->salt != p->salt)' 'false'
mutate epoch-of-packets-is-not-told packet.c \
    'MAX(record_of(m->record).incarnation.epoch, p->boot_epoch)' 'record_of(m->record).incarnation.epoch'
mutate epochs-are-used-up view.c \
    '        stale->epoch - g->incarnation.epoch <= STALE_EPOCHS_MAX &&' ''
mutate half-a-candidate-hides-a-whole-one candidate.c \
    '    if (whole != is_whole(c))' '    if (whole && !is_whole(c) && c->ref == 0)'
mutate signatures-are-not-checked blob.c \
    '    if (crypto_sign_verify_detached(signature, message.ptr, message.len, key) != 0)' '    if (message.len == 0)'
mutate replays-are-accepted packet.c '    if (!is_fresh(p, by))' '    if (!is_fresh(p, by) && p == NULL)'
mutate newest-news-first dissemination.c \
    '[item->transmits],
        &item->link);' '[0],
        &item->link); if (list_is_linked(&item->link)) { struct list *l = item->link.next; list_remove(&item->link); list_push_front(l, &item->link); }'
mutate budget-is-not-kept dissemination.c \
    '    d->body = writer_of(seal_body(d->buf), g->cfg.packet_len_max - GOSSIP_SEAL_LEN);' \
    '    d->body = writer_of(seal_body(d->buf), g->cfg.packet_len_max / 2);'
mutate equal-incarnations-keep-the-first view.c \
    '    order = memcmp(a_bytes.ptr, b_bytes.ptr, MIN(a_bytes.len, b_bytes.len));' '    order = 0 * (int)(a_bytes.ptr - b_bytes.ptr);'
mutate accusers-are-first-come suspicion.c \
    'return s->count < GOSSIP_ACCUSERS_MAX || accuser < s->by[highest_accuser(s)].accuser;' \
    'return s->count < GOSSIP_ACCUSERS_MAX;'
mutate failed-send-is-ignored probe.c \
    '            p->deadline = g->now; /* no use in waiting out the direct phase */' '            (void)p;'
mutate sample-misses-one member.c '    for (size_t left = others; left > 0 && count < want; i++) {' \
    '    for (size_t left = others; left > 1 && count < want; i++) {'
mutate digest-is-not-compared digest.c '    start_comparing(g, from, addr);' '    (void)from; (void)addr;'
mutate missing-metadata-is-not-asked pull.c '    ask(g, &p);
}' '}'
mutate removed-node-stays view.c '    member_remove(&g->members, g->pool, m);' '    (void)0;'
mutate link-does-not-count suspicion.c '    return !probe_is_held(g, m) &&' '    return'
mutate stranger-is-not-asked probe.c '    if (from == NULL && candidate_is_welcome(g, sender))' '    if (from != NULL && candidate_is_welcome(g, sender))'
mutate dropped-key-still-opens gossip.c '    sodium_memzero(g->sealer.keys, sizeof(g->sealer.keys));
    memcpy' '    if (count < g->sealer.key_count) return;
    memcpy'
mutate frame-length-is-believed exchange.c '    if (len <= FRAME_SEALED_MAX && len >= GOSSIP_SEAL_LEN)' '    if (len >= GOSSIP_SEAL_LEN)'
echo "$noticed of $tried mutations caught"
exit $failed
