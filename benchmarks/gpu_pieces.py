"""What `gpu.py` measures: each piece takes its record, what is asked, and the name of a network or recipe.

Times are medians by the device's own clock (CUDA events) after runs that warm up; memory is the most that torch had
allocated since the warm-up. Float32 is IEEE float32, without TF32.
"""

import gc
import importlib.util
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from refseg import networks
from refseg.batch import Batch
from refseg.conversion.cmirnet import CMIRNetLayout
from refseg.conversion.dmmi import DMMILayout, official_name
from refseg.encoders.configs import BertConfig
from refseg.errors import InvalidInput
from refseg.hardware import describe_hardware, versions
from refseg.inference.chunks import fuse_in_parts
from refseg.inspection.costs import vocabulary_size
from refseg.networks.dmmi import MBA
from refseg.networks.network import Network
from refseg.recipes import find_recipe
from refseg.training.devices import Devices
from refseg.training.loop import StageLoop
from refseg.training.parameter_groups import Length, frozen_parameters

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDE, BATCHES, EXPRESSIONS, STEP_IMAGES = 480, (1, 16, 32), (1, 16, 64), (16, 32)
TINY_SIDE, TINY_BATCHES, TINY_EXPRESSIONS, TINY_IMAGES = 64, (1, 2), (1, 3), (2,)
WARM_UP, MOST, FEWEST, SECONDS = 2, 20, 3, 2.0  # runs, and seconds of those that are measured
PARITY = Path(__file__).resolve().parents[1] / "tests" / "parity" / "generator.py"
GOLDENS = PARITY.parents[1] / "assets" / "parity"
MODULE_ALLOWED, WHOLE_ALLOWED = 1e-5, 1e-4  # error relative to the largest value, as in tests/parity
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"
NOT_IN_TIME = "did not end in time"

torch.set_float32_matmul_precision("highest")
torch.backends.cudnn.allow_tf32 = False


def attempt(record: Any, case: str, asked: Any, measure: Callable[[], Mapping[str, Any]]) -> None:
    """Measures a case unless it is known, and notes its figures or its error; the other cases go on.

    Raises:
        Exception: if the device cannot compute any more.
    """
    if "error" not in record.cases.get(case, {"error": ""}):
        return
    record.add(case, {"error": NOT_IN_TIME})  # stays if this process is killed
    try:
        record.add(case, measure())
    except torch.OutOfMemoryError:
        record.add(case, {"error": "out of memory"})
    except Exception as error:
        traceback.print_exc()
        record.add(case, {"error": f"{type(error).__name__}: {error}"})
    gc.collect()
    if asked.device.startswith("cuda"):
        torch.cuda.synchronize()  # raises the error again if it was the device's
        torch.cuda.empty_cache()


def state_of(record: Any) -> str:
    """Returns whether all cases have figures; those that do not fit into memory are finished."""
    errors = [case["error"] for case in record.cases.values() if case.get("error", "out of memory") != "out of memory"]
    return FAILED if errors else FINISHED


def timed(run: Callable[[], object], asked: Any) -> dict[str, Any]:
    """Returns the median seconds of some runs, those of the first one, and the peak memory in GiB."""
    on_gpu = asked.device.startswith("cuda")
    begin = time.perf_counter()
    for number in range(1 if asked.tiny else WARM_UP):
        run()
        if on_gpu:
            torch.cuda.synchronize()
        if number == 0:
            first = time.perf_counter() - begin
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds: list[float] = []
    fewest, most = (1, 1) if asked.tiny else (FEWEST, MOST)
    while len(seconds) < fewest or (len(seconds) < most and sum(seconds) < SECONDS):
        seconds.append(seconds_on_gpu(run) if on_gpu else seconds_of(run))
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None
    return {"seconds": statistics.median(seconds), "first_seconds": first, "runs": len(seconds), "peak_gib": peak}


