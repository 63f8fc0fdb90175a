"""A soak: studies that run while their processes are killed and stopped, disks fill and databases lock, and the
checks of what they say afterwards. `make soak`, or `PYTHONPATH=tests python -m soak --seed 1 --minutes 15`."""
