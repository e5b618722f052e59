"""The kinds of reward model, one file each: what they are trained on, and how a response is laid out for them."""
