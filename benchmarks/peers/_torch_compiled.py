"""One training step of PyTorch as one compiled function: gradients and Adam in the same graph.

Compiling the loss alone, or the loss and `optimizer.step` each for itself, was slower here, and
decorating the eager step leaves `backward` and fused Adam outside; so gradients come from
torch.func, and Adam is written out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import nn

from benchmarks.peers._options import CannotRunError

LEARNING_RATE = 1e-3
BETA_1, BETA_2 = 0.9, 0.999
EPSILON = 1e-7

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def compile_step(
    model: nn.Module, autocast: Callable, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> tuple[Step, float]:
    """Compiles a step for every shape of batch.

    Args:
        model: its parameters are updated in place.
        autocast: gives the context that sets the precision.
        batches: images and labels of each shape there will be; nothing is learned from them.

    Returns:
        The step, from images and labels to the loss, and the seconds that compiling took.

    Raises:
        CannotRunError: torch.compile does not work here, for instance without a C++ compiler.
    """
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    # Adam's state: weights, first and second moments, steps done.
    zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
    state = (parameters, zeros, _copy(zeros), torch.zeros((), device=_device(model)))

    def loss_of(parameters, images, labels):
        with autocast():
            logits = torch.func.functional_call(model, parameters, (images,))
        return F.cross_entropy(logits.float(), labels)

    # dynamic=False: a graph for each shape, so that the last batch does not slow the others.
    @torch.compile(fullgraph=True, dynamic=False)
    def step(state, images, labels):
        gradients, loss = torch.func.grad_and_value(loss_of)(state[0], images, labels)
        _update(state, gradients)
        return loss

    started = time.perf_counter()
    with torch.no_grad():
        for images, labels in batches:
            try:
                step(_copy(state), images, labels).item()
            except Exception as error:  # Dynamo, Inductor and the compiler raise what they like.
                raise CannotRunError(
                    f"torch.compile does not work here: {_reason(error)}"
                ) from None
    compile_seconds = time.perf_counter() - started
    return torch.no_grad()(lambda images, labels: step(state, images, labels)), compile_seconds


def _update(state, gradients: dict[str, torch.Tensor]) -> None:
    """Adam, in place. D. Kingma, J. Ba, "Adam", 2015, with epsilon as in the end of section 2."""
    parameters, means, squares, num_steps = state
    num_steps.add_(1)
    rate = LEARNING_RATE * torch.sqrt(1 - BETA_2**num_steps) / (1 - BETA_1**num_steps)
    for name, gradient in gradients.items():
        means[name].lerp_(gradient, 1 - BETA_1)
        squares[name].lerp_(gradient * gradient, 1 - BETA_2)
        parameters[name].sub_(rate * means[name] / (squares[name].sqrt() + EPSILON))


def _copy(tree):
    """Returns a copy of tensors in dicts and tuples."""
    if isinstance(tree, dict):
        return {name: _copy(value) for name, value in tree.items()}
    return tuple(map(_copy, tree)) if isinstance(tree, tuple) else tree.clone()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _reason(error: Exception) -> str:
    """Returns the first line of a message that may have hundreds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no reason given'}"
