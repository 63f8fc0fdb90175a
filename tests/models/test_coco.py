"""COCO's captions and images are joined by id, all captions of an image are kept, and nothing is lost unsaid."""

import json

import pytest
from PIL import Image

from models.config import Config
from models.data import load


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "coco"


def write(root, part, greys, annotations="annotations", images=None, change=lambda content: None):
    """captions_{part}.json and its images: image `grey` has id 1000 + grey, is that grey, and has 5 captions."""
    folder = root / (part if images is None else images)
    folder.mkdir(parents=True, exist_ok=True)
    (root / annotations).mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "licenses": [], "images": [], "annotations": []}
    for grey in greys:
        Image.new("RGB", (24, 20), (grey,) * 3).save(folder / f"{grey:012}.jpg", quality=95)
        content["images"].append(
            {"id": 1000 + grey, "file_name": f"{grey:012}.jpg", "width": 24, "license": 1}
        )
    for n in range(5):
        for grey in reversed(greys):
            caption = f"Caption {n} of grey {grey}."
            content["annotations"].append(
                {"id": len(content["annotations"]), "image_id": 1000 + grey, "caption": caption}
            )
    change(content)
    (root / annotations / f"captions_{part}.json").write_text(json.dumps(content))


def loaded(root, say=lambda s: None, **hypers):
    return load(Config.of({"data": str(root), "size": 16, **hypers}), say=say)


def captions_of_greys(side):
    return {
        int(image[0, 5, 5]): side.captions[first : first + count]
        for image, first, count in zip(side.images, side.first.tolist(), side.count.tolist(), strict=True)
    }


def all_of(greys):
    return {g: tuple(f"Caption {n} of grey {g}." for n in range(5)) for g in greys}


@pytest.mark.parametrize("annotations", ["annotations", "."])
@pytest.mark.parametrize("images", ["train2017", "images/train2017", "images", "."])
def test_training_and_validation_as_downloaded(root, annotations, images):
    write(root, "train2017", range(10), annotations, images)
    write(root, "val2017", range(100, 106), annotations, images.replace("train", "val"))
    data = loaded(root, valid_images=4)
    assert captions_of_greys(data.train) == all_of(range(10))
    valid = captions_of_greys(data.valid)
    assert len(valid) == 4 and valid.items() <= all_of(range(100, 106)).items()


def test_the_annotations_folder_itself(root):
    write(root, "train2017", range(10))
    data = loaded(root / "annotations")
    assert captions_of_greys(data.train) | captions_of_greys(data.valid) == all_of(range(10))


def test_without_a_file_for_validation_some_are_held_out(root):
    write(root, "train2017", range(60))
    data = loaded(root)
    assert len(data.valid) >= 1
    assert captions_of_greys(data.train) | captions_of_greys(data.valid) == all_of(range(60))


def test_both_captions_but_only_the_small_folder_of_images(root):
    """annotations_trainval2017.zip brings both files; train2017 alone is 18 GB."""
    write(root, "train2017", range(10))
    for image in (root / "train2017").iterdir():
        image.unlink()
    write(root, "val2017", range(100, 120))
    with pytest.raises(ValueError) as error:
        loaded(root)
    assert "captions files without their images: 1" in str(error.value)
    assert "annotations/captions_train2017.json: looked for them in" in str(error.value)
    said = []
    data = loaded(root, said.append, **{"data.bad": "skip"})
    assert captions_of_greys(data.train) | captions_of_greys(data.valid) == all_of(range(100, 120))
    assert "captions_train2017.json" in said[0]


