"""The task: masks, the pixels that are scored, losses, and the exam that compares models."""
