"""The copy of the journal in MLflow. The only room that imports mlflow.

    uri.py        which MLflow: decided without importing it
    names.py      maps names and values to ones that MLflow accepts
    plan.py       events -> what has to be written to which run; pure
    errors.py     what MLflow's errors mean: away, refused, vanished
    opening.py    a client, on a database that is made and migrated once
    store.py      finding, making and writing runs
    uploads.py    a trial's files -> artifacts
    publish.py    one publisher: journal -> plan -> store, at least once
    lifeline.py   how a publisher notices that its engine has ended
    publisher.py  the publisher as a process; `publish` for `tuner publish`
    ui.py         the MLflow UI on the store

Only opening and store import mlflow, and only when something is called.
"""
