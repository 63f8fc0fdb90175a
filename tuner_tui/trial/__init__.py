"""The trial's side: what runs in the user's own interpreter. Standard library only, Python 3.9 or later.

start.py      where it begins: run by its path, so nothing of ours has to be installed there
warm.py       the fork server: imports the target once, then forks a process per trial
fresh.py      a trial in a fresh interpreter
child.py      calls the target and reports how it ended
optuna_trial.py what an Optuna objective is called with
pipe.py       the connection to the engine: measurements and last words, as lines of JSON
options.py    finds out which options a script takes
script.py     runs a command and reads measurements from what it prints or writes
readings.py   what counts as a measurement in a line, a CSV file, a file of TensorBoard events
lifeline.py   ends a trial when its engine ends
"""
