#!/usr/bin/env python3
"""What each process of a mission holds in memory while all of its agents wait for the model.

usage: bench/memory.py COPY [AGENTS [SECONDS [PEER]]]     COPY: made by setup.sh; SECONDS: how long the model takes to answer, long
                                                          enough for all agents to have started (default 20); PEER: ours, modelled
Prints, per kind of process: how many, and private, shared-out (PSS) and resident memory in KiB (median and largest), from smaps_rollup,
and the largest resident memory that it ever had (VmHWM).
"""
import json, os, shutil, signal, subprocess, sys, time, urllib.request
from statistics import median

copy = os.path.abspath(sys.argv[1])
agents = int(sys.argv[2]) if len(sys.argv) > 2 else 100
seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 20
peer = sys.argv[4] if len(sys.argv) > 4 else "ours"
state = f"{copy}/state/memory"


def smaps(pid):
    sizes = {}
    for line in open(f"/proc/{pid}/smaps_rollup"):
        words = line.split()
        if words[0].endswith(":") and words[-1] == "kB":
            sizes[words[0][:-1]] = int(words[1])
    peak = next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM:"))
    return {"peak": peak, "private": sizes["Private_Clean"] + sizes["Private_Dirty"], "dirty": sizes["Private_Dirty"], "pss": sizes["Pss"], "rss": sizes["Rss"]}


def tree(root):
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(pid))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def kind(pid, engine):
    words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
    name = open(f"/proc/{pid}/comm").read().strip()
    if pid == engine:
        return "engine"
    return name if name.startswith("muster-") else "agent" if b"__native" in words else "other: " + name


mock = subprocess.Popen([f"{copy}/target/release/mockllm", "--port", "0", "--scripts", f"{copy}/workloads/scripts.json", "--max-seconds", "900"], stdout=subprocess.PIPE, text=True)
engine = None
try:
    port = int(mock.stdout.readline().rsplit(":", 1)[1])
    shutil.rmtree(state, ignore_errors=True)
    os.makedirs(state)
    url = f"http://127.0.0.1:{port}/r/memory/s/w1/{seconds * 1000}/v1"
    cmd = json.load(open(f"{copy}/peers.json"))[peer]["cmd"]
    engine = subprocess.Popen(cmd + ["--workload", "w1", "--n", str(agents), "--base-url", url, "--state-dir", state], cwd=state, start_new_session=True)
    waiting = 0
    while waiting < agents:
        if engine.poll() is not None:
            sys.exit("the mission ended early")
        time.sleep(0.1)
        waiting = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/memory")).get("inflight", 0)
    kinds = {}
    for pid in tree(engine.pid):
        try:
            kinds.setdefault(kind(pid, engine.pid), []).append(smaps(pid))
        except OSError:
            pass  # it ended meanwhile
    print(f"{agents} agents, all waiting for the model; KiB, median (largest)")
    for name, all_sizes in sorted(kinds.items()):
        cells = (f"{what} {median(s[what] for s in all_sizes):.0f} ({max(s[what] for s in all_sizes)})" for what in ("private", "dirty", "pss", "rss", "peak"))
        print(f"{name:16} x{len(all_sizes):<5}", "  ".join(cells))
finally:
    if engine:
        try:
            os.killpg(engine.pid, signal.SIGKILL)  # its own group, ours alone
        except OSError:
            pass
    mock.terminate()
    shutil.rmtree(state, ignore_errors=True)
