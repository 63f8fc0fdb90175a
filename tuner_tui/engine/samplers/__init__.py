"""The samplers, one way of drawing per file; ../sampler.py makes the one that a search names."""