def test_everything_that_can_be_wrong_is_counted_and_named(root):
    def change(content):
        images, annotations = content["images"], content["annotations"]
        images.append(dict(images[0]))
        images.append({"id": 5000, "file_name": "gone.jpg"})
        images.append({"id": 5001, "file_name": f"{1:012}.jpg"})
        images += [{"id": 5002}, "text", {"id": [1], "file_name": "x.jpg"}, {"id": 5003, "file_name": None}]
        annotations.append({"id": 900, "image_id": 5000, "caption": "of the missing one"})
        annotations.append({"id": 900, "image_id": 1001, "caption": "the same id again"})
        annotations.append({"id": 901, "image_id": 9999, "caption": "of nobody"})
        annotations.append({"id": 902, "image_id": 1001, "caption": " \n"})
        annotations.append({"id": 903, "image_id": 1001, "text": "wrong key"})
        annotations.append({"id": {}, "image_id": 1001, "caption": "odd id"})
        annotations.append({"image_id": 1001, "caption": "no id of its own is fine"})

    write(root, "train2017", range(10), change=change)
    (root / "train2017" / f"{9:012}.jpg").write_bytes(b"broken")
    where = "annotations/captions_train2017.json"
    listed = [
        "missing files: 1",
        f"train2017/gone.jpg: listed in {where}",
        "empty captions: 1",
        f"{where} annotations[53]: ' \\n', of image_id 1001",
        "images without a caption: 1",
        f"{where}: id 5001, file_name 000000000001.jpg",
        "malformed entries: 6",
        f'{where} images[13]: has no "file_name", only id',
        f"{where} images[14]: is not an object",
        f'{where} images[15]: "id" is [1], no id',
        f'{where} images[16]: "file_name" is None, no text',
        f'{where} annotations[54]: has no "caption", only id, image_id, text',
        "and 1 more",
        "duplicate ids: 2",
        f"{where} images[10]: id 1000, file_name 000000000000.jpg",
        f"{where} annotations[51]: id 900",
        "unknown image ids: 1",
        f"{where} annotations[52]: image_id 9999 is not in its images",
    ]
    with pytest.raises(ValueError) as error:
        loaded(root)
    for line in listed:
        assert line in str(error.value), line
    said = []
    data = loaded(root, said.append, **{"data.bad": "skip"})
    for line in [
        *listed,
        "images that can't be decoded: 1",
        f"train2017/{9:012}.jpg: it is not a readable image",
    ]:
        assert line in "\n".join(said), line
    both = captions_of_greys(data.train) | captions_of_greys(data.valid)
    wanted = all_of(range(9))
    wanted[1] += ("no id of its own is fine",)
    assert both == wanted


def test_files_that_are_not_coco(root):
    (root / "annotations").mkdir(parents=True)
    path = root / "annotations" / "captions_train2017.json"
    for content, error in (
        ("{", "can't be read as JSON"),
        ("[]", 'has no list "images" as COCO\'s captions have; it is not an object'),
        ('{"images": [], "info": 1}', 'has no list "annotations" .*its keys are images, info'),
        ('{"images": [], "annotations": []}', "at least one of each is needed"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=error):
            loaded(root)


def test_two_for_training_and_one_for_a_test(root):
    write(root, "train2014", range(5))
    write(root, "train2017", range(5))
    with pytest.raises(
        ValueError, match=r"2 captions files for train \(captions_train2014.json, captions_train2017"
    ):
        loaded(root)
    (root / "annotations" / "captions_train2014.json").rename(root / "annotations" / "captions_test2014.json")
    said = []
    assert captions_of_greys(loaded(root, said.append).train).items() <= all_of(range(5)).items()
    assert "annotations/captions_test2014.json is not used: its images are for a test" in said


def test_an_edited_caption_needs_no_decoding_and_is_another_digest(root):
    write(root, "train2017", range(10))
    first = loaded(root)
    path = root / "annotations" / "captions_train2017.json"
    path.write_text(path.read_text().replace("Caption 0 of grey 3.", "Something else."))
    said = []
    second = loaded(root, said.append)
    assert not any("decoding" in s for s in said)
    assert second.digest != first.digest
    assert "Something else." in {*second.train.captions, *second.valid.captions}
