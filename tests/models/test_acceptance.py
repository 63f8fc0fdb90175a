"""What the model must achieve on one core: the caption is used, and used for names never seen.

These train for real, through the command line, and are the slowest tests there are. The bounds leave room:
600 steps on shapes were measured at emd2 2.9 to 3.1 where 4.5 is required and at 0.61 to 0.84 recognised where 0.4
is, and as many on emoji at 0.75 of the shuffled loss where 0.92 is. Validations between the first step and the last
are left out.
"""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def trained(*arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "models.train", *arguments, "--set", "report_every=1000"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return json.loads(done.stdout)


def test_the_default_minute_draws_shapes_from_their_captions_alone():
    read = trained("--seed", "0")
    assert read["emd2"] <= 4.5 and read["skill"] >= 0.88
    assert read["emd2_shuffled"] / read["emd2"] >= 10
    assert read["emd2_shape"] <= 25  # 80 when only the ground is known
    assert read["recognised"] >= 0.4  # by chance 1 in 32


def test_captions_help_with_emoji_whose_names_were_never_seen():
    read = trained("--data", "emoji", "--seed", "1")
    assert read["emd2"] <= 0.92 * read["emd2_shuffled"]


def test_without_captions_the_figures_are_those_without_captions():
    unread = trained("--set", "caption_dropout=1", "--steps", "20")
    assert unread["emd2"] == unread["emd2_empty"] and unread["emd2_shuffled"] is None
