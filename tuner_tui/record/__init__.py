"""Remembering it: the journal's copy in MLflow, and reading it back. The one door to mlflow.

    uri.py        which MLflow: decided without importing it
    progress.py   how far the copy has got: the publisher's notebook, read by viewers
    names.py      names and values MLflow takes
    plan.py       events -> what has to be written to which run; pure
    store.py      the MLflow client, what its errors mean, the first migration
    uploads.py    a trial's files -> artifacts
    publish.py    one publisher: journal -> plan -> store, at least once
    publisher.py  the publisher as a process; `publish` for `tuner publish`
    reader.py     what is recorded of a study
    ui.py         the MLflow UI on the store

Only store, reader and ui import mlflow, and only when something is called.
"""
