"""What happened: events, their fold into a snapshot, and the journal that keeps them.

Pure Python that imports only `search`, so every viewer can import it in a few milliseconds.
"""
