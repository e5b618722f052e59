"""Who is evaluated: policies, and anything else that plays episodes."""
