"""Rewards: sources that score trajectories, and combiners that make one number of their scores. No torch."""
