"""Peers live in an environment of their own (`make independent`); where one is missing its comparisons are left out."""

from importlib.util import find_spec

PEERS = {"test_trl_*.py": "trl", "test_stable_baselines3.py": "stable_baselines3"}
collect_ignore_glob = [files for files, peer in PEERS.items() if find_spec(peer) is None]
