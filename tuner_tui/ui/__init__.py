"""The screen: a viewer of studies in the terminal.

It reads journals and writes requests, nothing else: no trial runs here and no engine is imported. What starts
an engine (`launch`, `resume`) is handed in. So the first paint waits for Textual alone, and closing the screen
costs a sweep nothing.
"""
