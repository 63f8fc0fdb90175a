"""The GPU's kernel answers as the reference: interpreted and compiled anywhere, and run where there is a GPU."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.network.kernels import kernels
from models.task import losses
from models.task.losses import level_loss

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: it comes with torch for CUDA"
)
pytestmark = pytest.mark.xdist_group("fused")  # the interpreter runs once, in one process
MIXTURES = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.3), (0.5, 2.0, 1.5)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

INTERPRETED = """
import json, sys, torch
from models.task import fused, losses

def worst(ours, exact):
    return ((ours.double() - exact.double()).abs() / (1 + exact.double().abs())).max().item()

def kernel(z, y, emd2, emd, xent, wanted):
    loss, dz = losses.outputs(z, wanted)
    fused.fill(z, y, emd2, emd, xent, loss, dz)
    return loss, dz

torch.manual_seed(0)
told = []
for mixture in json.loads(sys.argv[1]):
    for name in json.loads(sys.argv[2]):
        dtype = getattr(torch, name)
        z = torch.randn(19, 256) * torch.tensor([0.1, 3, 1e4]).repeat(7)[:19, None]  # 19: no multiple of ROWS
        z[3], z[4] = 0, -1e4
        z[4, 77] = 0
        z = z.to(dtype)
        y = torch.randint(256, (19,), dtype=torch.uint8)
        y[:2] = torch.tensor([0, 255])
        loss, dz = kernel(z, y, *mixture, True)
        exact, gradient = losses._reference(z.double(), y, *mixture, True)
        alone, none = kernel(z, y.long(), *mixture, False)
        told.append([name, worst(loss, exact), worst(dz, gradient), worst(alone, exact), none.numel(), str(dz.dtype)])

bad = torch.tensor([0, 256, -1, 255])
loss, dz = kernel(torch.zeros(4, 256), bad, 1.0, 0.0, 1.0, True)
empty = kernel(torch.zeros(0, 256), bad[:0], 1.0, 0.0, 1.0, True)
narrow = kernel(torch.zeros(3, 64), torch.tensor([0, 32, 63]), 1.0, 0.0, 0.0, False)[0]
wide = losses._reference(torch.zeros(3, 64), torch.tensor([0, 32, 63]), 1.0, 0.0, 0.0, False)[0]
print(json.dumps({
    "told": told, "nan loss": loss.isnan().tolist(), "nan gradient": dz.isnan().all(1).tolist(),
    "empty": [list(t.shape) for t in empty], "narrow": worst(narrow, wide),
}))
"""


@pytest.fixture(scope="module")
def interpreted():
    """What the kernel says in Triton's interpreter, which must be asked for before Triton is imported."""
    names = [str(d).removeprefix("torch.") for d in DTYPES]
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, json.dumps(MIXTURES), json.dumps(names)],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_triton
def test_the_kernel_agrees_with_the_reference_in_float64(interpreted):
    """All mixtures, dtypes, sharp and flat logits: losses to 2e-5, gradients to the rounding of their dtype."""
    assert len(interpreted["told"]) == len(MIXTURES) * len(DTYPES)
    # The interpreter cuts bf16 off where a GPU rounds.
    rounding = {"float32": 2e-5, "bfloat16": 2**-7, "float16": 2**-11}
    for name, loss, gradient, loss_alone, no_gradient, dtype in interpreted["told"]:
        assert loss < 2e-5
        assert loss_alone < 2e-5
        assert gradient <= rounding[name]
        assert dtype == f"torch.{name}"
        assert no_gradient == 0


@needs_triton
def test_a_level_out_of_range_is_nan_in_its_own_row(interpreted):
    assert interpreted["nan loss"] == [False, True, True, False]
    assert interpreted["nan gradient"] == [False, True, True, False]


@needs_triton
def test_no_rows_and_fewer_levels(interpreted):
    assert interpreted["empty"] == [[0], [0, 256]]
    assert interpreted["narrow"] < 1e-6


