"""The agents that are evaluated: policies, and anything else that plays episodes."""
