/* node/cli/service_options.h - The options of service create and update, and their places.
 *
 * One row is an option's name and help, and where its value goes in the spec; --help, the manual
 * page and service_spec.c all come from these tables. */
#ifndef NODE_CLI_SERVICE_OPTIONS_H
#define NODE_CLI_SERVICE_OPTIONS_H

#define CONTAINER "TaskTemplate.ContainerSpec."

/* Values: V(option, letter, kind of spec_value.h, placeholder, path, help). Update replaces them.
 */
#define SERVICE_VALUES(V)                                                                        \
    V("hostname", 0, TEXT, "NAME", CONTAINER "Hostname", "of its containers")                    \
    V("entrypoint", 0, WORDS, "COMMAND", CONTAINER "Command", "instead of the image's")          \
    V("user", 'u', TEXT, "USER", CONTAINER "User", "who runs the command")                       \
    V("workdir", 'w', TEXT, "DIR", CONTAINER "Dir", "where it runs")                             \
    V("tty", 't', SWITCH, NULL, CONTAINER "TTY", "give it a terminal")                           \
    V("init", 0, SWITCH, NULL, CONTAINER "Init", "a reaper as its first process")                \
    V("read-only", 0, SWITCH, NULL, CONTAINER "ReadOnly",                                        \
      "the root file system cannot be written")                                                  \
    V("stop-signal", 0, TEXT, "SIGNAL", CONTAINER "StopSignal", "that asks a task to end")       \
    V("stop-grace-period", 0, DURATION, "TIME", CONTAINER "StopGracePeriod",                     \
      "before a task is killed")                                                                 \
    V("oom-score-adj", 0, INTEGER, "N", CONTAINER "OomScoreAdj",                                 \
      "-1000 to 1000: higher ends first when memory runs out")                                   \
    V("limit-cpu", 0, CPUS, "CPUS", "TaskTemplate.Resources.Limits.NanoCPUs", "at most")         \
    V("limit-memory", 0, BYTES, "BYTES", "TaskTemplate.Resources.Limits.MemoryBytes", "at most") \
    V("limit-pids", 0, COUNT, "N", "TaskTemplate.Resources.Limits.Pids",                         \
      "at most so many processes; 0: any number")                                                \
    V("reserve-cpu", 0, CPUS, "CPUS", "TaskTemplate.Resources.Reservations.NanoCPUs",            \
      "only where so much is free")                                                              \
    V("reserve-memory", 0, BYTES, "BYTES", "TaskTemplate.Resources.Reservations.MemoryBytes",    \
      "only where so much is free")                                                              \
    V("replicas-max-per-node", 0, COUNT, "N", "TaskTemplate.Placement.MaxReplicas",              \
      "at most so many on a node; 0: any number")                                                \
    V("restart-condition", 0, TEXT, "WHEN", "TaskTemplate.RestartPolicy.Condition",              \
      "any, on-failure or none")                                                                 \
    V("restart-delay", 0, DURATION, "TIME", "TaskTemplate.RestartPolicy.Delay",                  \
      "before a restart")                                                                        \
    V("restart-max-attempts", 0, COUNT, "N", "TaskTemplate.RestartPolicy.MaxAttempts",           \
      "then give up; 0: never")                                                                  \
    V("restart-window", 0, DURATION, "TIME", "TaskTemplate.RestartPolicy.Window",                \
      "in which attempts count; 0s: all do")                                                     \
    SERVICE_CHANGE_VALUES(V, "update", "UpdateConfig.", "pause, continue or rollback")           \
    SERVICE_CHANGE_VALUES(V, "rollback", "RollbackConfig.", "pause or continue")                 \
    V("endpoint-mode", 0, TEXT, "MODE", "EndpointSpec.Mode", "vip or dnsrr")

