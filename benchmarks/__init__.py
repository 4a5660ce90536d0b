"""Side-by-side measurements: ours, the peer, the ratio, and what limits ours, all from one run."""
