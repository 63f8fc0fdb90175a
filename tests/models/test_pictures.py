"""The pictures that training leaves: what they show, where, and that a reader never meets half a file."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from models.config import Config
from models.drawing import pictures
from models.network.model import CaptionModel
from models.noise import Noise

CAPTIONS = tuple(f"a picture number {n}" for n in range(9))


@pytest.fixture(scope="module")
def model() -> CaptionModel:
    torch.manual_seed(0)
    return CaptionModel(Config.of({"size": 16, "convnet.depth": 8, "convnet.profundity": 2}), 10)


def some(count: int = 9, side: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Images of noise, half of each hidden, and their captions."""
    images = Noise.at(0, 0).below("images", 256, count, 3, side, side).byte()
    given = torch.ones_like(images, dtype=torch.bool)
    given[..., side // 2 :] = False
    return images, given, torch.full((count, 2), 3)


def array(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_an_exam_leaves_a_sheet_and_a_preview_and_nothing_else(model, tmp_path):
    pictures.draw_exam(model, *some(), CAPTIONS, tmp_path / "new" / "out", seed=3)
    left = tmp_path / "new" / "out"
    assert sorted(p.name for p in left.iterdir()) == ["completions.png", "preview.png"]
    assert array(left / "completions.png").shape[2] == 3


def test_the_preview_is_what_its_reader_expects(model, tmp_path):
    """Rows of [masked | completed | truth], one pixel for one and one between; captions and side in the text."""
    images, given, tokens = some()
    pictures.draw_exam(model, images, given, tokens, CAPTIONS, tmp_path)
    with Image.open(tmp_path / "preview.png") as picture:
        text = picture.info
    assert json.loads(text["captions"]) == list(CAPTIONS[:4]) and text["side"] == "16"
    page = array(tmp_path / "preview.png")
    assert page.shape == (4 * 17 - 1, 3 * 17 - 1, 3)
    for row in range(4):
        masked, completed, truth = (page[row * 17 :][:16, c * 17 :][:, :16] for c in range(3))
        known, pixels = (x[row].permute(1, 2, 0).numpy() for x in (given, images))
        assert (truth == pixels).all()
        assert (completed[known] == pixels[known]).all()
        assert (masked[known] == pixels[known]).all()
        assert {*masked[~known].tolist()} == {*pictures.HOLE}
        assert (completed[:, 8:] != masked[:, 8:]).any()
    assert (page[16] == page[16, 0, 0]).all() and (page[:, 16] == page[16, 0, 0]).all()


def test_fewer_images_than_rows(model, tmp_path):
    for count in (1, 3):
        pictures.draw_exam(model, *some(count), CAPTIONS[:count], tmp_path)
        assert array(tmp_path / "preview.png").shape[0] == count * 17 - 1


@pytest.mark.parametrize("side", [8, 24, 32, 64, 100, 256])
def test_the_sheet_shows_every_pixel_enlarged_by_a_whole_number(side):
    images, given, _ = some(2, side)
    page = np.asarray(pictures.sheet(images, given, {"median": images}, CAPTIONS[:2]))
    zoom = -(-112 // side)
    big, g = side * zoom, pictures.GAP
    assert 112 <= big <= 256
    top, truth = 2 * g + pictures.TEXT, g + 2 * (big + g)
    assert (page[top:, truth:][:big:zoom, :big:zoom] == images[0].permute(1, 2, 0).numpy()).all()
    hole = page[top:, g:][:big, big // 2 : big]
    assert {*hole.flatten().tolist()} == {*pictures.HOLE}
    check = pictures.CHECK
    assert (hole[0, 0] != hole[0, check]).all() and (hole[0, 0] == hole[check, check]).all()


def test_columns_are_named_and_captions_written():
    """Ink where a word should be, and none where nothing was said."""
    images, given, _ = some(2)
    page = np.asarray(pictures.sheet(images, given, {"median": images}, ("a word", "")))
    paper = page[0, 0]
    g, top, big = pictures.GAP, 2 * pictures.GAP + pictures.TEXT, 112
    for column in range(3):
        assert (page[g : g + pictures.TEXT, g + column * (big + g) :][:, :big] != paper).any()
    words = page[top:, 2 * g + 3 * (big + g) :]
    assert (words[:big] != paper).any() and (words[big + g :] == paper).all()


@given(
    text=st.one_of(
        st.text(), st.text("ab ", max_size=300), st.text(st.characters(categories=["Cs", "Lo", "So"]))
    ),
    width=st.integers(30, 300),
    lines=st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_wrapped_into_its_place(text, width, lines):
    font = pictures._font()
    rows = pictures.wrap(text, font, width, lines).split("\n")
    assert len(rows) <= lines
    assert all(font.getlength(row) <= width for row in rows)
    assert all(c.isprintable() for row in rows for c in row)
    if not rows[-1].endswith("…"):  # then nothing is lost
        said = text.encode("utf-8", "replace").decode()
        assert "".join(rows).replace(" ", "") == "".join(c for c in said if c.isprintable() and c != " ")


STRANGE = {
    "foreign": "漢字 🦄 עברית",
    "surrogate": "\ud800",
    "control": "a\nb\x00\x1b[31m",
    "empty": "",
    "one word": "word" * 5000,
    "long": "w " * 5000,
}


@pytest.mark.parametrize("caption", STRANGE.values(), ids=STRANGE)
def test_no_caption_stops_a_picture(caption, model, tmp_path):
    pictures.draw_exam(model, *some(1), [caption], tmp_path)
    with Image.open(tmp_path / "preview.png") as picture:
        assert json.loads(picture.info["captions"]) == [caption]


def test_without_matplotlib_there_is_still_a_font(monkeypatch):
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    images, given, _ = some(1)
    pictures.sheet(images, given, {}, ["Ein Wort, ein Bild — 漢字"])


def test_who_reads_while_we_write_finds_a_whole_picture(tmp_path):
    """A thread reads as fast as it can while the file is replaced forty times."""
    images, given, _ = some(8)
    page, path = pictures.sheet(images, given, {"median": images}, CAPTIONS[:8]), tmp_path / "completions.png"
    pictures._write(path, page)
    done, seen, broken = threading.Event(), 0, []

    def read():
        nonlocal seen
        while not done.is_set():
            try:
                array(path)
                seen += 1
            except (OSError, SyntaxError) as e:
                broken.append(e)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(40):
        pictures._write(path, page)
    done.set()
    reader.join()
    assert seen > 10 and not broken


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_picture(model, tmp_path):
    pictures.draw_exam(model, *some(1), CAPTIONS[:1], tmp_path)
    before = (tmp_path / "completions.png").read_bytes()
    (tmp_path / ".completions.png.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        pictures.draw_exam(model, *some(1), CAPTIONS[:1], tmp_path, seed=1)
    assert (tmp_path / "completions.png").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["completions.png", "preview.png"]


def test_the_same_seed_leaves_the_same_pictures(model, tmp_path):
    sheets = []
    for n, seed in enumerate((1, 1, 2)):
        pictures.draw_exam(model, *some(), CAPTIONS, tmp_path / str(n), seed)
        sheets.append(array(tmp_path / str(n) / "completions.png"))
    assert (sheets[0] == sheets[1]).all() and (sheets[0] != sheets[2]).any()
