"""Metrics of a run while it runs: JSONL always, W&B (offline unless there is a key) by default."""
