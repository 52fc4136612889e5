"""`python -m benchmarks.peers`: each peer in turn, prints one table, writes `build/peers.json`.

A kind of work that was not run again keeps its figures of the file's last run; each kind's command and date are in the file.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import Turn, summarise
from benchmarks.peers import kill, throughput
from benchmarks.peers.contestants import PEERS, Peer
from benchmarks.peers.report import text
from benchmarks.run import run_of
from benchmarks.stack import folder, start

KINDS = ("noop", "wait50", "kill")


def say(line: str) -> None:
    """Progress goes to stderr."""
    print(line, file=sys.stderr, flush=True)


def run(peers: list[Peer], kinds: list[str], rounds: int, tasks: int, kill_rounds: int) -> list[dict[str, Any]]:
    """Measure; who goes first changes with each round."""
    found: dict[str, dict[str, Any]] = {peer.name: {} for peer in peers}
    for peer in peers:
        peer.interpreter()
    with folder("windrow-peers-") as made, start(made) as stack:
        for kind in [kind for kind in KINDS[:2] if kind in kinds]:
            able = [peer for peer in peers if kind in peer.ways]
            turns: dict[str, list[Turn]] = {peer.name: [] for peer in able}
            for number in range(rounds):
                for peer in able if number % 2 == 0 else reversed(able):
                    # A pool of two without concurrency inside does 40 waits a second at best.
                    count = tasks * peer.times if kind == "noop" else tasks // 20 if peer.name == "RQ" else tasks // 2
                    turns[peer.name].append(throughput.turn(stack, peer, kind, count))
                    say(f"{kind}: round {number + 1}, {peer.name}: {turns[peer.name][-1].tasks_per_s:,.0f} tasks/s")
            for name, of in turns.items():
                names = Turn.__dataclass_fields__
                found[name][kind] = {field: asdict(summarise([getattr(each, field) for each in of])) for field in names}
        if "kill" in kinds:
            stack.client.flushall()
            stack.execute(throughput.CLEAR)
            with ThreadPoolExecutor(len(peers)) as beside:
                futures = {
                    peer.name: beside.submit(kill.rounds, stack, peer, list(PEERS).index(peer.name), kill_rounds, say)
                    for peer in peers
                }
                for name, future in futures.items():
                    found[name]["kill"] = kill.as_json(future.result())
    return [
        {
            "name": peer.name,
            "version": peer.version,
            "on_redis": peer.on_redis,
            "settings": {kind: way.settings for kind, way in peer.ways.items()},
            "kept": peer.kept,
            "killed": peer.killed,
            **found[peer.name],
        }
        for peer in peers
    ]


def main() -> None:
    """Parse the flags, run, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="which peers (default: all)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which work (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each peer (default: 3)")
    parser.add_argument("--tasks", type=int, default=4000, help="no-op tasks a turn; half of them that wait")
    parser.add_argument("--kill-rounds", type=int, default=3, help="rounds with kill -9 (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("build/peers.json"), help="where the figures are written")
    flags = parser.parse_args()
    peers = run([PEERS[name] for name in flags.peers], flags.kinds, flags.rounds, flags.tasks, flags.kill_rounds)
    last = json.loads(flags.out.read_text()) if flags.out.exists() else {"peers": [], "runs": {}}
    before = {peer["name"]: peer for peer in last["peers"]}
    this = {
        **run_of(shlex.join(["python", "-m", "benchmarks.peers", *sys.argv[1:]])),
    }
    for peer in peers:
        kept = {kind: before.get(peer["name"], {}).get(kind) for kind in KINDS if kind not in flags.kinds}
        peer |= {kind: figures for kind, figures in kept.items() if figures}
    runs = {**last.get("runs", {}), **dict.fromkeys(flags.kinds, this)}
    document = {"runs": {kind: runs[kind] for kind in KINDS if kind in runs}, "peers": peers}
    print(text(document))
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
