"""One frozen backbone in memory, and everything that is a LoRA adapter on it."""
