"""What to try: a search file becomes a `Search`, a sampler draws trials from its space.

`space` and `search` are plain values every room may use; `file` reads and validates TOML; `sampler` is the
one door to optuna.
"""
