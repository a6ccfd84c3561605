/* overlaynet/guard_bpf.h - The rules of guard.h as an eBPF program for one bridge port.
 *
 * Made for one identity, with its addresses as constants, so nothing is looked up and no table has
 * to be kept; it runs on every frame that a container sends, also to its neighbours on the same
 * host, and keeps running when this process does not. */
#ifndef OVERLAYNET_GUARD_BPF_H
#define OVERLAYNET_GUARD_BPF_H

#include <stddef.h>

#include "base/attr.h"
#include "overlaynet/guard.h"

#define GUARD_BPF_LEN_MAX 128 /* instructions */

struct bpf_insn;

/* Writes the program to `out`, of GUARD_BPF_LEN_MAX; returns its length in instructions. */
size_t guard_bpf_build(const struct guard_identity *who, struct bpf_insn *out);

/* Loads it; returns a descriptor for netlink_set_ingress_program() that the caller closes.
 *   -EPERM, -ENOSYS, other errors of bpf(2) */
NODISCARD int guard_bpf_load(const struct guard_identity *who);

#endif /* OVERLAYNET_GUARD_BPF_H */
