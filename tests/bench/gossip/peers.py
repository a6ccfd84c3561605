#!/usr/bin/env python3
"""peers.py N NODE_BINARY: N gossip nodes, then N serf agents (LAN profile), on 127.0.0.x in a network
namespace of its own: time to the full view, cost when quiet, kill -9 until all know. Needs root."""
import ctypes
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time

KILLS = int(os.environ.get("KILLS", 8))
SETTLE = 10  # seconds, after the full view
QUIET = 15   # seconds in which nothing happens and cost is measured


class Shoal:
    name = "shoal"

    def __init__(self, n, binary):
        self.n, self.binary = n, binary

    def command(self, i):
        contact = [] if i == 1 else ["127.0.0.1:7946"]
        return [self.binary, str(i), str(self.n)] + contact

    def read(self, line):
        word, number = line.split()
        return {"up": "up", "down": "down"}.get(word.decode()), int(number)


class Serf:
    name = "serf"

    def __init__(self, n):
        self.n = n

    def command(self, i):
        contact = [] if i == 1 else ["-join=127.0.0.1:7946"]
        return ["serf", "agent", f"-node=n{i}", f"-bind=127.0.0.{i}:7946",
                f"-rpc-addr=127.0.0.{i}:7373", "-profile=lan", "-log-level=info"] + contact

    def read(self, line):
        m = re.search(rb"EventMember(Join|Failed): n(\d+)", line)
        return ({b"Join": "up", b"Failed": "down"}[m[1]], int(m[2])) if m else (None, 0)


class Group:
    """Processes, and what each has said about the others."""

    def __init__(self, kind):
        self.kind, self.procs, self.buf = kind, {}, {}
        self.up = {i: set() for i in range(1, kind.n + 1)}
        self.down = {}
        self.selector = selectors.DefaultSelector()

    def start(self, i):
        p = subprocess.Popen(self.kind.command(i), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        os.set_blocking(p.stdout.fileno(), False)
        self.procs[i], self.buf[i] = p, b""
        self.selector.register(p.stdout, selectors.EVENT_READ, i)

    def listen(self, seconds, until=lambda: False):
        end = time.time() + seconds
        while not until() and time.time() < end:
            for key, _ in self.selector.select(0.02):
                data = os.read(key.fd, 65536)
                if not data:
                    self.selector.unregister(key.fileobj)
                    continue
                *lines, self.buf[key.data] = (self.buf[key.data] + data).split(b"\n")
                for line in lines:
                    self.hear(key.data, line)

    def hear(self, observer, line):
        what, subject = self.kind.read(line)
        if what == "up":
            self.up[observer].add(subject)
        elif what == "down":
            self.down.setdefault(subject, {})[observer] = time.time()

    def stop(self):
        for p in self.procs.values():
            if p.poll() is None:
                p.kill()
            p.wait()


def loopback():
    line = [x for x in open("/proc/self/net/dev") if "lo:" in x][0].split(":")[1].split()
    return int(line[0]), int(line[1])


def cpu(p):
    f = open(f"/proc/{p.pid}/stat").read().rsplit(") ", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def resident(p, what, where="status"):
    return int(re.search(what + r":\s+(\d+)", open(f"/proc/{p.pid}/{where}").read())[1]) / 1024


def measure(kind):
    g, n = Group(kind), kind.n
    g.start(1)
    g.listen(1)
    t = time.time()
    for i in range(2, n + 1):
        g.start(i)
    spawned = time.time() - t
    full = lambda: all(len(s) >= n for s in g.up.values())
    g.listen(120, full)
    print(f"{kind.name}: {n} nodes started in {spawned:.2f} s, full view at all after "
          f"{time.time() - t:.2f} s{'' if full() else ' (INCOMPLETE)'}", flush=True)
    g.listen(SETTLE)
    before, spent = loopback(), {i: cpu(p) for i, p in g.procs.items()}
    g.listen(QUIET)
    after = loopback()
    used = sum(cpu(p) - spent[i] for i, p in g.procs.items())
    print(f"  quiet: {used / QUIET / n * 100:.3f} % CPU, {(after[0] - before[0]) / QUIET / n:.0f} B/s "
          f"and {(after[1] - before[1]) / QUIET / n:.1f} packets/s sent, each; "
          f"resident {sum(resident(p, 'VmRSS') for p in g.procs.values()) / n:.1f} MB, proportional "
          f"{resident(g.procs[2], 'Pss', 'smaps_rollup'):.1f} MB", flush=True)
    times, wrong = [], sum(len(d) for d in g.down.values())
    for victim in range(n // 2, n // 2 + KILLS):
        t = time.time()
        g.procs[victim].send_signal(signal.SIGKILL)
        g.procs[victim].wait()
        live = [i for i, p in g.procs.items() if p.poll() is None]
        g.listen(60, lambda: len(g.down.get(victim, {})) >= len(live))
        seen = sorted(x - t for x in g.down.get(victim, {}).values())
        times.append(seen[-1] if len(seen) >= len(live) else float("inf"))
        g.listen(3)
    times.sort()
    wrong += sum(len(d) for s, d in g.down.items() if not n // 2 <= s < n // 2 + KILLS)
    print(f"  kill -9 known by all, {KILLS} kills: median {times[KILLS // 2]:.2f} s, worst "
          f"{times[-1]:.2f} s; false verdicts {wrong}", flush=True)
    g.stop()


def main():
    n, binary = int(sys.argv[1]), sys.argv[2]
    if ctypes.CDLL(None).unshare(0x40000000) != 0:  # CLONE_NEWNET: gone with this process
        sys.exit("peers.py: a network namespace needs root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    measure(Shoal(n, binary))
    if shutil.which("serf"):
        measure(Serf(n))
    else:
        print("serf: not installed (Debian package serf): no peer in this run")


main()