def seconds_of(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def seconds_on_gpu(run: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def autocast(asked: Any, precision: str) -> torch.autocast:
    dtype = PRECISIONS[precision]
    return torch.autocast(asked.device.partition(":")[0], torch.bfloat16, enabled=dtype == torch.bfloat16)


def rates(record: Any, asked: Any, _: str) -> str:
    """Matrix products and convolutions that are large enough to keep the device busy, in TFLOP/s."""
    record.note(hardware=f"{describe_hardware(asked.device)}; {versions()}")
    side, channels, grid, images = (256, 16, 16, 1) if asked.tiny else (8192, 256, 120, 32)
    for name, dtype in PRECISIONS.items():

        def product(dtype: torch.dtype = dtype) -> dict[str, Any]:
            a, b = (torch.randn(side, side, device=asked.device, dtype=dtype) for _ in range(2))
            figures = timed(lambda: a @ b, asked)
            return figures | {"tflops": 2 * side**3 / figures["seconds"] / 1e12}

        def convolution(dtype: torch.dtype = dtype) -> dict[str, Any]:
            x = torch.randn(images, channels, grid, grid, device=asked.device, dtype=dtype)
            w = torch.randn(channels, channels, 3, 3, device=asked.device, dtype=dtype)
            figures = timed(lambda: F.conv2d(x, w, padding=1), asked)
            return figures | {"tflops": 18 * images * (grid * channels) ** 2 / figures["seconds"] / 1e12}

        attempt(record, f"{name} matrix product", asked, torch.inference_mode()(product))
        attempt(record, f"{name} convolution", asked, torch.inference_mode()(convolution))
    return state_of(record)


def parity(record: Any, asked: Any, _: str) -> str:
    """Float32 on this device against outputs of the authors' code: a module, and two whole networks."""
    attempt(record, "dmmi_mba", asked, lambda: parity_of_module(asked))
    if not asked.tiny:
        attempt(record, "dmmi_swin_base", asked, lambda: parity_of_network("dmmi_swin_base", asked))
        attempt(record, "cmirnet_swin_base", asked, lambda: parity_of_network("cmirnet_swin_base", asked))
    wrong = [case for case in record.cases.values() if "worst" in case and not case["worst"] <= case["allowed"]]
    return FAILED if wrong else state_of(record)


@torch.inference_mode()
def parity_of_module(asked: Any) -> dict[str, Any]:
    generator, about, stored = golden("dmmi_mba")
    config = networks.preset("dmmi_swin_base")
    mba = MBA(config, 64, 768).eval()  # type: ignore[arg-type]
    weights = generator.fill(about["state_dict"], about["prefix"])
    state = {}
    for key, own in mba.state_dict().items():
        official = official_name(f"fusions.0.mba.{key}", config)  # type: ignore[arg-type]
        state[key] = torch.from_numpy(weights[str(official).removeprefix("backbone.layers.0.fusion.")]).view(own.shape)
    mba.load_state_dict(state)
    pixels = torch.from_numpy(generator.noise("module/visual36x64", (2, 36, 64))).float()
    words = torch.from_numpy(generator.noise("module/text", (2, 768, 20))).float().mT
    mask = torch.from_numpy(generator.tokens("module/tokens", [11, 7])[1]).bool()
    pixels, words, mask = (each.to(asked.device) for each in (pixels, words, mask))
    visual, text = mba.to(asked.device)(pixels, (6, 6), words, mask)
    return {"worst": max(error(visual, stored["visual"]), error(text.mT, stored["text"])), "allowed": MODULE_ALLOWED}


@torch.inference_mode()
def parity_of_network(name: str, asked: Any) -> dict[str, Any]:
    """The difference of the two classes' logits, of which ours is the only one, and the mask."""
    generator, about, stored = golden(name)
    layout = DMMILayout() if name.startswith("dmmi") else CMIRNetLayout()
    network = networks.build(name, {"word_encoder": BertConfig(layers=0)}, 30).eval()
    weights, own, state = generator.fill(about["state_dict"], about["prefix"]), network.state_dict(), {}
    for key, official in layout.official_names(network).items():  # type: ignore[arg-type]
        arrays = [weights[each] for each in ((official,) if isinstance(official, str) else official)]  # type: ignore
        state[key] = torch.from_numpy(np.concatenate(arrays) if arrays[0].ndim else arrays[0]).view(own[key].shape)
    rest = network.load_state_dict(state, strict=False)
    assert not rest.unexpected_keys and all(key.startswith("word_encoder.") for key in rest.missing_keys)
    network.to(asked.device)
    side = about["image_size"]
    image = torch.from_numpy(generator.image("input/image", 1, side, side)).to(asked.device)
    words = torch.from_numpy(generator.noise("input/text", (1, 768, 20))).float().mT.to(asked.device)
    mask = torch.from_numpy(generator.tokens("input/tokens", [11])[1]).bool().to(asked.device)
    logits = network.fuse(network.encode_image(image), words, mask, torch.zeros_like(mask[:, 0], dtype=torch.int64))
    ours = logits.logits.cpu().numpy().reshape(-1)
    background, referent = np.split(stored["out"].astype(np.float64).reshape(-1), 2)  # at the same places
    sampled = generator.sample(np.tile(ours, 2), stored["out"].size)[: len(referent)]
    worst = np.abs(sampled - (referent - background)).max() / np.abs(stored["out"]).max()
    wanted = np.unpackbits(stored["mask"])[: ours.size].astype(bool)
    different = int(((ours > 0) != wanted).sum())
    return {"worst": float(worst), "allowed": WHOLE_ALLOWED, "different": different, "pixels": ours.size}


def golden(name: str) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
    """Returns the generator of weights and inputs, what is said of a golden, and its arrays."""
    spec = importlib.util.spec_from_file_location("parity_generator", PARITY)
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    return generator, json.loads((GOLDENS / f"{name}.json").read_text()), dict(np.load(GOLDENS / f"{name}.npz"))


def error(values: Tensor, stored: np.ndarray) -> float:
    """Returns the largest error relative to the largest value; the goldens hold evenly spread samples."""
    flat = values.float().cpu().contiguous().numpy().reshape(-1)
    chosen = flat if flat.size == stored.size else flat[np.arange(stored.size) * flat.size // stored.size]
    return float(np.abs(chosen - stored.reshape(-1)).max() / np.abs(stored).max())


class Inputs:
    """Noise and random words for a network with random weights, on the device."""

    def __init__(self, preset: str, asked: Any):
        torch.manual_seed(0)
        self.side, self.device = TINY_SIDE if asked.tiny else SIDE, asked.device
        self.tokens = vocabulary_size(preset)
        try:
            with torch.device(asked.device):  # weights are drawn where they are used, which takes less time
                self.network: Network = networks.build(preset, {}, self.tokens)
        except InvalidInput:
            self.network = networks.build(preset, {}, self.tokens)
        self.network.to(asked.device).eval()

    def images(self, count: int) -> Tensor:
        """Returns noise (B, 3, H, W)."""
        return torch.randn(count, *self.network.image_shape((self.side, self.side)), device=self.device)

    def words(self, count: int) -> tuple[Tensor, Tensor]:
        """Returns tokens and word mask of so many expressions of every length that the network reads."""
        length: int = self.network.config.max_words  # type: ignore[attr-defined]
        lengths = torch.randint(min(4, length), length + 1, (count, 1), device=self.device)
        lengths[0] = length
        mask = torch.arange(length, device=self.device) < lengths
        return torch.randint(1, self.tokens, (count, length), device=self.device) * mask, mask

    def pairs(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns images with an expression each, the arguments of a network."""
        return self.images(count), *self.words(count)


@torch.inference_mode()
def forward(record: Any, asked: Any, preset: str) -> str:
    """Pairs of image and expression in batches, then many expressions about one image."""
    inputs = Inputs(preset, asked)
    network = inputs.network.requires_grad_(False)  # torch cannot count where a module is given a parameter that learns
    record.note(network=preset, parameters=sum(p.numel() for p in network.parameters()))
    attempt(record, "count", asked, lambda: {"flop": count_flop(inputs)})
    for precision in PRECISIONS:
        for batch in TINY_BATCHES if asked.tiny else BATCHES:

            def run(precision: str = precision, batch: int = batch) -> dict[str, Any]:
                pairs = inputs.pairs(batch)
                with autocast(asked, precision):
                    return timed(lambda: network(*pairs), asked) | {"batch": batch}

            attempt(record, f"{precision} {batch}", asked, run)
    for count in TINY_EXPRESSIONS if asked.tiny else EXPRESSIONS:
        for kind in ("expressions", "at once"):
            whole = kind == "at once"

            def many(count: int = count, whole: bool = whole) -> dict[str, Any]:
                return ask_together(inputs, asked, count, whole)

            attempt(record, f"{kind} {count}", asked, many)
    return state_of(record)


def count_flop(inputs: Inputs) -> int:
    """Counts the floating-point operations of a pair, as torch counts those that it runs."""
    with torch.inference_mode(False), torch.no_grad(), FlopCounterMode(display=False) as counter:
        inputs.network(*inputs.pairs(1))
    return counter.get_total_flops()


def ask_together(inputs: Inputs, asked: Any, count: int, whole: bool) -> dict[str, Any]:
    """Times expressions about one image, which is encoded once; fused in parts as users do, or as a whole."""
    network, image, (tokens, mask) = inputs.network, inputs.images(1), inputs.words(count)
    of_image = torch.zeros(count, dtype=torch.int64, device=inputs.device)

    def run() -> None:
        features, words = network.encode_image(image), network.encode_words(tokens, mask)
        if whole:
            network.fuse(features, words, mask, of_image)
        else:
            fuse_in_parts(network, features, words, mask, of_image, (inputs.side, inputs.side))

    with autocast(asked, "bf16"):
        return timed(run, asked)


@torch.no_grad()
def compiled(record: Any, asked: Any, preset: str) -> str:
    """Some of the cases of `forward`, compiled for their own batch each."""
    inputs = Inputs(preset, asked)
    record.note(network=preset)
    cases = [("bf16", 2)] if asked.tiny else [("bf16", 32), ("bf16", 1), ("fp32", 32), ("bf16", 16)]
    for precision, batch in cases:

        def run(precision: str = precision, batch: int = batch) -> dict[str, Any]:
            torch.compiler.reset()
            fast = torch.compile(inputs.network.forward, dynamic=False, backend=backend(asked))
            pairs = inputs.pairs(batch)
            with autocast(asked, precision):
                return timed(lambda: fast(*pairs), asked) | {"batch": batch}

        attempt(record, f"{precision} {batch}", asked, run)
    return state_of(record)


def backend(asked: Any) -> str:
    """Returns the compiler; tiny sizes are traced only, since writing machine code takes longest."""
    return "eager" if asked.tiny else "inductor"


def step(record: Any, asked: Any, recipe: str) -> str:
    """A step of `refseg train`, and one of the plainest loop: autocast, backward, AdamW."""
    for images in TINY_IMAGES if asked.tiny else STEP_IMAGES:
        attempt(record, f"loop {images}", asked, lambda images=images: step_of_loop(recipe, images, asked))
        attempt(record, f"plain {images}", asked, lambda images=images: plain_step(recipe, images, asked))
    return state_of(record)


def step_compiled(record: Any, asked: Any, recipe: str) -> str:
    """The plain loop with the network's losses compiled."""
    for images in TINY_IMAGES if asked.tiny else STEP_IMAGES:
        attempt(record, f"compiled {images}", asked, lambda images=images: plain_step(recipe, images, asked, True))
    return state_of(record)


def step_of_loop(recipe: str, images: int, asked: Any) -> dict[str, Any]:
    """Times `StageLoop.train_step` in bf16 on one batch, which comes from the CPU again and again."""
    loop, batch = learner(recipe, images, asked)
    parts: Iterator[Any] = repeat(batch)
    figures = timed(lambda: loop.train_step(parts), asked)
    return figures | {"batch": images, "loss": float(loop.compute_losses(loop.fabric.to_device(batch))["loss"])}


def plain_step(recipe: str, images: int, asked: Any, is_compiled: bool = False) -> dict[str, Any]:
    """Times what the loop does, without it; the same parameters learn."""
    loop, batch = learner(recipe, images, asked)
    network = loop.network
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], lr=1e-5, fused=asked.device.startswith("cuda")
    )
    loss = network.loss
    if is_compiled:
        torch.compiler.reset()
        loss = torch.compile(network.loss, dynamic=False, backend=backend(asked))

    def run() -> None:
        here = loop.fabric.to_device(batch)
        optimizer.zero_grad()
        with autocast(asked, "bf16"):
            value = loss(here)["loss"]
        value.backward()
        optimizer.step()

    return timed(run, asked) | {"batch": images}


def learner(name: str, images: int, asked: Any) -> tuple[StageLoop, Batch]:
    """Returns the loop of a recipe's last stage in bf16 with random weights, and a batch: a square in noise."""
    recipe = find_recipe(name)
    inputs = Inputs(recipe.network, asked)
    accelerator = "gpu" if asked.device.startswith("cuda") else "cpu"
    fabric = Devices(accelerator=accelerator).fabric("bf16-mixed")
    fabric.launch()
    stage = recipe.stages[-1].replace(images=images, accumulate=1, expressions_per_image=1)
    frozen = frozen_parameters(inputs.network)
    loop = StageLoop(fabric, inputs.network.train(), stage, Length(10**6, 10**4), asked.out, frozen=frozen)
    image, tokens, mask = (each.cpu() for each in inputs.pairs(images))
    truth = torch.zeros(images, inputs.side, inputs.side)
    truth[:, inputs.side // 4 : inputs.side // 2, inputs.side // 4 : inputs.side // 2] = 1
    batch = Batch(
        image=image,
        tokens=tokens,
        word_mask=mask,
        image_of_expression=torch.arange(images),
        targets=torch.ones(images, 1, dtype=torch.bool),
        truth=truth,
        erased=tokens * (torch.arange(tokens.shape[1]) != 1),
    )
    if accelerator == "gpu":
        batch = Batch(**{name: pinned(value) for name, value in vars(batch).items()})
    return loop, batch


def pinned(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) else value


def study(record: Any, asked: Any, _: str) -> str:
    """A table of a paper on drawn scenes, as `refseg study NAME --small`; goes on where it was stopped."""
    from refseg.studies import resolve
    from refseg.studies.run import run_study
    from refseg.training.stopping import TrainingStopped

    settings: list[str] = []
    if asked.tiny:
        resolve.SMALL_COUNT = 2
        settings = tiny_settings(find_recipe("cris_small"))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)
        record.note(so_far=line)

    try:
        run_study(
            asked.study,
            asked.out / "study",
            small=True,
            rows="1" if asked.tiny else "",
            device=asked.device,
            settings=settings,
            on_message=say,
        )
    except TrainingStopped as stopped:
        record.note(so_far=f"{said[-1] if said else asked.study}: {stopped}")
        return STOPPED
    record.note(so_far=f"{asked.study}: all rows")
    return FINISHED


def train(record: Any, asked: Any, _: str) -> str:
    """A recipe, as `refseg train NAME`; goes on where it was stopped."""
    from refseg.training.run import best_score
    from refseg.training.run import train as train_recipe
    from refseg.training.stopping import TrainingStopped

    recipe, out = find_recipe(asked.recipe), asked.out / "train" / asked.recipe
    if asked.tiny:
        recipe = recipe.with_settings(tiny_settings(recipe))
    devices = Devices(accelerator="gpu" if asked.device.startswith("cuda") else "cpu")
    try:
        train_recipe(recipe, out, (out / "recipe.yaml").is_file(), devices, save_minutes=1.0)
        state, so_far = FINISHED, "all stages"
    except TrainingStopped as stopped:
        state, so_far = STOPPED, str(stopped)
    score = best_score(out / "best")
    record.note(so_far=f"{asked.recipe}: {so_far}{f', best oIoU {100 * score:.1f}' if score >= 0 else ''}")
    return state


def tiny_settings(recipe: Any) -> list[str]:
    """Returns settings with which a recipe on drawn scenes takes seconds."""
    settings = ["data.scenes=8", "data.validation_scenes=2", "data.calibration_scenes=2"]
    for each in recipe.stages:
        settings += [f"stages.{each.name}.steps=2", f"stages.{each.name}.images=2"]
        settings += [f"stages.{each.name}.validate_every=2"]
        if each.expressions_per_image:
            settings += [f"stages.{each.name}.expressions_per_image=2"]
        if each.cached_scenes:
            settings += [f"stages.{each.name}.cached_scenes=8"]
    return settings
