"""Telling it: what a headless sweep prints and leaves behind, for people and for other programs.

Everything here is a view of a snapshot. Importing it costs a few milliseconds; tables and pictures load what
they need when they are made, and nothing here ever needs the TUI.
"""
