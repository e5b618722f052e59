"""The loops: what moves data between sampling, scoring, credit and optimiser. No formula lives here."""
