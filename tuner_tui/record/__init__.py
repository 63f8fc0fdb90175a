"""Remembering it: the journal's copy in MLflow, and reading it back. The one door to mlflow.

    uri.py        which MLflow: decided without importing it
    progress.py   how far the copy has got: the publisher's notebook, read by viewers
    names.py      names and values MLflow takes
    plan.py       events -> what has to be written to which run; pure
    errors.py     what MLflow's errors mean: away, refused, vanished
    opening.py    a client, on a database that is made and migrated once
    store.py      finding, making and writing runs
    uploads.py    a trial's files -> artifacts
    publish.py    one publisher: journal -> plan -> store, at least once
    lifeline.py   how a publisher learns that its engine is gone
    publisher.py  the publisher as a process; `publish` for `tuner publish`
    reader.py     what is recorded of a study
    ui.py         the MLflow UI on the store

Only opening and store import mlflow, and only when something is called.
"""
