"""`tuner init` looks at a script or a function and writes a search file that works as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tuner_tui.cli import app
from tuner_tui.search.draft import Option, draft, guess, is_hyperparameter, options_of_help, read_output
from tuner_tui.search.file import parse_search
from tuner_tui.search.space import Choice, Float, Int

MNIST = """
import argparse
def main():
    parser = argparse.ArgumentParser(description="the usual example")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--epochs", type=int, default=2, metavar="N")
    parser.add_argument("-l", "--lr", type=float, default=1.0)
    parser.add_argument("--optim.kind", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-cuda", action="store_true")
    parser.add_argument("--save-dir", default="runs")
    options = parser.parse_args()
    for epoch in range(1, options.epochs + 1):
        print(f"Train Epoch: {epoch} [0/60000 (0%)]\\tLoss: {1 / epoch:.6f}")
        print(f"\\nTest set: Average loss: {options.lr / epoch:.4f}, Accuracy: 90/100 (9{epoch}%)\\n")
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def init(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words: str):
        return CliRunner(env={"TUNER_MLRUNS": None}).invoke(app, ["init", *words])

    return run


def test_a_script_becomes_a_search_that_runs_as_it_is(init, tmp_path):
    (tmp_path / "main.py").write_text(MNIST)
    result = init("main.py", "--run")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "tuner.toml").read_text()
    assert text.startswith("#:schema tuner.schema.json\n") and (tmp_path / "tuner.schema.json").is_file()
    search = parse_search(text, str(tmp_path / "tuner.toml"))
    assert search.command == ("python", "main.py", "--seed={seed}", "--save-dir={out}", "{rest}")
    assert search.objective == "test_average_loss" and search.direction == "minimize"
    assert search.space.names == ("batch-size", "lr", "optim.kind")
    assert "# epochs  # default: 2" in text and "# no-cuda" in text
    swept = CliRunner(env={"TUNER_MLRUNS": None}).invoke(
        app, ["sweep", "--headless", "--trials", "2", "--no-color"]
    )
    assert swept.exit_code == 0, swept.output
    assert swept.output.count("● finished") == 2


def test_nothing_is_run_or_overwritten_unasked(init, tmp_path):
    (tmp_path / "main.py").write_text(MNIST + "    open('ran', 'w')\n")
    assert init("main.py").exit_code == 0  # no terminal to ask on
    assert not (tmp_path / "ran").exists()
    assert "# pattern = 'epoch" in (tmp_path / "tuner.toml").read_text()
    with pytest.raises(Exception, match="is there already; give another name with --to, or --force"):
        CliRunner().invoke(app, ["init", "main.py"], catch_exceptions=False)
    assert init("main.py", "--force", "--run").exit_code == 0
    assert (tmp_path / "ran").exists()


def test_a_function_is_known_by_its_parameters(init, tmp_path):
    (tmp_path / "train.py").write_text(
        "def fit(*, lr=1e-3, width=64, momentum=0.9, nesterov=False, steps=100, data='x', seed=0, out='', report):\n"
        "    report(lr * width)\n"
    )
    assert init("train:fit").exit_code == 0
    search = parse_search((tmp_path / "tuner.toml").read_text(), str(tmp_path / "tuner.toml"))
    assert search.target == "train:fit" and search.space.names == ("lr", "width", "momentum")
    by_name = {h.name: h.distribution for h in search.space}
    assert by_name["lr"] == Float(3e-5, 0.03, log=True) and by_name["width"] == Int(16, 256, log=True)


@pytest.mark.parametrize(
    ("what", "expected"),
    [("none.py", "no such script"), ("none:fit", "can't be imported"), ("bare.py", "no options found")],
)
def test_what_can_not_be_looked_at_is_refused(tmp_path, monkeypatch, what, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.py").write_text("print('no options here')\n")
    with pytest.raises(Exception, match=expected):
        CliRunner().invoke(app, ["init", what], catch_exceptions=False)
    assert not (tmp_path / "tuner.toml").exists()


CLICK = """
Usage: train.py [OPTIONS]

Options:
  --lr FLOAT            learning rate  [default: 0.1]
  --depth INTEGER       [default: 3]
  --kind [a|b]          which one
  --fast / --no-fast    [default: no-fast]
  --help                Show this message and exit.
"""


def test_the_help_of_other_parsers_is_read():
    found = {option.name: option for option in options_of_help(CLICK)}
    assert (found["lr"].kind, found["lr"].default) == ("float", 0.1)
    assert (found["depth"].kind, found["depth"].default) == ("int", 3)
    assert "help" not in found and "fast" in found


@pytest.mark.parametrize(
    ("output", "objective", "maximize"),
    [
        ("epoch 1 loss 0.5\nepoch 2 loss 0.4\n", "loss", False),
        ("Epoch 3/10 - train_loss: 0.5 - val_loss: 0.61 - val_acc: 0.7\n", "val_loss", False),
        ("step=10 acc=0.3\nstep=20 acc=0.4\n", "acc", True),
        ('{"step": 1, "loss": 0.5, "eval/loss": 0.6}\n', "eval/loss", False),
        ("[2024-01-01 10:00:00] iter 100: loss 4.2, time 20ms\n", "loss", False),
        ("\x1b[32mEpoch 1\x1b[0m: 10%|#| 1/9 [00:01, loss=0.5]\rEpoch 1: 90%|##| loss=0.4]\n", "loss", False),
    ],
)
def test_how_a_loss_is_printed_is_found(output, objective, maximize):
    from tuner_tui.trial.readings import JsonLines, Patterns

    printed = read_output(output)
    assert printed is not None and (printed.objective, printed.maximize) == (objective, maximize)
    reader = JsonLines() if printed.json else Patterns(printed.patterns)
    readings = [r for line in output.replace("\r", "\n").splitlines() for r in reader.read(line)]
    assert readings and all(objective in reading for reading in readings)


@pytest.mark.parametrize("output", ["", "hello\n", "100% done in 3 s\n", "{}\n", "loss\n"])
def test_where_no_loss_is_printed_none_is_made_up(output):
    assert read_output(output) is None


def test_guesses_are_valid_and_near_the_default():
    options = [
        Option("lr", "float", 0.01), Option("batch", "int", 8), Option("dropout", "float", 0.5),
        Option("beta2", "float", 0.999), Option("act", "str", "relu", ("relu", "gelu")),
        Option("nesterov", "flag", False), Option("weight_decay", "float", 0.0), Option("hidden-size", "int", 512),
    ]  # fmt: skip
    search = parse_search(draft(options, target="t:t"), "x.toml")
    assert isinstance({h.name: h.distribution for h in search.space}["lr"], Float)
    assert guess(options[6]) is None
    assert [o.name for o in options if is_hyperparameter(o)][:3] == ["lr", "batch", "dropout"]
    assert Choice(("relu", "gelu")) not in [
        h.distribution for h in search.space
    ]  # `act` is a guess, so a comment


def test_check_shows_what_the_first_trials_would_run(init, tmp_path):
    (tmp_path / "main.py").write_text(MNIST)
    assert init("main.py", "--no-run").exit_code == 0
    shown = CliRunner().invoke(app, ["check", "--draw", "1"]).output
    assert "python main.py --seed=" in shown and "--save-dir=TRIALS/0/out --batch-size=" in shown
