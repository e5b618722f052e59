"""Shared by the judges of ``rewards/sources/``: the prompt, verdicts, and an endpoint with its failures."""
