"""The screen: a viewer of studies in the terminal.

It reads sources and writes requests, nothing else: no trial runs here and no engine is imported. The functions
that start an engine (`launch`, `resume`) are passed in. So the first paint waits only for Textual, and closing
the screen does not affect a sweep.
"""
