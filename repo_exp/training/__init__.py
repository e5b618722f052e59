"""The training loops: they move data between sampling, scoring, credit and optimizer. No formula lives here."""
