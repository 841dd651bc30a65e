"""What a run is bound by, and which flag would help: a pure function of what was measured."""

from __future__ import annotations

from typing import Any

# A run this close to its bare step has nothing left to gain but a faster step.
_CLOSE = 0.95


def judge(metrics: dict[str, float], labels: dict[str, Any], can_bfloat16: bool) -> dict[str, Any]:
    """Returns {"bound", "text", "flag"}.

    Args:
        metrics: with steps_per_second, limit_steps_per_second, and input_images_per_second where
            it was measured.
        labels: with global_batch_size, cache, num_replicas and precision.
        can_bfloat16: whether the device has units for it.
    """
    rate, limit = metrics["steps_per_second"], metrics["limit_steps_per_second"]
    supply = metrics.get("input_images_per_second")
    input_limit = supply / labels["global_batch_size"] if supply else float("inf")
    reached = rate / limit
    if reached < _CLOSE and input_limit < limit:
        return _input_bound(input_limit, limit, labels)
    if reached < _CLOSE:
        flag = "--steps_per_call=0" if labels["steps_per_call"] else None
        if labels["cache"] != "device":
            flag = "--cache=device"
        return {
            "bound": "host",
            "text": f"{1 - reached:.0%} of the time goes to what is around the step",
            "flag": flag,
        }
    if labels["num_replicas"] > 1:
        return {
            "bound": "collective",
            "text": "the step itself, with the sum over replicas; a larger batch makes sums rarer",
            "flag": f"--global_batch_size={2 * labels['global_batch_size']}",
        }
    return _compute_bound(reached, labels, can_bfloat16)


def _input_bound(input_limit: float, limit: float, labels: dict[str, Any]) -> dict[str, Any]:
    flags = {"none": "--cache=disk", "disk": "--cache=memory", "memory": "--cache=device"}
    return {
        "bound": "input",
        "text": f"the input delivers {input_limit:,.3g} steps/s, the step could take {limit:,.3g}",
        "flag": flags.get(labels["cache"]),
    }


def _compute_bound(reached: float, labels: dict[str, Any], can_bfloat16: bool) -> dict[str, Any]:
    flag = "--precision=auto" if can_bfloat16 and labels["precision"] == "float32" else None
    return {"bound": "compute", "text": f"{reached:.0%} of the bare step", "flag": flag}
