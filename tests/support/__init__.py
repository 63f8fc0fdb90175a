"""What the tests share: studies as values, real sweeps and ways to hurt them, real servers and terminals."""
