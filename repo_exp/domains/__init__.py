"""Tasks: prompts, demonstrations, pairs, labels, environments. A folder is a domain; ``own_data`` reads your files."""
