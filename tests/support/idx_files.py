"""A dozen random images in the four files of MNIST, as its format has them."""

import struct

import numpy as np

N_TRAIN, N_TEST = 12, 5


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents():
    draw = np.random.default_rng(0)
    each = {}
    for name, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        each[f"{name}-images-idx3-ubyte"] = idx(draw.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        each[f"{name}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    return each
