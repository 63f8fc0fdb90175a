"""FLOPs per training step, and the share of a GPU's peak that they use (model FLOPs utilisation, MFU).

The model is run forward and backward on the meta device, where tensors have a shape and no content, and
every convolution and matrix product is counted as it passes: exact for any configuration, in seconds for the
largest of 2017 and without its memory. A multiply and an add are two FLOPs. Everything else (norms, activations,
the scan of a qrnn, softmaxes, embeddings, the loss, the optimiser) is bound by memory and not counted; nor is
recomputation. So MFU is defined as by Chowdhery et al. 2022 (PaLM, appendix B): FLOPs that the model needs, divided
by those that the device could have done.
"""

from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.config import Config
from models.network.model import CaptionModel

WORDS = 16  # of a caption; 64 are 0.002 % more work at depth 256 and 16 layers

H100_SXM = {"bf16": 989.4e12, "fp32": 494.7e12}
A100 = {"bf16": 312e12, "fp32": 156e12}

PEAKS: dict[str, dict[str, float]] = {
    # Hopper, Blackwell: NVIDIA's H100, H200 and HGX B200 data sheets, which print the double, for sparse matrices
    "B200": {"bf16": 2.25e15},
    "GH200 480GB": H100_SXM,
    "H200": H100_SXM,
    "H100 80GB HBM3": H100_SXM,
    "H100 NVL": {"bf16": 835.5e12, "fp32": 417.5e12},
    "H100 PCIe": {"bf16": 756e12, "fp32": 378e12},
    # Ada: the L4 and L40S data sheets; the AD102 whitepaper, table 2 (products summed in float32)
    "L4": {"bf16": 121e12, "fp32": 60e12},
    "L40": {"bf16": 181e12, "fp32": 90.5e12},
    "L40S": {"bf16": 362e12, "fp32": 183e12},
    "GeForce RTX 4090": {"bf16": 165.2e12, "fp32": 82.6e12},
    # Ampere: the A100, A40 and A10 data sheets; the GA102 whitepaper, table 2
    "A100-SXM4-40GB": A100,
    "A100-SXM4-80GB": A100,
    "A100-PCIE-40GB": A100,
    "A100 80GB PCIe": A100,
    "A40": {"bf16": 149.7e12, "fp32": 74.8e12},
    "A10": {"bf16": 125e12, "fp32": 62.5e12},
    "RTX A6000": {"bf16": 154.8e12, "fp32": 77.4e12},
    "GeForce RTX 3090": {"bf16": 71e12, "fp32": 35.6e12},
    # Turing, Volta: the T4 and V100 data sheets. They have neither bf16 nor TF32.
    "Tesla T4": {"fp32": 8.1e12},
    "Tesla V100-SXM2-16GB": {"fp32": 15.7e12},
    "Tesla V100-SXM2-32GB": {"fp32": 15.7e12},
    "Tesla V100-PCIE-16GB": {"fp32": 14.0e12},
    "Tesla V100-PCIE-32GB": {"fp32": 14.0e12},
}
"""Dense peak FLOP/s by torch.cuda.get_device_name() without its "NVIDIA ". "fp32" is TF32 where there is such
a thing: PyTorch lets cuDNN's convolutions use it, and they are nearly all that this model does."""


def training_step(config: Config, vocabulary: int, batch: int | None = None, words: int = WORDS) -> int:
    """FLOPs of one forward and backward on `batch` images (`batch_size` by default) with captions of `words`."""
    return _count(config, vocabulary, config.batch_size if batch is None else batch, words, backward=True)


def training_image(config: Config, vocabulary: int, words: int = WORDS) -> int:
    """FLOPs of one image's share of a step."""
    return training_step(config, vocabulary, 1, words)


def forward_image(config: Config, vocabulary: int, words: int = WORDS) -> int:
    """FLOPs of one forward pass on one image, with logits for as many pixels as in a training step."""
    return _count(config, vocabulary, 1, words, backward=False)


def peak(device_name: str, precision: str) -> float | None:
    """FLOP/s of a device in "bf16" or "fp32"; None, not a guess, of one that is not in PEAKS (a slice of a
    GPU is not, nor is a CPU)."""
    return PEAKS.get(device_name.removeprefix("NVIDIA "), {}).get(precision)


def mfu(flops_per_second: float, device_name: str, precision: str) -> float | None:
    """The share of the peak, 0 to 1, or None where `peak` is."""
    most = peak(device_name, precision)
    return None if most is None else flops_per_second / most


def _count(config: Config, vocabulary: int, batch: int, words: int, backward: bool) -> int:
    side, asked = config.size, min(config.loss_pixels, config.size**2)
    with torch.device("meta"), nullcontext() if backward else torch.no_grad():
        model = CaptionModel(config, vocabulary)
        images = torch.empty(batch, 3, side, side, dtype=torch.uint8)
        given = torch.empty(batch, 3, side, side, dtype=torch.bool)
        tokens = torch.empty(batch, words, dtype=torch.int64)
        at = torch.empty(batch, asked, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            logits = model(images, given, tokens, at)  # [B, K, 3, 256]
            if backward:
                logits.sum().backward()
    return counter.get_total_flops()
