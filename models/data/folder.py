"""A folder of images with captions beside them, as Hugging Face's ImageFolder has them.

    metadata.jsonl    {"file_name": "0001.png", "text": "a red boat"}   a line; "text" may be a list
    metadata.csv      file_name,text                                   a row; several rows for one image are
                                                                       several captions of it
    0001.txt          beside 0001.png, where there is no metadata      each line is a caption

either in the folder itself, or in its train/ and, for validation, its validation/, valid/ or val/.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from models.data.captioned import Say
from models.data.listing import Item, Listing, images_below, is_file, within
from models.data.problems import NAMED, Kind, Problem
from models.data.tokenizer import says_something

METADATA = ("metadata.jsonl", "metadata.csv")
VALIDATION = ("validation", "valid", "val")
FILE = "file_name"
OTHER_NAMES = (
    "image",
    "images",
    "image_path",
    "path",
    "file",
    "filename",
    "img",
)  # of that column, elsewhere
Row = tuple[int, dict[str, Any]]  # its line, and what is in its columns


def listing(root: Path, column: str, problems: list[Problem], say: Say) -> Listing:
    """The images of training and, where the folder says which, those of validation.

    `column` is that of the captions. Appends to `problems`. Raises ValueError when there are no captions,
    and when no line of the metadata has the column.
    """
    valid = [root / name for name in VALIDATION if (root / name).is_dir()]
    if _metadata(root):
        items = _items(root, root, column, problems, say)
        held = [i for i in items if PurePath(i.name).parts[0] in VALIDATION]  # file_name = "valid/0001.png"
        rest = [i for i in items if PurePath(i.name).parts[0] not in VALIDATION]
        return Listing(rest, held) if rest and held else Listing(items, None)
    if not (root / "train").is_dir():
        return Listing(_items(root, root, column, problems, say), None)
    if len(valid) > 1:
        raise ValueError(
            f"{root} has {' and '.join(f'{v.name}/' for v in valid)}; keep the one that is for validation"
        )
    if (root / "test").is_dir():
        say(f"{root / 'test'} is not used: its images are for a test")
    train = _items(root, root / "train", column, problems, say)
    return Listing(train, _items(root, valid[0], column, problems, say) if valid else None)


def _metadata(folder: Path) -> Path | None:
    there = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(there) > 1:
        raise ValueError(f"{folder} has {' and '.join(METADATA)}, and one is wanted; put the other away")
    return there[0] if there else None


def _items(root: Path, folder: Path, column: str, problems: list[Problem], say: Say) -> list[Item]:
    """The usable images of one folder, problems named by their path in `root`."""
    path = _metadata(folder)
    if path is None:
        return _with_text_beside(root, folder, problems, say)
    where = path.relative_to(root)
    said = _said(_of_columns(path, column, _rows(root, path, problems)), column, where, problems)
    listed = {folder / name for name in said}
    for image in images_below(folder):
        if image not in listed:
            problems.append(Problem(Kind.UNCAPTIONED, within(root, image), f"it is not in {path.name}"))
    items = [Item(folder / name, name, tuple(captions)) for name, captions in said.items() if captions]
    missing = [i for i in items if not is_file(i.path)]
    problems += [Problem(Kind.MISSING, within(root, i.path), f"listed in {where}") for i in missing]
    gone = {i.name for i in missing}
    return [i for i in items if i.name not in gone]


def _said(rows: list[Row], column: str, where: Path, problems: list[Problem]) -> dict[str, list[str]]:
    """File name -> its usable captions, which may be none."""
    said: dict[str, list[str]] = {}
    for line, row in rows:
        if error := _error(row, column):
            problems.append(Problem(Kind.MALFORMED, f"{where}:{line}", error))
            continue
        captions = row[column] if isinstance(row[column], list) else [row[column]]
        usable = [c for c in captions if c and says_something(c)]
        if len(usable) < max(1, len(captions)):
            problems.append(Problem(Kind.EMPTY, f"{where}:{line}", f"{row[column]!r}, of {row[FILE]}"))
        said.setdefault(str(PurePath(row[FILE])), []).extend(usable)  # ./a.png is a.png
    return said


def _error(row: dict[str, Any], column: str) -> str | None:
    for name in (FILE, column):
        if name not in row:
            return f"has no {name!r}, only {', '.join(row) or 'nothing'}"
    captions = row[column] if isinstance(row[column], list) else [row[column]]
    if not isinstance(row[FILE], str) or not row[FILE].strip():
        return f"{FILE} is {row[FILE]!r}, no file's name"
    return (
        None if all(isinstance(c, str | None) for c in captions) else f"{column} is {row[column]!r}, no text"
    )


def _rows(root: Path, path: Path, problems: list[Problem]) -> Iterator[Row]:
    """The lines of metadata that are what they should be, each with its number."""
    where = path.relative_to(root)
    if path.suffix == ".csv":
        try:
            yield from _csv_rows(path, where, problems)
        except csv.Error as e:
            raise ValueError(f"{path} can't be read as CSV: {e}") from e
        except UnicodeDecodeError as e:
            raise ValueError(f"{path} is not UTF-8: {e}; save it as UTF-8") from e
        return
    with path.open("rb") as lines:
        for n, line in enumerate(lines, 1):
            try:
                row = json.loads(line.decode("utf-8-sig")) if line.strip() else None
            except (ValueError, RecursionError) as e:
                problems.append(Problem(Kind.MALFORMED, f"{where}:{n}", f"is not JSON: {e}"))
                continue
            if isinstance(row, dict):
                yield n, row
            elif line.strip():
                problems.append(Problem(Kind.MALFORMED, f"{where}:{n}", "is not a JSON object"))


def _csv_rows(path: Path, where: Path, problems: list[Problem]) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        columns = len(reader.fieldnames or ())
        for row in reader:
            if None in row or None in row.values():  # where DictReader puts what is too much or too little
                cells = sum(v is not None for k, v in row.items() if k is not None) + len(row.get(None, ()))
                what = f"has {cells} cells under {columns} columns"
                problems.append(Problem(Kind.MALFORMED, f"{where}:{reader.line_num}", what))
            else:
                yield reader.line_num, row


def _of_columns(path: Path, column: str, rows: Iterable[Row]) -> list[Row]:
    """The rows, when there are any and the two columns are somewhere among them."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    if not rows:
        raise ValueError(f"{path} has no line that could be used")
    if FILE not in columns:
        has = f"{path} has no column {FILE!r}, which names the image; it has {', '.join(columns)}"
        if len(columns) == 1 and (wrong := next((c for c in ";\t|" if c in columns[0]), None)):
            raise ValueError(f"{has}: its cells are separated by {wrong!r}; save it with commas")
        named = next((c for c in columns if c.lower() in OTHER_NAMES), "that column")
        raise ValueError(f"{has}; rename {named} to {FILE}")
    if column not in columns:
        others = [c for c in columns if c != FILE] or [f"only {FILE}"]
        raise ValueError(
            f"{path} has no column {column!r} of captions; give data.caption_column = {others[0]!r}, or another "
            f"of its columns: {', '.join(others)}"
        )
    return rows


