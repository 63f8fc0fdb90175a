"""Any folder of images with captions: read as a person would, and nothing wrong passes in silence."""

import csv
import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.config import Config
from models.data import load
from models.data.decode import square
from models.data.problems import Kind, Problem, settle

SIDE = 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def paint(path, colour=(200, 30, 30), size=(20, 20), **saved):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **saved)


def many(folder, n=30, start=0):
    """n images of different greys, and their lines of metadata."""
    rows = []
    for i in range(start, start + n):
        paint(folder / f"{i:03}.png", (i, i, i))
        rows.append({"file_name": f"{i:03}.png", "text": f"grey number {i}"})
    return rows


def jsonl(folder, rows, name="metadata.jsonl"):
    (folder / name).write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows))


def loaded(root, say=lambda s: None, **hypers):
    return load(Config.of({"data": str(root), "size": SIDE, **hypers}), say=say)


def captions_of_greys(side):
    """{grey: its captions}: that images and captions are still together."""
    return {
        int(image[0, 5, 5]): set(side.captions[first : first + count])
        for image, first, count in zip(side.images, side.first.tolist(), side.count.tolist(), strict=True)
    }


# Layouts


def test_jsonl(root):
    jsonl(root, many(root))
    data = loaded(root)
    assert len(data.train) + len(data.valid) == 30
    both = captions_of_greys(data.train) | captions_of_greys(data.valid)
    assert both == {i: {f"grey number {i}"} for i in range(30)}


def test_csv_with_several_rows_for_an_image_and_another_column(root):
    many(root, 12)
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8-sig") as file:  # as Excel writes it
        rows = csv.writer(file)
        rows.writerow(["file_name", "caption", "width"])
        for i in range(12):
            rows.writerow([f"{i:03}.png", f'a "quoted",\nbroken line {i}', 20])
            rows.writerow([f"./{i:03}.png", f"another of {i}", 20])
    data = loaded(root, **{"data.caption_column": "caption"})
    both = captions_of_greys(data.train) | captions_of_greys(data.valid)
    assert both[3] == {'a "quoted",\nbroken line 3', "another of 3"}
    assert len(both) == 12


def test_a_list_of_captions(root):
    rows = many(root, 5)
    rows[2]["text"] = ["one of two", "two of two"]
    jsonl(root, rows)
    data = loaded(root)
    assert (captions_of_greys(data.train) | captions_of_greys(data.valid))[2] == {"one of two", "two of two"}


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_train_and_validation_with_metadata_of_their_own(root, name):
    for part, start in (("train", 0), (name, 100)):
        (root / part).mkdir()
        jsonl(root / part, many(root / part, 6, start))
    data = loaded(root, valid_images=4)
    assert set(captions_of_greys(data.train)) == set(range(6))
    assert len(data.valid) == 4 and set(captions_of_greys(data.valid)) <= set(range(100, 106))


def test_one_metadata_that_names_both_folders(root):
    train, valid = many(root / "train", 6), many(root / "validation", 3, 100)
    rows = [r | {"file_name": f"train/{r['file_name']}"} for r in train]
    rows += [r | {"file_name": f"validation/{r['file_name']}"} for r in valid]
    jsonl(root, rows)
    data = loaded(root)
    assert set(captions_of_greys(data.train)) == set(range(6))
    assert set(captions_of_greys(data.valid)) == {100, 101, 102}


def test_text_beside_each_image_in_subfolders_too(root):
    for i in range(10):
        paint(root / f"kind{i % 2}" / f"{i}.JPG", (i * 10,) * 3, quality=95)
        (root / f"kind{i % 2}" / f"{i}.txt").write_text(f"first of {i}\n\n second of {i} \n")
    (root / "README.txt").write_text("not a caption")
    paint(root / ".hidden.png")
    said = []
    data = loaded(root, said.append)
    assert len(data.train) + len(data.valid) == 10
    both = captions_of_greys(data.train) | captions_of_greys(data.valid)
    assert {frozenset(c) for c in both.values()} == {
        frozenset({f"first of {i}", f"second of {i}"}) for i in range(10)
    }
    assert any("1 .txt files" in s and "README.txt" in s for s in said)


