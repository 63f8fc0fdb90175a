"""The smallest caption model that is worth training, for the tests that only need one."""

from typing import Any

SMALL: dict[str, Any] = {
    "data": "shapes",
    "size": 12,
    "convnet.depth": 8,
    "convnet.profundity": 4,
    "reader.size": 8,
    "reader.embedding": 8,
    "batch_size": 8,
}
