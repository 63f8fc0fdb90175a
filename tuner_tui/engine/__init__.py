"""Running a study: one process per study asks the sampler, launches trials and writes the journal.

run.py        a study from opening to closing: lock, publisher, signals, summary
engine.py     the loop: ask the sampler, launch, receive events, write the journal
ending.py     how observed facts become an outcome, a reason and a sentence
slots.py      which device and how many CPU threads a trial gets
launcher.py   the protocol for what runs trials: submit, events, stop
local.py      the launcher for this machine
forkserver.py its end of the fork server; warm.py is the server, which imports the target once and forks
fresh.py      a trial in an interpreter of its own instead
lifeline.py   ends trials when the engine dies
memory.py     what the kernel says about memory
child.py      the trial's side: runs the target, reports over a pipe; imports nothing from tuner
"""
