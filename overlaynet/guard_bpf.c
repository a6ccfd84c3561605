/* A straight program: each test either goes on or jumps to the end that drops.
 *
 * Packet loads are the classic ones (LD_ABS, LD_IND): they read in network order from the MAC
 * header on. One that reaches beyond the frame ends the program with 0, which means "pass"; hence
 * every load stands behind a test of the length. */
#include "overlaynet/guard_bpf.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "base/check.h"

#define TO_DROP   0x7fff /* jump targets, resolved at the end */
#define TO_PASS   0x7ffe
#define IP_AT     FRAME_ETH_LEN
#define IP6_L4_AT (FRAME_ETH_LEN + 40)

struct program {
    struct bpf_insn *insns;
    size_t count;
};

static size_t emit(struct program *p, struct bpf_insn insn)
{
    CHECK(p->count < GUARD_BPF_LEN_MAX);
    p->insns[p->count] = insn;
    return p->count++;
}

static void load_abs(struct program *p, uint8_t size, int32_t offset)
{
    emit(p, (struct bpf_insn){ .code = BPF_LD | BPF_ABS | size, .imm = offset });
}

/* r0 OP value (32 bits) -> target; returns the place of the jump for forward jumps. */
static size_t jump(struct program *p, uint8_t op, uint32_t value, int16_t target)
{
    return emit(p, (struct bpf_insn){ .code = (uint8_t)(BPF_JMP32 | op | BPF_K),
                                      .dst_reg = BPF_REG_0,
                                      .off = target,
                                      .imm = (int32_t)value });
}

static void jump_always(struct program *p, int16_t target)
{
    emit(p, (struct bpf_insn){ .code = BPF_JMP | BPF_JA, .off = target });
}

static void land(struct program *p, size_t jump_at)
{
    p->insns[jump_at].off = (int16_t)(p->count - jump_at - 1);
}

static void need_len(struct program *p, uint32_t len)
{
    emit(p, (struct bpf_insn){ .code = BPF_JMP32 | BPF_JLT | BPF_K,
                               .dst_reg = BPF_REG_7, /* the frame's length */
                               .off = TO_DROP,
                               .imm = (int32_t)len });
}

/* Bytes at `offset` must equal `value`. */
static void need_bytes(struct program *p, int32_t offset, const uint8_t *value, size_t len)
{
    for (; len >= 4; offset += 4, value += 4, len -= 4) {
        load_abs(p, BPF_W, offset);
        jump(p, BPF_JNE, frame_get32(value), TO_DROP);
    }
    if (len == 2) {
        load_abs(p, BPF_H, offset);
        jump(p, BPF_JNE, frame_get16(value), TO_DROP);
    }
}

static void check_arp(struct program *p, const struct guard_identity *who)
{
    static const uint8_t fixed[] = { 0, 1, 8, 0, 6, 4 };

    need_len(p, IP_AT + 28);
    if (!who->has_ip4) {
        jump_always(p, TO_DROP);
        return;
    }
    need_bytes(p, IP_AT, fixed, sizeof(fixed));
    load_abs(p, BPF_H, IP_AT + 6);
    jump(p, BPF_JEQ, 0, TO_DROP);
    jump(p, BPF_JGT, 2, TO_DROP);
    need_bytes(p, IP_AT + 8, who->mac, FRAME_MAC_LEN);
    need_bytes(p, IP_AT + 14, who->ip4, 4);
    jump_always(p, TO_PASS);
}

static void drop_group(struct program *p)
{
    load_abs(p, BPF_B, 0);
    jump(p, BPF_JSET, 1, TO_DROP);
}

static void check_ip4(struct program *p, const struct guard_identity *who)
{
    size_t not_udp, is_later;

    need_len(p, IP_AT + 20);
    if (!who->any_source) {
        if (!who->has_ip4) {
            jump_always(p, TO_DROP);
            return;
        }
        need_bytes(p, IP_AT + 12, who->ip4, 4);
    }
    drop_group(p);
    load_abs(p, BPF_B, IP_AT + 9);
    not_udp = jump(p, BPF_JNE, FRAME_PROTO_UDP, 0);
    load_abs(p, BPF_H, IP_AT + 6);
    is_later = jump(p, BPF_JSET, 0x1fff, 0); /* only a first fragment has ports */
    /* r8 = header length; room for it and the source port */
    load_abs(p, BPF_B, IP_AT);
    emit(p,
         (struct bpf_insn){ .code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = BPF_REG_0, .imm = 0x0f });
    emit(p, (struct bpf_insn){ .code = BPF_ALU | BPF_LSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 2 });
    emit(p, (struct bpf_insn){
                .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_8, .src_reg = BPF_REG_0 });
    emit(p, (struct bpf_insn){
                .code = BPF_ALU | BPF_ADD | BPF_K, .dst_reg = BPF_REG_0, .imm = IP_AT + 2 });
    emit(p, (struct bpf_insn){ .code = BPF_JMP32 | BPF_JGT | BPF_X,
                               .dst_reg = BPF_REG_0,
                               .src_reg = BPF_REG_7,
                               .off = TO_DROP });
    emit(p,
         (struct bpf_insn){ .code = BPF_LD | BPF_IND | BPF_H, .src_reg = BPF_REG_8, .imm = IP_AT });
    jump(p, BPF_JEQ, 67, TO_DROP); /* DHCP server */
    land(p, not_udp);
    land(p, is_later);
    jump_always(p, TO_PASS);
}