def _with_text_beside(root: Path, folder: Path, problems: list[Problem], say: Say) -> list[Item]:
    images = images_below(folder)
    texts = {i: i.with_suffix(".txt") for i in images if i.with_suffix(".txt").is_file()}
    if not texts and (tables := sorted(folder.rglob("*.parquet"))):
        raise ValueError(
            f"{folder} has its images in {len(tables):,} parquet files ({tables[0].name}), which are not read; save "
            f"each image as a file, and the captions in metadata.jsonl beside them (file_name, text)"
        )
    if not texts:
        raise ValueError(
            f"{folder} has no captions: looked there for {', '.join(METADATA)}, captions_*.json (also in "
            f"annotations/), train/ and validation/ with their own, and a .txt beside each of {len(images):,} images"
        )
    items = []
    for image in images:
        where = within(root, image)
        if image not in texts:
            problems.append(Problem(Kind.UNCAPTIONED, where, "no .txt is beside it"))
            continue
        try:
            lines = texts[image].read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as e:
            problems.append(Problem(Kind.UNREADABLE, within(root, texts[image]), str(e)))
            continue
        captions = tuple(line.strip() for line in lines if says_something(line))
        if captions:
            items.append(Item(image, image.relative_to(folder).as_posix(), captions))
        else:
            problems.append(Problem(Kind.EMPTY, within(root, texts[image]), f"of {where}"))
    alone = sorted({*folder.rglob("*.txt")} - {*texts.values()})
    if alone:
        some = ", ".join(p.name for p in alone[:NAMED]) + (", ..." if len(alone) > NAMED else "")
        say(f"{len(alone):,} .txt files below {folder} have no image beside them: {some}")
    return items
