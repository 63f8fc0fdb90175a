"""What happened: events, their fold into a snapshot, and the journal that keeps them.

Pure Python. Imports no other room of ours, so every viewer can use it at the price of a few milliseconds.
"""