static void check_ip6(struct program *p, const struct guard_identity *who)
{
    size_t not_icmp, not_udp, below, above, not_advert;

    need_len(p, IP6_L4_AT);
    if (!who->any_source) {
        if (!who->has_ip6) {
            jump_always(p, TO_DROP);
            return;
        }
        need_bytes(p, IP_AT + 8, who->ip6, 16);
    }
    load_abs(p, BPF_B, IP_AT + 6);
    jump(p, BPF_JEQ, FRAME_PROTO_HOPOPTS, TO_DROP);
    jump(p, BPF_JEQ, FRAME_PROTO_ROUTING, TO_DROP);
    jump(p, BPF_JEQ, FRAME_PROTO_DSTOPTS, TO_DROP);
    not_icmp = jump(p, BPF_JNE, FRAME_PROTO_ICMP6, 0);
    need_len(p, IP6_L4_AT + 4);
    load_abs(p, BPF_B, IP6_L4_AT);
    below = jump(p, BPF_JLT, 133, 0);
    above = jump(p, BPF_JGT, 137, 0);
    jump(p, BPF_JLT, 135, TO_DROP); /* router solicitation and advertisement */
    jump(p, BPF_JGT, 136, TO_DROP); /* redirect */
    need_len(p, IP6_L4_AT + 24);
    not_advert = jump(p, BPF_JNE, 136, 0);
    if (who->has_ip6)
        need_bytes(p, IP6_L4_AT + 8, who->ip6, 16);
    else
        jump_always(p, TO_DROP);
    land(p, not_advert);
    jump_always(p, TO_PASS);
    land(p, not_icmp);
    load_abs(p, BPF_B, IP_AT + 6);
    not_udp = jump(p, BPF_JNE, FRAME_PROTO_UDP, 0);
    need_len(p, IP6_L4_AT + 2);
    load_abs(p, BPF_H, IP6_L4_AT);
    jump(p, BPF_JEQ, 547, TO_DROP); /* DHCPv6 server */
    land(p, not_udp);
    land(p, below);
    land(p, above);
    drop_group(p);
    jump_always(p, TO_PASS);
}

static void finish(struct program *p, int32_t verdict)
{
    emit(p, (struct bpf_insn){
                .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict });
    emit(p, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

static void resolve(struct program *p, int16_t mark, size_t target)
{
    for (size_t i = 0; i < p->count; i++) {
        uint8_t class = p->insns[i].code & 0x07;

        if ((class == BPF_JMP || class == BPF_JMP32) && p->insns[i].off == mark)
            p->insns[i].off = (int16_t)(target - i - 1);
    }
}

size_t guard_bpf_build(const struct guard_identity *who, struct bpf_insn *out)
{
    struct program p = { .insns = out };
    size_t not_arp, not_ip4, drop_at, pass_at;

    emit(&p, (struct bpf_insn){
                 .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 });
    emit(&p, (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
                                .dst_reg = BPF_REG_7,
                                .src_reg = BPF_REG_6,
                                .off = offsetof(struct __sk_buff, len) });
    need_len(&p, FRAME_ETH_LEN + 20);
    need_bytes(&p, FRAME_MAC_LEN, who->mac, FRAME_MAC_LEN);
    load_abs(&p, BPF_H, 12);
    not_arp = jump(&p, BPF_JNE, FRAME_TYPE_ARP, 0);
    check_arp(&p, who);
    land(&p, not_arp);
    load_abs(&p, BPF_H, 12);
    not_ip4 = jump(&p, BPF_JNE, FRAME_TYPE_IP4, 0);
    check_ip4(&p, who);
    land(&p, not_ip4);
    load_abs(&p, BPF_H, 12);
    jump(&p, BPF_JNE, FRAME_TYPE_IP6, TO_DROP);
    check_ip6(&p, who);
    pass_at = p.count;
    finish(&p, TC_ACT_UNSPEC);
    drop_at = p.count;
    finish(&p, TC_ACT_SHOT);
    resolve(&p, TO_PASS, pass_at);
    resolve(&p, TO_DROP, drop_at);
    return p.count;
}

int guard_bpf_load(const struct guard_identity *who)
{
    struct bpf_insn insns[GUARD_BPF_LEN_MAX];
    size_t count = guard_bpf_build(who, insns);
    int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "shoal_guard", "GPL", insns, count, NULL);

    return fd < 0 ? -errno : fd;
}
