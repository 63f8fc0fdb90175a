"""Reports: what a headless sweep prints and writes to files, for people and for other programs.

Every report is made from a snapshot. Importing this package takes a few milliseconds; tables and pictures load
what they need when they are made, and nothing here needs the screen.
"""
