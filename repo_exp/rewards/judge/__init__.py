"""What the judges of ``rewards/sources/`` share: the prompt, verdicts, and an endpoint with its failures."""
