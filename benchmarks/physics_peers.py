"""Many physics: how well do dino and its peers forecast environments that none of them learned from?

CoDA's Lotka-Volterra and Gray-Scott and TTG's Combined equation, all methods on the same data. Seconds are of this
process's own processor time on one thread, which other programs do not change much. Results of systems and peers that
are not run now stay in the file.

    python benchmarks/physics_peers.py --json benchmarks/results/physics_peers.json
    python benchmarks/physics_peers.py --systems combined --peers dino,opinf --test-trajectories 8
"""

import argparse
import json
from pathlib import Path

import torch
from peers.base import UnsuitableTaskError
from peers.physics import PEERS, make
from peers.physics.protocols import PROTOCOLS, run

SECONDS = 480.0  # of training for every peer that learns by gradients


def main() -> None:
    """Score peers on systems and write after each of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--systems", default=",".join(PROTOCOLS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of training by gradients")
    parser.add_argument("--test-trajectories", type=int, help="fewer than all (Combined: than 64 of each split)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for system in options.systems.split(","):
        most = [] if options.test_trajectories is None else [options.test_trajectories]
        protocol = PROTOCOLS[system](*most)
        for name in options.peers.split(","):
            try:
                peer = make(name, system, options.seconds)
                result = run(peer, protocol)
            except UnsuitableTaskError as error:
                result = {"refused": str(error)}
            print(system, name, json.dumps(result), flush=True)
            results.setdefault(system, {})[name] = result
            if options.json:
                options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