@needs_triton
@pytest.mark.parametrize("capability", [80, 90])
def test_it_compiles_for_the_gpu_without_one_and_spills_nothing(capability, tmp_path, monkeypatch, capsys):
    """To machine code by ptxas, as a launch would: registers only, and loads and stores of 16 bytes."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from models.task import fused

    pointers = {"z_at": "*bf16", "y_at": "*u8", "loss_at": "*fp32", "dz_at": "*bf16"}
    numbers = {"rows": "i32", "emd2": "fp32", "emd": "fp32", "xent": "fp32"}
    constants = {"J": 256, "R": fused.ROWS, "EMD2": True, "EMD": False, "XENT": True, "WANTED": True}
    source = ASTSource(
        fused.kernel,
        {**pointers, **numbers, **dict.fromkeys(constants, "constexpr")},
        constexprs=constants,
        attrs={
            (i,): [["tt.divisibility", 16]] for i in range(len(pointers))
        },  # what torch allocates is aligned
    )
    kernel = triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options={"num_warps": fused.WARPS}
    )
    assert kernel.asm["cubin"].startswith(b"\x7fELF")
    assert re.search(r"ld\.global\S*\.v4", kernel.asm["ptx"])
    assert re.search(r"st\.global\S*\.v4", kernel.asm["ptx"])
    assert "cvt.rn.bf16" in kernel.asm["ptx"]  # rounded to the nearest

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    if not tool.exists():
        pytest.skip(f"it compiles; {tool.name} is not there to say what with")
    (tmp_path / "kernel.cubin").write_bytes(kernel.asm["cubin"])
    said = subprocess.run(
        [tool, "-res-usage", tmp_path / "kernel.cubin"], capture_output=True, text=True, check=True
    )
    used = {k: int(v) for k, v in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", said.stdout)}
    with capsys.disabled():
        print(f"\nsm_{capability}: {used}")
    assert used["STACK"] == used["LOCAL"] == 0  # nothing spilled to memory
    assert used["REG"] <= 80  # beyond, fewer warps fit than keep the memory busy


def test_triton_is_imported_by_nobody_before_a_gpu_needs_it():
    code = "import sys; from models.task import losses, maskers; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_triton_the_reference_is_used_and_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)  # importing it now raises ImportError
    monkeypatch.delitem(sys.modules, "models.task.fused", raising=False)
    monkeypatch.delattr("models.task.fused", raising=False)
    kernels.cache_clear()
    try:
        z, y = torch.randn(5, 256), torch.arange(5)
        with pytest.warns(UserWarning, match="install triton") as warned:
            loss, dz = losses._on_gpu(z, y, 1.0, 0.0, 0.3, True)
            losses._on_gpu(z, y, 1.0, 0.0, 0.3, True)
        assert len(warned) == 1
        torch.testing.assert_close((loss, dz), losses._reference(z, y, 1.0, 0.0, 0.3, True))
    finally:
        kernels.cache_clear()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_a_gpu_it_equals_the_reference(mixture, dtype):
    kinds = dict(zip(("emd2", "emd", "xent"), mixture, strict=True))
    z = (torch.randn(5, 1001, 256, device="cuda") * 3).to(dtype)
    y = torch.randint(256, (5, 1001), device="cuda", dtype=torch.uint8)
    weight = torch.rand(5, 1001, device="cuda")
    got = []
    for like in (z.clone(), z.double()):  # float64 is the reference's
        loss = level_loss(like.requires_grad_(), y, **kinds)
        (dz,) = torch.autograd.grad((loss * weight).sum(), like)
        got.append((loss.double(), dz.double()))
    (loss, dz), (exact, gradient) = got
    torch.testing.assert_close(loss, exact, atol=1e-4, rtol=1e-4)
    rounding = 2 * torch.finfo(dtype).eps  # twice: when written, and when multiplied by what comes in
    torch.testing.assert_close(dz, gradient, atol=1e-4, rtol=max(rounding, 1e-4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_takes_a_quarter_of_the_naive_memory():
    def naive(z, y):
        e = z.softmax(-1).cumsum(-1) - (torch.arange(256, device="cuda") >= y[:, None]).float()
        return e.square().sum(-1) + torch.nn.functional.cross_entropy(z, y, reduction="none")

    def peak(loss, dtype):
        y = torch.randint(256, (1 << 17,), device="cuda")
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        z = torch.randn(1 << 17, 256, device="cuda", dtype=dtype, requires_grad=True)
        loss(z, y).mean().backward()
        return torch.cuda.max_memory_allocated() - before

    ours = peak(lambda z, y: level_loss(z, y, emd2=1.0, xent=1.0), torch.bfloat16)
    assert ours <= peak(naive, torch.float32) / 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_graph_holds_it():
    z = torch.randn(64, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    y = torch.randint(256, (64,), device="cuda", dtype=torch.uint8)

    def step():
        return torch.autograd.grad(level_loss(z, y, emd2=1.0, xent=1.0).mean(), z)[0]

    with torch.cuda.stream(torch.cuda.Stream()):
        step()  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        z.copy_(torch.randn(64, 256))
    graph.replay()
    torch.testing.assert_close(captured, step())
