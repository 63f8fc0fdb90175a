"""Handwritten digits without a network: the 1,797 small ones that scikit-learn brings, and MNIST from a folder.

few = digits(train=1000, valid=400)
problem = network(few.train, few.valid, (50,), test=few.test, steps=200, batch=50)
"""

import gzip
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from meta.problems.nets import Examples

UNSIGNED_BYTES = 8  # the only one of IDX's types that MNIST uses
DARKEST = 16  # scikit-learn's digits count the dots in cells of 4×4
BRIGHTEST = 255


@dataclass(frozen=True, eq=False)
class Split:
    """Images in [0, 1], float32, one per row; labels int64."""

    train: Examples
    valid: Examples
    test: Examples


def digits(train: int = 1000, valid: int = 400, *, seed: int = 0, device: str = "cpu") -> Split:
    """8×8 images of ten digits, split by the seed; the test set is the rest.

    Raises ValueError when there are fewer examples than requested.
    """
    from sklearn.datasets import load_digits  # late: it takes a second, and only this needs it

    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    train_, valid_, test = _share(len(images), (train, valid, len(images) - train - valid), seed)
    return Split(*(_examples(images[rows], labels[rows], DARKEST, device) for rows in (train_, valid_, test)))


def mnist(
    folder: str | Path, train: int = 50_000, valid: int = 10_000, *, seed: int = 0, device: str = "cpu"
) -> Split:
    """28×28 images from the four IDX files in `folder`, plain or .gz, with its own 10,000 test images.

    Raises FileNotFoundError for a missing file and ValueError for a damaged one.
    """
    images, labels = _pair(Path(folder), "train")
    train_, valid_ = _share(len(images), (train, valid), seed)
    parts = [(images[rows], labels[rows]) for rows in (train_, valid_)] + [_pair(Path(folder), "t10k")]
    return Split(*(_examples(*part, BRIGHTEST, device) for part in parts))


def _share(n: int, sizes: tuple[int, ...], seed: int) -> list[NDArray]:
    if min(sizes) < 1 or sum(sizes) > n:
        raise ValueError(
            f"digits: {', '.join(map(str, sizes))} examples wanted; give sizes from 1, together at most {n}"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def _examples(images: NDArray, labels: NDArray, most: int, device: str) -> Examples:
    rows = torch.from_numpy(images.reshape(len(images), -1).astype(np.float32) / most)
    return Examples(rows.to(device), torch.from_numpy(labels.astype(np.int64)).to(device))


def _pair(folder: Path, which: str) -> tuple[NDArray, NDArray]:
    images, labels = (
        _idx(folder, f"{which}-images-idx3-ubyte", 3),
        _idx(folder, f"{which}-labels-idx1-ubyte", 1),
    )
    if len(images) != len(labels):
        raise ValueError(
            f"{folder}: {which} has {len(images)} images and {len(labels)} labels; take both from one set"
        )
    return images, labels


def _idx(folder: Path, name: str, axes: int) -> NDArray:
    """An IDX file: 0, 0, the type, the number of axes, their lengths as big-endian uint32, then the entries."""
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{folder}: has neither {name} nor {name}.gz; give the folder of MNIST's four IDX files, or fetch them "
            f"with: python -m meta.problems.download {folder}"
        )
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: can't be unpacked ({error}); fetch it again") from error
    begin = 4 + 4 * axes
    if raw[:4] != bytes([0, 0, UNSIGNED_BYTES, axes]) or len(raw) < begin:
        raise ValueError(
            f"{path}: begins with {raw[:4].hex(' ')}, which is not an IDX file of bytes with {axes} axes; "
            f"fetch it again"
        )
    shape = tuple(np.frombuffer(raw, ">u4", axes, 4).tolist())
    if len(raw) != begin + prod(shape):
        raise ValueError(
            f"{path}: holds {len(raw) - begin:,} bytes, its header promises {prod(shape):,}; fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=begin).reshape(shape)
