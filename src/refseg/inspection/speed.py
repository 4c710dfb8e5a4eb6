"""How fast a network with random weights is on this machine: images a second, and seconds of a step of training.

Papers measure on their own machines: compare two networks on one machine, not one network on two.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

import torch

from refseg import networks
from refseg.batch import Batch
from refseg.inspection.costs import vocabulary_size
from refseg.networks.network import Network

WARM_UP = 2
MOST, MOST_SECONDS = 50, 10.0  # of measured runs; on a slow machine one warms up and one is measured
STEP_IMAGES = {"cpu": 2}
MANY_IMAGES = 4  # of a step on a GPU: a GPU's share in EAVL's batches of 32 on 8


def measure_images_per_second(
    name: str, settings: Mapping[str, Any] | None = None, side: int = 480, device: str = "cpu"
) -> float:
    """Measures inference of one image and one expression at a time, warm: the median of up to 50 runs.

    Args:
        name: of the network or preset.
        settings: that differ from the preset.
        side: of the image.
        device: that computes.
    """
    network = _build(name, settings, device).eval()
    batch = _batch(network, 1, side, device)

    def infer() -> None:
        with torch.inference_mode():
            network(batch.image, batch.tokens, batch.word_mask)

    return 1 / median(_seconds(infer, device))


def measure_training_seconds(
    name: str, settings: Mapping[str, Any] | None = None, side: int = 480, device: str = "cpu", bf16: bool = False
) -> float:
    """Measures a step of training, forward, backward and AdamW on all parameters: seconds for each of its images.

    Args:
        name: of the network or preset.
        settings: that differ from the preset.
        side: of the images; a step has 2 on a CPU and 4 on a GPU.
        device: that computes.
        bf16: whether the network computes in bfloat16.
    """
    network = _build(name, settings, device).train()
    images = STEP_IMAGES.get(device.partition(":")[0], MANY_IMAGES)
    batch = _batch(network, images, side, device)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-6)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=bf16):
            loss = network.loss(batch)["loss"]
        loss.backward()
        optimiser.step()

    return median(_seconds(step, device)) / images


def _build(name: str, settings: Mapping[str, Any] | None, device: str) -> Network:
    network: Network = networks.build(name, settings or {}, vocabulary_size(name, settings))
    return network.to(device)


def _batch(network: Network, images: int, side: int, device: str) -> Batch:
    """Returns noise, each image with an expression about a square, for networks that learn from masks."""
    words = network.config.max_words  # type: ignore[attr-defined]
    truth = torch.zeros(images, side, side)
    truth[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    tokens = torch.ones(images, words, dtype=torch.int64, device=device)
    return Batch(
        image=torch.randn(images, *network.image_shape((side, side)), device=device),
        tokens=tokens,
        word_mask=torch.ones_like(tokens, dtype=torch.bool),
        image_of_expression=torch.arange(images, device=device),
        targets=torch.ones(images, 1, dtype=torch.bool, device=device),
        truth=truth.to(device),
        erased=tokens,
    )


def _seconds(run: Callable[[], None], device: str) -> list[float]:
    """Returns the seconds of measured runs, which follow those that warm up."""
    times = list(_timed(run, device))
    return times[min(WARM_UP, len(times) - 1) :]


def _timed(run: Callable[[], None], device: str) -> Iterator[float]:
    begin = time.perf_counter()
    for number in range(WARM_UP + MOST):
        before = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        yield time.perf_counter() - before
        if number and time.perf_counter() - begin > MOST_SECONDS:
            return
