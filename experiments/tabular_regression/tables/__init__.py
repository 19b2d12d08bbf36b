"""Any table of numbers: one column is told from the others."""
