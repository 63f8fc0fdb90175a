"""The engine: one process per study, which asks the sampler, launches trials and writes the journal.

run.py        a study from opening to closing: lock, publisher, signals, summary
engine.py     the loop: ask the sampler, launch, receive events, write the journal
ending.py     how observed facts become an outcome, a reason and a sentence
slots.py      which device and how many CPU threads a trial gets
launcher.py   the protocol for what runs trials: submit, events, stop
local.py      the launcher for this machine
forkserver.py its end of the fork server, whose own side is trial/warm.py
interpreter.py which Python runs the trials
looking.py    what options a script takes and what it prints, before there is a search
breaker.py    when a study whose trials can't tell anything is stopped
memory.py     memory in use, and out-of-memory kills, from the kernel
"""
