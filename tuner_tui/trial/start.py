"""Where the trial's side begins: the engine runs this file by its path, in the interpreter that the search names.

It makes its folder importable as the package `tuner_trial`, so that nothing of ours has to be installed there, and
no name of ours (such as `child`) can hide a module of the user.

    python start.py warm SOCKET LIFELINE FIRST_MESSAGE     the fork server (warm.py)
    python start.py fresh PIPE LIFELINE                    one trial (fresh.py)
"""

import importlib
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would be imported for nothing
PACKAGE = "tuner_trial"


def load():
    """Make `tuner_trial` importable, and take this folder off the path where running a file has put it."""
    if sys.path and os.path.abspath(sys.path[0] or ".") == HERE:  # noqa: PTH100
        del sys.path[0]
    initial = os.path.join(HERE, "__init__.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location(PACKAGE, initial, submodule_search_locations=[HERE])
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load()
    room, *rest = sys.argv[1:]
    del sys.argv[1:]  # a target that parses its command line must not find ours
    importlib.import_module(f"{PACKAGE}.{room}").main(rest)
