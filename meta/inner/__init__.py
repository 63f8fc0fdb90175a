"""The inner training: its steps, its first weights, and the same steps in integers that can be undone."""
