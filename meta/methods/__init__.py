"""Methods to compute a hypergradient, one per file. Each is a dataclass of options, called with runs and parts.

slope = Tape()(inner, parts)
"""
