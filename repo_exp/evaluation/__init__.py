"""The evaluation: agents, protocols, statistics, the table of variants, figures, the report."""
