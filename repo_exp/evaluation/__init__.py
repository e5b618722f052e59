"""What was learned, and how sure one can be: statistics, the table of variants, figures, the report."""
