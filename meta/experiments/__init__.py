"""The experiments of the lab notebook as trials: each a generator of measurements that leaves pictures in `out`.

`tuner sweep NAME` runs the search of that name; `python -m meta.experiments NAME` one trial with its defaults. What
was found is in docs/experiments.md.
"""
