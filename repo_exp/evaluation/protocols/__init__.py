"""How agents are evaluated: which episodes they play, and what is measured of them."""
