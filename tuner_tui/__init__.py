"""tuner: hyperparameter searches in the terminal, recorded in MLflow.

The rooms, in the order data passes through them: `search` (what to try), `engine` (making it happen), `study` (what
happened: the journal and its fold), `record` (the copy in MLflow), `analysis` (what it means), `view` (how it is
shown), `report` and `ui` (its two faces). `cli` holds the verbs. Who may import whom is written in pyproject.toml
and tested.
"""

__version__ = "0.1.0"
