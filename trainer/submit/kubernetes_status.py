"""How far a job is, read from what Kubernetes says of its Jobs and pods."""

from __future__ import annotations

from typing import Any

from trainer.submit.kubernetes_api import JOB_SET


def find_end(found: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the condition that says that a Job or JobSet is over; None where none does."""
    for condition in found.get("status", {}).get("conditions") or []:
        is_end = condition["type"] in ("Complete", "Completed", "Failed")
        if is_end and condition["status"] == "True":
            return condition
    return None


def describe(kind: tuple[str, str], found: dict[str, Any]) -> str:
    """Returns how far a Job or JobSet is; in a list they do not say what they are."""
    facts = found.get("status", {})
    end = find_end(found)
    if found["metadata"].get("deletionTimestamp"):
        return "being ended; its workers save"
    if end and end["type"] == "Failed":
        return f"failed: {end.get('reason')}: {end.get('message')}"
    if end:
        return "completed"
    if kind == JOB_SET:
        return f"not over, restarted {facts.get('restarts', 0)} times"
    counts = {word: facts.get(word, 0) for word in ("active", "ready", "succeeded", "failed")}
    return "not over; pods: " + ", ".join(f"{count} {word}" for word, count in counts.items())


def waits_for(pod) -> str:
    """Returns why a pod has not begun, as far as the cluster says."""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason}: {condition.message}"
    for container in pod.status.container_statuses or []:
        if container.state and container.state.waiting:
            return f"{container.state.waiting.reason}: {container.state.waiting.message or ''}"
    return "waits"
