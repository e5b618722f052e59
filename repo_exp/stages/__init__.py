"""The stages: what each reads, does, and leaves in the store."""
