"""What each stage reads, does, and leaves in the store."""
