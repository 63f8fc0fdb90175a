"""Words to numbers: a vocabulary built from the training captions alone.

Padding is 0, the unknown word 1, and 2 stands for an empty caption. A word that occurs fewer than twice in
the training captions is unknown. So the unknown word occurs in training, and its embedding is learned:
held-out captions contain many.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

PAD, UNKNOWN, EMPTY = 0, 1, 2
WORDS = 3  # the first word's number
SEEN = 2  # occurrences for a number of its own; a word with one picture would only be memorised
LONGEST = 64  # words of a caption that are read: longer ones would pad all others to their length


def words(caption: str) -> list[str]:
    """The words of a caption, in small letters: "T-Rex" -> ["t", "rex"]."""
    return re.findall(r"\w+", unicodedata.normalize("NFC", caption).lower())


def says_something(caption: str) -> bool:
    """Whether there is a word in it."""
    return re.search(r"\w", caption) is not None


@dataclass(frozen=True)
class Tokenizer:
    """Maps captions to numbers by a vocabulary."""

    vocabulary: tuple[str, ...]  # word n has number n + 3

    @staticmethod
    def of(captions: Iterable[str], seen: int = SEEN) -> "Tokenizer":
        """The vocabulary of these captions: all words that occur at least `seen` times, in alphabetical order."""
        # A word with its comma is counted as it stands and taken apart once: 600,000 captions in a second.
        counts: Counter[str] = Counter()
        for written, n in Counter(chain.from_iterable(map(str.split, captions))).items():
            for word in words(written):
                counts[word] += n
        return Tokenizer(tuple(sorted(w for w, n in counts.items() if n >= seen)))

    def __len__(self) -> int:
        """How many numbers there are, those that stand for no word included."""
        return len(self.vocabulary) + WORDS

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """[N, T] int64, padded at the right to the longest, T <= 64; a caption without a word is EMPTY."""
        numbers = _Numbers(self.vocabulary)
        rows = [[n for written in c.split() for n in numbers[written]][:LONGEST] or [EMPTY] for c in captions]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))  # [N]
        there = np.arange(lengths.max(initial=1)) < lengths[:, None]  # [N, T]
        tokens = np.full(there.shape, PAD, np.int64)
        tokens[there] = np.fromiter(chain.from_iterable(rows), np.int64)
        return torch.from_numpy(tokens)

    @staticmethod
    def empty(n: int, device: torch.device | str = "cpu") -> Tensor:
        """n empty captions: [n, 1] int64."""
        return torch.full((n, 1), EMPTY, device=device)


class _Numbers(dict[str, list[int]]):
    """Text between two spaces -> the numbers of its words, computed on first use."""

    def __init__(self, vocabulary: Iterable[str]):
        self._of_word = {w: n for n, w in enumerate(vocabulary, WORDS)}

    def __missing__(self, written: str) -> list[int]:
        self[written] = numbers = [self._of_word.get(w, UNKNOWN) for w in words(written)]
        return numbers
