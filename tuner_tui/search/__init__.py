"""What to try: a search file is read and validated and becomes a `Search`.

`space` and `search` are plain values that every room may use; `file` reads TOML.
"""
