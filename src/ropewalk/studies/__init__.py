"""Studies: from a recipe to runs, from runs to tables, from tables to a report."""
