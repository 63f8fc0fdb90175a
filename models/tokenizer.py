"""Words to numbers: a vocabulary built from the training captions alone.

Padding is 0 and every word the training captions have fewer than twice is 1, the unknown word. So the
unknown word is met, and learned, in training: a held-out caption is full of them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PAD, UNKNOWN = 0, 1
SEEN = 2  # times a word must be seen to have a number of its own; once teaches its one picture by heart


def words(caption: str) -> list[str]:
    """The words of a caption, in small letters: "T-Rex" -> ["t", "rex"]."""
    return re.findall(r"\w+", caption.lower())


@dataclass(frozen=True)
class Tokenizer:
    vocabulary: tuple[str, ...]  # word n has number n + 2

    @staticmethod
    def of(captions: Iterable[str], seen: int = SEEN) -> "Tokenizer":
        counts = Counter(w for c in captions for w in words(c))
        return Tokenizer(tuple(sorted(w for w, n in counts.items() if n >= seen)))

    def __len__(self) -> int:
        """How many numbers there are, padding and the unknown word included."""
        return len(self.vocabulary) + 2

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """[N, T] int64, padded at the right to the longest; a caption without a word is one unknown."""
        number = {w: n + 2 for n, w in enumerate(self.vocabulary)}
        rows = [[number.get(w, UNKNOWN) for w in words(c)] or [UNKNOWN] for c in captions]
        longest = max(map(len, rows), default=1)
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], dtype=torch.int64)
