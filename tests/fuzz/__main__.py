"""Fuzz one target, or each in turn, for some minutes in all; keep the inputs that reach new code.

    PYTHONPATH=tests python -m fuzz [--minutes 10] [TARGET ...]

Needs atheris (`pip install atheris`). A crash is kept in corpus/TARGET/ too, where the tests find it until it is
mended.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
LONGEST = 4096  # bytes of an input


def fuzz(target: str, seconds: int) -> int:
    """In a process of its own, which libFuzzer ends; its exit code."""
    kept = CORPUS / target
    with tempfile.TemporaryDirectory() as found:
        ran = subprocess.run(
            [sys.executable, __file__, "--inside", target, found, str(kept), f"-max_total_time={seconds}",
             f"-max_len={LONGEST}", f"-artifact_prefix={kept}/crash-", "-timeout=20", "-print_final_stats=1"]
        )  # fmt: skip
        for new in Path(found).iterdir():  # libFuzzer's own merge starts processes that know no target
            shutil.copy(new, kept)
    return ran.returncode


def inside(arguments: list[str]) -> None:
    import atheris  # type: ignore[import-not-found]

    sys.path.insert(0, str(Path(__file__).parents[1]))
    with atheris.instrument_imports(include=["tuner_tui"]):
        from fuzz.targets import TARGETS
    target = TARGETS[arguments[0]]
    atheris.Setup([sys.argv[0], *arguments[1:]], target)
    atheris.Fuzz()


def main() -> int:
    from .targets import TARGETS, seeds

    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    for name, inputs in seeds().items():
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (CORPUS / name / f"seed-{number}").write_bytes(data)
    failed = [
        name for name in given.targets if fuzz(name, max(1, int(60 * given.minutes / len(given.targets))))
    ]
    print(f"faults in: {', '.join(failed)}" if failed else "no faults")
    return bool(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
    else:
        sys.exit(main())
