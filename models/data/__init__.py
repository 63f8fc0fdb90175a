"""The data of the caption model, from the source that `data.source` names to bytes on the device.

emoji.py, shapes.py         bundled: drawn when they are needed
folder.py, coco.py          the user's images and captions: what there is, and what is wrong with it
files.py                    their way to the device: listed, split, decoded (decode.py, cache.py)
problems.py                 problems are counted, named, and refused or skipped
tokenizer.py                words to numbers
captioned.py                the common result, from which training steps draw
"""

from functools import partial

import torch

from models.config import Config
from models.data import emoji, files, shapes
from models.data.captioned import Captioned, Data, Say

__all__ = ["Captioned", "Data", "load"]


def load(config: Config, device: torch.device | str = "cpu", say: Say = partial(print, flush=True)) -> Data:
    """The images of `config.data.source`, captioned, split, tokenized and on the device.

    `say` receives sentences for the user: progress, and what was left out. Raises ValueError when the source
    can't be used, and RuntimeError when the emoji font can't be drawn.
    """
    if config.data.source == "emoji":
        pictures = emoji.pictures(config.size, config.split_seed)
    elif config.data.source == "shapes":
        pictures = shapes.pictures(
            config.size, config.split_seed, config.data.split, device, config.data.objects
        )
    else:
        pictures = files.pictures(config.data, config.size, config.split_seed, say)
    return Data.of(pictures, config.train_images, config.valid_images, device, say)
