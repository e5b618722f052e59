"""The kinds of reward model, one file each: what they learn from, and how a response is laid out for them."""
