"""What a reply is worth: rules, a rubric that a judge answers, a reward model, and how they join."""