/* An update and a rollback are told the same. */
#define SERVICE_CHANGE_VALUES(V, change, path, actions)                                          \
    V(change "-parallelism", 0, COUNT, "N", path "Parallelism", "tasks changed at once; 0: all") \
    V(change "-delay", 0, DURATION, "TIME", path "Delay", "between them")                        \
    V(change "-order", 0, TEXT, "ORDER", path "Order", "stop-first or start-first")              \
    V(change "-monitor", 0, DURATION, "TIME", path "Monitor", "how long a new task is watched")  \
    V(change "-failure-action", 0, TEXT, "WHAT", path "FailureAction", actions)                  \
    V(change "-max-failure-ratio", 0, RATIO, "RATIO", path "MaxFailureRatio",                    \
      "so many may fail, from 0 to 1")

/* Lists: L(option, letter, placeholder, how -rm names one, kind of spec_list.h, path, help). Create
 * has the option itself, update has option-add and option-rm. */
#define SERVICE_LISTS(L)                                                                          \
    L("env", 'e', "KEY=VALUE", "KEY", &spec_env_entry, CONTAINER "Env",                           \
      "a variable; KEY alone: as it is here")                                                     \
    L("label", 'l', "KEY=VALUE", "KEY", NULL, "Labels", "a label of the service")                 \
    L("container-label", 0, "KEY=VALUE", "KEY", NULL, CONTAINER "Labels",                         \
      "a label of its containers")                                                                \
    L("publish", 'p', "[HOSTPORT:]PORT[/udp]", "[HOSTPORT:]PORT[/udp]", &spec_port_entry,         \
      "EndpointSpec.Ports",                                                                       \
      "open a port on every node; or published=,target=,protocol=,mode=host")                     \
    L("network", 0, "NAME", "NAME", &spec_network_entry, "TaskTemplate.Networks",                 \
      "join a network; or name=,alias=")                                                          \
    L("mount", 0, "type=..,source=..,target=..", "TARGET", &spec_mount_entry, CONTAINER "Mounts", \
      "a volume, bind or tmpfs; also readonly, bind-propagation=, volume-nocopy, volume-label=, " \
      "tmpfs-size=, ..")                                                                          \
    L("secret", 0, "NAME", "NAME", &spec_secret_entry, CONTAINER "Secrets",                       \
      "as /run/secrets/NAME; or source=,target=,uid=,gid=,mode=")                                 \
    L("config", 0, "NAME", "NAME", &spec_config_entry, CONTAINER "Configs",                       \
      "as /NAME; or source=,target=,uid=,gid=,mode=")                                             \
    L("constraint", 0, "KEY==VALUE", "KEY==VALUE", &spec_text_entry,                              \
      "TaskTemplate.Placement.Constraints", "only on such nodes")                                 \
    L("placement-pref", 0, "spread=KEY", "spread=KEY", &spec_preference_entry,                    \
      "TaskTemplate.Placement.Preferences", "spread over values of a label")                      \
    L("host", 0, "NAME:ADDRESS", "NAME[:ADDRESS]", &spec_host_entry, CONTAINER "Hosts",           \
      "a line of /etc/hosts")                                                                     \
    L("dns", 0, "ADDRESS", "ADDRESS", &spec_address_entry, CONTAINER "DNSConfig.Nameservers",     \
      "a resolver; on networks, the cluster's is asked instead")                                  \
    L("dns-option", 0, "OPTION", "OPTION", &spec_text_entry, CONTAINER "DNSConfig.Options",       \
      "an option of resolving, such as ndots:1")                                                  \
    L("dns-search", 0, "DOMAIN", "DOMAIN", &spec_text_entry, CONTAINER "DNSConfig.Search",        \
      "a domain that names are looked up in")                                                     \
    L("sysctl", 0, "KEY=VALUE", "KEY", NULL, CONTAINER "Sysctls", "a setting of the kernel")      \
    L("ulimit", 0, "NAME=SOFT[:HARD]", "NAME", &spec_ulimit_entry, CONTAINER "Ulimits",           \
      "a limit of processes, such as nofile; -1: none")                                           \
    L("group", 0, "GROUP", "GROUP", &spec_text_entry, CONTAINER "Groups",                         \
      "one more group of the user")

#endif /* NODE_CLI_SERVICE_OPTIONS_H */
