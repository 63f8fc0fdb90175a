"""The grid as PNG and SVG: real files, read back."""

import numpy as np
import pytest
from PIL import Image
from support import studies

from tuner_tui.view.picture import save_picture


def test_png_is_a_picture_with_all_three_colours(tmp_path):
    save_picture(studies.seed_snapshot(), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.width > 800 and image.height > 600
        r, g, b = np.moveaxis(np.asarray(image.convert("RGB"), dtype=int), 2, 0)
    blue = (b > 180) & (r < 120)
    orange = (r > 220) & (g > 100) & (g < 170) & (b < 60)
    red = (r > 180) & (g < 140) & (b < 140)
    assert min(blue.sum(), orange.sum(), red.sum()) > 200


def test_svg_names_every_hyperparameter_and_counts_every_outcome(tmp_path):
    save_picture(studies.seed_snapshot(running=2), tmp_path / "grid.svg")
    text = (tmp_path / "grid.svg").read_text()
    for name in (*studies.SEED_SPACE.names, *studies.SEED_SPACE.groups):
        assert f">{name}<" in text
    for words in ("100 finished", "10 unfinished", "130 never started", "2 running", "best 0.42"):
        assert words in text


def test_the_same_study_gives_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        save_picture(studies.small_snapshot(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_there_are_as_many_panels_as_hyperparameters_and_no_empty_ones(tmp_path):
    save_picture(studies.seed_snapshot(), tmp_path / "grid.svg")
    assert (tmp_path / "grid.svg").read_text().count('<g id="axes_') == len(studies.SEED_SPACE)


@pytest.mark.parametrize("name", studies.ODD)
def test_odd_studies_have_pictures(name, tmp_path):
    save_picture(studies.ODD[name](), tmp_path / "grid.svg")
    assert (tmp_path / "grid.svg").stat().st_size > 1000


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        save_picture(studies.small_snapshot(), tmp_path / "grid.jpg")
