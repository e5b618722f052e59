"""What a run tells about itself while it runs: JSONL always, W&B (offline unless a key is there) by default."""
