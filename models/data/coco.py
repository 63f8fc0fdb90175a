"""COCO's layout: captions_*.json with images and annotations apart, joined by image id.

    annotations/captions_train2017.json   {"images": [{"id", "file_name"}, ...],
    annotations/captions_val2017.json      "annotations": [{"id", "image_id", "caption"}, ...]}
    train2017/000000000009.jpg
    val2017/000000000139.jpg

All captions of an image are kept (COCO has five), and a step draws one of them. (Lin et al. 2014;
Chen et al. 2015, "Microsoft COCO Captions".)
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.data.captioned import Say
from models.data.listing import Item, Listing, is_file, within
from models.data.problems import Kind, Problem
from models.data.tokenizer import says_something


def captions_files(root: Path) -> list[Path]:
    """The captions_*.json of a folder, in it or in its annotations/."""
    return sorted([*root.glob("captions_*.json"), *root.glob("annotations/captions_*.json")])


def listing(root: Path, problems: list[Problem], say: Say) -> Listing:
    """The images of training and, where there is a captions_val*.json, those of validation.

    Appends to `problems`. Raises ValueError when a file is not COCO's, or when two claim to be the same.
    """
    sides: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    for path in captions_files(root):
        sides[next((s for s in ("val", "test") if s in path.stem), "train")].append(path)
    for side, paths in sides.items():
        if len(paths) > 1 and side != "test":
            raise ValueError(
                f"{root} has {len(paths)} captions files for {side} ({', '.join(p.name for p in paths)}), and one "
                f"is wanted; put the other away"
            )
    for path in sides["test"]:
        say(f"{path.relative_to(root)} is not used: its images are for a test")
    train, valid = ([i for p in sides[s] for i in _items(root, p, problems)] for s in ("train", "val"))
    if not train:  # usual with COCO: both captions files, but only the small val2017 of images
        return Listing(valid, None)
    return Listing(train, valid or None)


def _items(root: Path, path: Path, problems: list[Problem]) -> list[Item]:
    """The images of one captions file, each with all its usable captions."""
    where = str(path.relative_to(root))
    images, annotations = _tables(path)
    names: dict[Any, str] = {}
    captions: dict[Any, list[str]] = {}
    for place, entry in _entries(images, ("id", "file_name"), f"{where} images", problems):
        if entry["id"] in names:
            problems.append(
                Problem(Kind.DUPLICATE, place, f"id {entry['id']}, file_name {entry['file_name']}")
            )
        else:
            names[entry["id"]] = entry["file_name"]
            captions[entry["id"]] = []
    folder, looked = _image_folder(root, path, names)
    if names and folder is None:
        problems.append(Problem(Kind.NO_FOLDER, where, f"looked for them in {', '.join(map(str, looked))}"))
        return []
    _join(annotations, captions, where, problems)
    items = []
    for number, name in names.items():
        file = Path(folder or root, name)
        if not captions[number]:
            problems.append(Problem(Kind.UNCAPTIONED, where, f"id {number}, file_name {name}"))
        elif not is_file(file):
            problems.append(Problem(Kind.MISSING, within(root, file), f"listed in {where}"))
        else:
            items.append(Item(file, name, tuple(captions[number])))
    return items


def _join(
    annotations: list[Any], captions: dict[Any, list[str]], where: str, problems: list[Problem]
) -> None:
    """Puts each caption to its image in `captions`."""
    seen = set()
    for place, entry in _entries(annotations, ("image_id", "caption"), f"{where} annotations", problems):
        number = entry.get("id")
        if number is not None and number in seen:
            problems.append(Problem(Kind.DUPLICATE, place, f"id {number}"))
        elif entry["image_id"] not in captions:
            problems.append(
                Problem(Kind.UNKNOWN, place, f"image_id {entry['image_id']} is not in its images")
            )
        elif not says_something(entry["caption"]):
            problems.append(
                Problem(Kind.EMPTY, place, f"{entry['caption']!r}, of image_id {entry['image_id']}")
            )
        else:
            captions[entry["image_id"]].append(entry["caption"])
        seen.add(number)


def _tables(path: Path) -> tuple[list[Any], list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as e:
        raise ValueError(f"{path} can't be read as JSON: {e}") from e
    tables = [content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations")]
    for key, table in zip(("images", "annotations"), tables, strict=True):
        if not isinstance(table, list):
            there = (
                f"its keys are {', '.join(content)}" if isinstance(content, dict) else "it is not an object"
            )
            raise ValueError(f'{path} has no list "{key}" as COCO\'s captions have; {there}')
    return tables[0], tables[1]  # type: ignore[return-value]


def _entries(
    table: list[Any], keys: tuple[str, str], where: str, problems: list[Problem]
) -> Iterator[tuple[str, dict]]:
    """The entries with both keys, each with its place; ids are numbers or words, all else are words."""
    for n, entry in enumerate(table):
        error = _error(entry, keys)
        if error is None:
            yield f"{where}[{n}]", entry
        else:
            problems.append(Problem(Kind.MALFORMED, f"{where}[{n}]", error))


def _error(entry: Any, keys: tuple[str, str]) -> str | None:
    if not isinstance(entry, dict):
        return "is not an object"
    number, text = keys
    # `type` and not `isinstance`: COCO has 700,000 entries, and True is not an id.
    if type(entry.get(number)) in (int, str) and type(entry.get(text)) is str:
        return None if type(entry.get("id", 0)) in (int, str) else f'"id" is {entry["id"]!r}, no id'
    for key in keys:
        if key not in entry:
            return f'has no "{key}", only {", ".join(entry) or "nothing"}'
    wrong = number if type(entry[number]) not in (int, str) else text
    return f'"{wrong}" is {entry[wrong]!r}, no {"id" if wrong == number else "text"}'


def _image_folder(root: Path, path: Path, names: dict[Any, str]) -> tuple[Path | None, list[Path]]:
    """Where the images of a captions file are, if any of them is anywhere; and where was looked."""
    tops = [root, root.parent] if root.name == "annotations" else [root]
    own = path.stem.removeprefix("captions_")
    looked = [f for top in tops for f in (top / own, top / "images" / own, top / "images", top)]
    for folder in looked:
        if folder.is_dir() and any(is_file(folder / name) for name in names.values()):
            return folder, looked
    return None, looked
