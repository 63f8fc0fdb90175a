"""Normalise, add, rectify: the written-out operation against autograd, Triton's kernels against both."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from models.network import norm_relu
from models.network.norms import ImageNorm

SHAPES = [(2, 8, 5, 7), (3, 24, 16, 16), (1, 5, 3, 3), (2, 130, 4, 9)]
EPS = 1e-5
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: it comes with torch for CUDA"
)
pytestmark = pytest.mark.xdist_group("fused")  # the interpreter runs once, in one process

INTERPRETED = """
import json, sys, torch
sys.path.insert(0, "tests/models")
import test_fused_norm as here
from models.network import fused_norm, norm_relu
fused_norm.PROGRAMS = 6  # several parts of an image, also of a small one
norm_relu.output, norm_relu.gradient = fused_norm.output, fused_norm.gradient
told = [
    [shape, added, dtype, here.relative_errors(shape, added, getattr(torch, dtype))]
    for shape in here.SHAPES for added in (False, True) for dtype in ("float32", "bfloat16")
]
x = torch.randn(2, 8, 4, 4)
x[1, 3, 2, 1] = float("nan")
y = norm_relu.norm_relu(x, torch.ones(8), torch.zeros(8), 1e-5)
print(json.dumps({"told": told, "nan": y.isnan().flatten(1).all(1).tolist()}))
"""


def relative_errors(shape, added, dtype, device="cpu", offset=20.0):
    """Of y and of each gradient, against float64."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size):
        return torch.randn(*size, generator=generator)

    last = torch.channels_last
    x = (3 * draw(*shape) + offset).to(device, dtype).contiguous(memory_format=last).requires_grad_()
    more = draw(*shape).to(device, dtype).requires_grad_() if added else None
    weight, bias = (draw(shape[1]).to(device).requires_grad_() for _ in range(2))
    dy = draw(*shape).to(device, dtype)
    given = [x, weight, bias, *([more] if added else [])]
    y = norm_relu.norm_relu(x, weight, bias, EPS, more)
    gradients = torch.autograd.grad(y, given, dy)
    exact = [t.detach().double().requires_grad_() for t in given]
    wanted = F.group_norm(exact[0], 1, exact[1], exact[2], EPS)
    wanted = wanted + exact[3] if added else wanted
    # Of millions of numbers some are within rounding of the kink: which side counts as theirs is ours to say.
    passed = torch.where(y > 0, dy, 0).double()
    pairs = [(y, wanted.relu()), *zip(gradients, torch.autograd.grad(wanted, exact, passed), strict=True)]
    assert y.dtype == dtype and y.is_contiguous(memory_format=last)
    return [((a.double() - b).norm() / b.norm().clamp(min=1e-3)).item() for a, b in pairs]


def limit(dtype):
    return 2e-5 if dtype == torch.float32 else 2**-6  # the interpreter cuts bf16 off where a GPU rounds


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_formulas_are_those_of_autograd(shape, added, dtype):
    assert max(relative_errors(shape, added, dtype)) < limit(dtype)


@pytest.fixture(scope="module")
def interpreted():
    """What the kernels say in Triton's interpreter, which must be asked for before Triton is imported."""
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_triton
def test_the_kernels_agree_with_float64(interpreted):
    assert len(interpreted["told"]) == len(SHAPES) * 4
    for shape, added, dtype, errors in interpreted["told"]:
        assert max(errors) < limit(getattr(torch, dtype)), (shape, added, dtype, errors)


@needs_triton
def test_a_nan_stays_in_its_own_image_and_is_not_rectified_away(interpreted):
    assert interpreted["nan"] == [False, True]


def test_the_norm_takes_it_on_a_gpu_only(monkeypatch):
    def refuse(*_):
        raise AssertionError("a CPU has a fused kernel of its own")

    norm, x = ImageNorm(6), torch.randn(2, 6, 4, 4)
    monkeypatch.setattr(norm_relu, "norm_relu", refuse)
    torch.testing.assert_close(norm.rectified(x, x), F.relu(x + norm(x)))
    assert not norm_relu.takes(x.double(), None) and not norm_relu.takes(x, x.double())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("shape", [*SHAPES, (64, 256, 64, 64), (5, 250, 33, 31)])
def test_on_a_gpu_the_kernels_agree_and_repeat(shape, added, dtype):
    limit = 2e-5 if dtype == torch.float32 else 2**-7
    first = relative_errors(shape, added, dtype, "cuda")
    assert max(first) < limit
    assert relative_errors(shape, added, dtype, "cuda") == first


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_can_be_compiled():
    norm = ImageNorm(24).cuda()
    x = torch.randn(2, 24, 8, 8, device="cuda", dtype=torch.bfloat16).contiguous(
        memory_format=torch.channels_last
    )
    compiled = torch.compile(lambda x: norm.rectified(x * 2, x) + 1, fullgraph=True)
    torch.testing.assert_close(compiled(x), norm.rectified(x * 2, x) + 1)