def test_a_home_folder(root, monkeypatch):
    jsonl(root, many(root, 4))
    monkeypatch.setenv("HOME", str(root.parent))
    assert len(loaded("~/pictures").train) == 2


def test_the_split_is_the_same_again_and_another_with_another_seed(root):
    jsonl(root, many(root, 60))
    greys = [set(captions_of_greys(loaded(root, split_seed=s).valid)) for s in (0, 0, 1)]
    assert greys[0] == greys[1] != greys[2]


def test_two_images_are_enough_and_one_is_not(root):
    rows = many(root, 2)
    jsonl(root, rows)
    data = loaded(root)
    assert len(data.train) == len(data.valid) == 1
    (root / "001.png").unlink()
    jsonl(root, rows[:1])
    with pytest.raises(ValueError, match="at least one of each is needed"):
        loaded(root)


# Refusals that no skipping helps


def test_no_folder_and_a_file(root):
    with pytest.raises(
        ValueError, match=r"neither emoji nor shapes, and the folder .*/nowhere does not exist"
    ):
        loaded(root / "nowhere")
    (root / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        loaded(root / "file")
    with pytest.raises(ValueError, match=r"data.source = '~nobody-of-this-name/x'"):
        loaded("~nobody-of-this-name/x")


def test_a_folder_without_captions_says_what_was_looked_for(root):
    many(root, 3)
    with pytest.raises(ValueError) as error:
        loaded(root)
    for looked_for in (
        "metadata.jsonl",
        "metadata.csv",
        "captions_*.json",
        "train/",
        ".txt",
        "3 images",
        str(root),
    ):
        assert looked_for in str(error.value)


@pytest.mark.parametrize("bad", ["refuse", "skip"])
def test_a_wrong_column_names_those_there_are(root, bad):
    rows = [{"file_name": r["file_name"], "caption": r["text"], "width": 20} for r in many(root, 3)]
    jsonl(root, rows)
    with pytest.raises(
        ValueError,
        match=r"no column 'text' of captions; give .*_column = 'caption'.*: caption, width",
    ):
        loaded(root, **{"data.bad": bad})
    jsonl(root, [{"image": "a.png", "text": "x"}])
    with pytest.raises(ValueError, match=r"no column 'file_name', which names the image; it has image, text"):
        loaded(root, **{"data.bad": bad})


def test_a_csv_that_is_none(root):
    (root / "metadata.csv").write_bytes(b"file_name,text\na.png,caf\xe9\n")
    with pytest.raises(ValueError, match=r"metadata.csv is not UTF-8.*save it as UTF-8"):
        loaded(root)
    (root / "metadata.csv").write_text("")
    with pytest.raises(ValueError, match=r"metadata.csv has no line"):
        loaded(root)
    (root / "metadata.csv").write_text("file_name,text\na.png," + "x" * 200_000)
    with pytest.raises(ValueError, match=r"metadata.csv can't be read as CSV"):
        loaded(root)


def test_two_that_claim_the_same(root):
    jsonl(root, many(root, 3))
    (root / "metadata.csv").write_text("file_name,text\n")
    with pytest.raises(ValueError, match="put the other away"):
        loaded(root)


# Problems: refused by name, or left out and told


def broken(root):
    """A folder with one of everything that can be wrong, beside 20 good images."""
    rows = many(root, 20)
    (root / "text.png").write_text("I am no image")
    (root / "empty.png").write_bytes(b"")
    paint(root / "cut.jpg", size=(300, 300))
    (root / "cut.jpg").write_bytes((root / "cut.jpg").read_bytes()[:900])
    Image.fromarray(np.zeros((8, 8), np.float32)).save(root / "float.tif")
    paint(root / "unlisted.png")
    paint(root / "silent.png")
    names = ["text.png", "empty.png", "cut.jpg", "float.tif", "gone.png"]
    rows += [{"file_name": n, "text": "some words"} for n in names]
    rows += [{"file_name": "silent.png", "text": " ... "}, {"file_name": "silent.png", "text": None}]
    rows += ["{broken\n", "\n", "[1, 2]\n", '{"file_name": "000.png"}\n', '{"file_name": 7, "text": "x"}\n']
    rows += ['{"file_name": "000.png", "text": 7}\n', '{"file_name": "' + "long" * 100 + '", "text": "x"}\n']
    jsonl(root, rows)
    return root


LISTED = [
    r"missing files: 2",
    r"gone.png: listed in metadata.jsonl",
    r"empty captions: 2",
    r"metadata.jsonl:26: ' ... ', of silent.png",
    r"metadata.jsonl:27: None, of silent.png",
    r"images without a caption: 1",
    r"unlisted.png: it is not in metadata.jsonl",
    r"malformed entries: 5",
    r"metadata.jsonl:28: is not JSON: Expecting property name",
    r"metadata.jsonl:30: is not a JSON object",
    r"metadata.jsonl:31: has no 'text', only file_name",
    r"metadata.jsonl:32: file_name is 7, no file's name",
    r"metadata.jsonl:33: text is 7, no text",
]
DECODED = [
    r"images that can't be decoded: 4",
    r"text.png: it is not a readable image",
    r"empty.png: it is not a readable image",
    r"cut.jpg: .*truncated",
    r"float.tif: its intensities are floating-point numbers of unknown range; save it with 8 bits",
]


def test_bad_ones_are_refused_by_name(root):
    with pytest.raises(ValueError) as error:
        loaded(broken(root))
    for line in LISTED:
        assert re.search(line, str(error.value)), line
    assert 'data.bad = "skip"' in str(error.value) and str(root) in str(error.value)


def test_bad_ones_are_left_out_and_told_every_time(root):
    broken(root)
    for _ in range(2):  # the second time the images come from the cache
        said = []
        data = loaded(root, said.append, **{"data.bad": "skip"})
        for line in LISTED + DECODED:
            assert re.search(line, "\n".join(said)), line
        both = captions_of_greys(data.train) | captions_of_greys(data.valid)
        assert both == {i: {f"grey number {i}"} for i in range(20)}


def test_corrupt_images_are_refused_also_when_they_come_from_the_cache(root):
    jsonl(root, [*many(root, 4), {"file_name": "bad.png", "text": "some words"}])
    (root / "bad.png").write_text("no image")
    assert len(loaded(root, **{"data.bad": "skip"}).train) == 2
    for _ in range(2):
        with pytest.raises(ValueError, match=r"can't be decoded: 1\n +bad.png: it is not a readable image"):
            loaded(root)
    paint(root / "bad.png")
    assert len(loaded(root).train) + len(loaded(root).valid) == 5


def test_nothing_left_is_refused(root):
    for i in range(3):
        (root / f"{i}.png").write_text("no image")
        (root / f"{i}.txt").write_text("some words")
    with pytest.raises(ValueError, match="0 usable images for training and 0 for validation"):
        loaded(root, **{"data.bad": "skip"})


def test_csv_rows_of_another_length(root):
    many(root, 4)
    lines = [f"{i:03}.png,number {i}" for i in range(4)]
    (root / "metadata.csv").write_text("\n".join(["file_name,text", *lines, "000.png", "001.png,a,b,c"]))
    with pytest.raises(ValueError) as error:
        loaded(root)
    assert "metadata.csv:6: has 1 cells under 2 columns" in str(error.value)
    assert "metadata.csv:7: has 4 cells under 2 columns" in str(error.value)


def test_text_files_that_are_none(root):
    for i, content in enumerate([b"fine", b"fine too", b"caf\xe9", b" \n"]):
        paint(root / f"{i}.png")
        (root / f"{i}.txt").write_bytes(content)
    paint(root / "alone.png")
    with pytest.raises(ValueError) as error:
        loaded(root)
    for line in ("2.txt: 'utf-8' codec can't", "3.txt: of 3.png", "alone.png: no .txt is beside it"):
        assert line in str(error.value)


@given(st.integers(0, 40), st.sampled_from(list(Kind)))
def test_all_are_counted_and_a_few_named(n, kind):
    problems = [Problem(kind, f"file{i}") for i in range(n)]
    said = []
    settle(problems, "/data", "skip", said.append)
    assert len(said) == (n > 0)
    if n:
        assert f"{kind}: {n}\n" in said[0] + "\n" and "file0" in said[0]
        assert ("more" in said[0]) == (n > 5) and said[0].count("file") <= 5 + str(kind).count("file")
    if n > 5:
        assert f"and {n - 5} more" in said[0]


# Decoding


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return square(path, SIDE)


QUADRANTS = np.zeros((40, 40, 3), np.uint8)
QUADRANTS[:20, :20], QUADRANTS[:20, 20:] = (250, 0, 0), (0, 250, 0)
QUADRANTS[20:, :20], QUADRANTS[20:, 20:] = (0, 0, 250), (250, 250, 0)


def corners(pixels):
    return [tuple(pixels[:, y, x].tolist()) for y in (2, -3) for x in (2, -3)]


def test_bytes_are_what_was_painted(tmp_path):
    pixels = saved(tmp_path, Image.fromarray(QUADRANTS), "a.png")
    assert pixels.shape == (3, SIDE, SIDE) and pixels.dtype == np.uint8
    assert corners(pixels) == [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_obeyed(tmp_path, orientation):
    """A picture stored in each of the eight ways comes out as it is to be seen."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposes from seen to stored
    seen = Image.fromarray(QUADRANTS)
    stored = seen if orientation == 1 else seen.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert corners(saved(tmp_path, stored, "a.png", exif=exif)) == corners(saved(tmp_path, seen, "b.png"))


def test_transparency_is_laid_on_white(tmp_path):
    clear = Image.new("RGBA", (9, 9), (200, 0, 0, 0))
    half = Image.new("RGBA", (9, 9), (200, 0, 0, 128))
    assert (saved(tmp_path, clear, "a.png") == 255).all()
    assert abs(saved(tmp_path, half, "b.png")[:, 5, 5].astype(int) - [227, 127, 127]).max() <= 1
    palette = Image.fromarray(QUADRANTS).quantize(8)
    red = palette.getpixel((3, 3))
    pixels = saved(tmp_path, palette, "c.png", transparency=red)
    assert corners(pixels)[0] == (255, 255, 255) and corners(pixels)[1] == (0, 250, 0)
    assert (saved(tmp_path, Image.new("LA", (5, 5), (0, 0)), "d.png") == 255).all()
    assert (saved(tmp_path, Image.new("L", (5, 5), 9), "e.png", transparency=9) == 255).all()


def test_sixteen_bits_keep_their_shades(tmp_path):
    ramp = (np.arange(64)[:, None].repeat(64, 1) * 1024).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        pixels = saved(tmp_path, Image.fromarray(ramp), name)
        assert abs(pixels[0, :, 0].astype(int) - np.arange(6, 256, 16)).max() <= 4
    (tmp_path / "a.pgm").write_bytes(b"P5 64 64 65535\n" + ramp.astype(">u2").tobytes())
    assert abs(square(tmp_path / "a.pgm", SIDE)[0, :, 0].astype(int) - np.arange(6, 256, 16)).max() <= 4


def test_other_modes(tmp_path):
    assert (
        abs(
            saved(tmp_path, Image.new("CMYK", (30, 20), (0, 255, 255, 0)), "a.jpg")[:, 5, 5].astype(int)
            - [255, 0, 0]
        ).max()
        <= 3
    )
    assert (saved(tmp_path, Image.new("1", (30, 20), 1), "b.png") == 255).all()
    assert (saved(tmp_path, Image.new("L", (1, 1), 77), "c.png") == 77).all()
    assert (saved(tmp_path, Image.new("P", (3, 3)), "d.gif") == 0).all()


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (3000, 30), (17, 16)])
def test_extreme_shapes_keep_their_middle(tmp_path, size):
    wide = np.zeros((size[1], size[0], 3), np.uint8)
    wide[..., 2] = 200
    short = min(size)
    top, left = (size[1] - short) // 2, (size[0] - short) // 2
    wide[top : top + short, left : left + short] = (90, 10, 10)
    pixels = saved(tmp_path, Image.fromarray(wide), "a.png")
    assert pixels[:, SIDE // 2, SIDE // 2].tolist() == [90, 10, 10]


def test_fine_stripes_become_grey_and_not_a_pattern(tmp_path):
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    for name in ("a.png", "a.jpg"):
        pixels = saved(tmp_path, Image.fromarray(stripes), name)
        assert abs(pixels.astype(int) - 127).max() <= 3


def test_a_jpeg_decoded_small_is_the_jpeg_decoded_whole(tmp_path):
    smooth = Image.fromarray(QUADRANTS).resize((640, 480), Image.Resampling.BICUBIC)
    path = tmp_path / "a.jpg"
    smooth.save(path, quality=95)
    whole = BytesIO()
    Image.open(path).save(whole, "PNG")
    (tmp_path / "a.png").write_bytes(whole.getvalue())
    assert abs(square(path, SIDE).astype(int) - square(tmp_path / "a.png", SIDE).astype(int)).max() <= 8


def test_files_for_other_programs_are_not_opened(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.eps")  # Pillow would start Ghostscript
    with pytest.raises(OSError, match="cannot identify"):
        square(tmp_path / "a.eps", SIDE)


def test_on_the_device_as_bytes(root):
    jsonl(root, many(root, 5))
    data = loaded(root)
    assert data.train.images.dtype == torch.uint8 and data.train.images.shape[1:] == (3, SIDE, SIDE)
    grey = data.train.images[0].clone()
    data.train.images[0] = 255  # it is mapped from the cache, and yet its own
    assert torch.equal(loaded(root).train.images[0], grey)


@pytest.mark.parametrize(
    ("header", "row", "remedy"),
    [
        ("file_name;text", "{};a boat", "separated by ';'; save it with commas"),
        ("file_name\ttext", "{}\ta boat", r"separated by '\\t'; save it with commas"),
        ("image,text", "{},a boat", "rename image to file_name"),
        ("photo,text", "{},a boat", "rename that column to file_name"),
    ],
)
def test_tables_of_other_programs_get_a_remedy(root, header, row, remedy):
    names = [r["file_name"] for r in many(root, 3)]
    (root / "metadata.csv").write_text("\n".join([header, *(row.format(name) for name in names)]))
    with pytest.raises(ValueError, match=remedy):
        loaded(root)


def test_parquet_is_named_as_what_is_not_read(root):
    (root / "data").mkdir()
    (root / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        ValueError, match=r"1 parquet files \(train-00000.*not read; save each image as a file"
    ):
        loaded(root)


def test_captions_and_pixels_that_are_wrong_are_told_in_one_list(root):
    rows = many(root, 12)
    (root / "003.png").write_bytes(b"no image")
    rows[5]["text"] = "   "
    jsonl(root, rows)
    with pytest.raises(ValueError, match=r"(?s)can't be decoded: 1\n    003.png.*empty captions: 1\n"):
        loaded(root)


def test_validation_is_never_empty_while_two_images_are_left(root):
    """Of two images one is held out; when that one is damaged, another is."""
    for seed in range(8):
        rows = many(root, 6)
        jsonl(root, rows)
        held = loaded(root, split_seed=seed).valid.captions
        for row in rows:
            if row["text"] in held:
                (root / row["file_name"]).write_bytes(b"no image")
        data = loaded(root, split_seed=seed, **{"data.bad": "skip"})
        assert len(data.valid) >= 1 and len(data.train) + len(data.valid) == 6 - len(held)
        for side in (data.train, data.valid):
            for grey, said in captions_of_greys(side).items():
                assert said == {f"grey number {grey}"}
