"""What a snapshot means: pure functions from a Snapshot to a frozen value, one analysis per file."""
