"""The engine: one process per study, which asks the sampler, launches trials and writes the journal.

run.py        a study from opening to closing: lock, publisher, signals, summary
engine.py     the loop: ask the sampler, launch, receive events, write the journal
ending.py     how observed facts become an outcome, a reason and a sentence
slots.py      which device and how many CPU threads a trial gets
launcher.py   the protocol for what runs trials: submit, events, stop
local.py      the launcher for this machine
forkserver.py its end of the fork server; warm.py is the server, which imports the target once and forks
fresh.py      a trial in a fresh interpreter instead
lifeline.py   ends a trial when its engine ends
memory.py     memory in use, and out-of-memory kills, from the kernel
child.py      the trial's side: runs the target, reports over a pipe; imports nothing of ours
"""
