"""Coverage-guided fuzzing of all that people, programs and disks hand to tuner. `make fuzz` runs it; the tests run
each target over the corpora that it has left in `corpus/`."""
