"""PyTorch: a training loop as a good engineer writes it for a data set that fits into memory.

The whole set is one float tensor on the device, a batch is gathered from it by index (no
DataLoader, no worker process), Adam is the fused one, images lie channels last, losses stay on the
device until the epoch ends, threads are PyTorch's default. `--compiled` compiles the whole step.

Tried on 2 cores with the Fashion-MNIST network, batch 32, side by side, steps/s (median): fused
Adam 1,217, foreach 861, one by one 988; gathering each batch 1,217, cutting up a shuffled copy
1,372 without the time for the copy, which eats the difference; 1 thread and 2 threads alike.
All beside other work, so rough. Convolutions, likewise: MNIST CNN 57 as PyTorch lays images out, 61
channels last, 89 with pooling before ReLU too (best of 4).

Adam adds epsilon after the correction of the second moment, Keras before: no difference to speak
of at 1e-7. `--precision=bfloat16` is autocast.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

try:
    import torch
    import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
    from torch import nn
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: pip install -e .[peers]")

from benchmarks.peers._networks import NETWORKS
from benchmarks.peers._options import load_arrays, parser, refuse_augmentation, run
from benchmarks.peers._record import Record
from benchmarks.peers._torch_compiled import EPSILON, LEARNING_RATE, Step, compile_step
from benchmarks.peers._torch_network import build_model

# Large enough to be fast, small enough for photos in a few gigabytes.
EVALUATION_BATCH_SIZE = 256


def main(argv: Sequence[str]) -> None:
    """Trains, evaluates and writes the record."""
    record = Record()
    flags = parser(__doc__)
    flags.add_argument("--compiled", action="store_true", help="compile the whole step")
    options = flags.parse_args(argv)
    refuse_augmentation(options)
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TensorFloat-32, as TensorFlow's default is.
        torch.backends.cudnn.benchmark = True
    # Entering a context that is off costs time at each step.
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    if options.precision == "bfloat16":
        autocast = partial(torch.autocast, device.type, torch.bfloat16)

    with record.phase("data"):
        data = load_arrays(options)
        train_images, train_labels = to_device(data.train_images, data.train_labels, device)
        test_images, test_labels = to_device(data.test_images, data.test_labels, device)
    with record.phase("build"):
        network, shape = NETWORKS[options.model], data.train_images.shape[1:]
        model = build_model(network, data.num_classes, shape).to(device)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if options.compiled:
        num_examples, batch_size = len(train_labels), options.global_batch_size
        sizes = {min(batch_size, num_examples), num_examples % batch_size} - {0}
        shapes = [(train_images[:size], train_labels[:size]) for size in sizes]
        step, record.phases["compile"] = compile_step(model, autocast, shapes)
    else:
        step = eager_step(model, autocast)

    num_steps = math.ceil(len(train_labels) / options.global_batch_size)
    with record.phase("train"):
        for _ in range(options.epochs):
            started = time.perf_counter()
            train_loss = train_epoch(step, train_images, train_labels, options.global_batch_size)
            record.add_epoch(num_steps, time.perf_counter() - started)
    with record.phase("evaluate"):
        test_accuracy = evaluate(model, test_images, test_labels, autocast)
    record.write(
        options.output, test_accuracy=test_accuracy, train_loss=train_loss,
        num_parameters=num_parameters,
    )  # fmt: skip


def to_device(images, labels, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images float32 [N, height, width, channels] from 0 to 1, and labels int64 [N]."""
    pixels = torch.from_numpy(images).to(device).float().div_(255)
    return pixels, torch.from_numpy(labels).to(device).long()


def eager_step(model: nn.Module, autocast: Callable) -> Step:
    """Returns the step, from images and labels to the loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, fused=True)

    def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with autocast():
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def train_epoch(
    step: Step, images: torch.Tensor, labels: torch.Tensor, global_batch_size: int
) -> float:
    """Shows each example once, in a new order; returns the mean of the losses."""
    order = torch.randperm(len(labels), device=labels.device)
    losses = [
        step(images.index_select(0, indices), labels.index_select(0, indices))
        for indices in order.split(global_batch_size)
    ]
    # The only place where the host waits for the device.
    return torch.stack(losses).mean().item()


@torch.no_grad()
def evaluate(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, autocast: Callable
) -> float:
    """Returns the accuracy."""
    model.eval()
    num_right = torch.zeros((), dtype=torch.long, device=labels.device)
    for first in range(0, len(labels), EVALUATION_BATCH_SIZE):
        part = slice(first, first + EVALUATION_BATCH_SIZE)
        with autocast():
            logits = model(images[part])
        num_right += (logits.argmax(1) == labels[part]).sum()
    return num_right.item() / len(labels)


if __name__ == "__main__":
    run(main)
