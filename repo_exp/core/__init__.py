"""The mathematics: pure functions on numbers and tensors. Legend: B replies, T tokens of a reply, V vocabulary."""
