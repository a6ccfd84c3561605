/* chaos/sim/gossip_model.h - The rules of other protocols, on the same network with the same
 * faults.
 *
 * memberlist: its LAN defaults and Lifeguard: probe 1 s, time-out 500 ms, 3 indirect probes and a
 * reliable ping beside them, suspicion of 4 log10(n) s decaying from six times that with two
 * confirmations, local health up to 8, gossip to 3 members each 200 ms, to the dead for 30 s, full
 * exchange every 30 s (more above 32 members). SWIM: the same without Lifeguard's three
 * extensions, as the paper's baseline [Lifeguard] V. Only rules, no bytes: messages carry no
 * encoding, so compare their packets and times with ours, not their bytes. */
#ifndef CHAOS_SIM_GOSSIP_MODEL_H
#define CHAOS_SIM_GOSSIP_MODEL_H

#include "chaos/sim/gossip_world.h"

extern const struct world_engine world_memberlist;
extern const struct world_engine world_swim;

#endif /* CHAOS_SIM_GOSSIP_MODEL_H */
