"""tuner: hyperparameter searches in the terminal, recorded in MLflow.

The packages, in the order data passes through them: `search` (what to try), `engine` (running it), `study` (what
happened: the journal and its fold), `record` (publishing to MLflow), `analysis` (what it means), `view` (how it is
shown), `report` and `ui` (the outputs). `cli` has the commands. The allowed imports are listed in pyproject.toml and
checked.
"""

__version__ = "0.1.0"
