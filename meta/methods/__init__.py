"""The ways to a hypergradient, one a file. Each is a small value with its options, called with runs and parts.

slope = Tape()(inner, parts)
"""
