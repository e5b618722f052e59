"""From prompts to trajectories: an engine samples completions, the collector lets them meet environments."""
