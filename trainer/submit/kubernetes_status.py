"""How far a job is, read from what Kubernetes says of its Jobs and pods."""

from __future__ import annotations

from typing import Any


def find_end(found: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the condition that says that a Job or JobSet is over; None where none does."""
    for condition in found.get("status", {}).get("conditions") or []:
        is_end = condition["type"] in ("Complete", "Completed", "Failed")
        if is_end and condition["status"] == "True":
            return condition
    return None


def describe(found: dict[str, Any]) -> str:
    """Returns how far a Job or JobSet is."""
    facts = found.get("status", {})
    end = find_end(found)
    if found["metadata"].get("deletionTimestamp"):
        return "being ended; its workers save"
    if end and end["type"] == "Failed":
        return f"failed: {end.get('reason')}: {end.get('message')}"
    if end:
        return "completed"
    if found["kind"] == "JobSet":
        return f"not over, restarted {facts.get('restarts', 0)} times"
    counts = {word: facts.get(word, 0) for word in ("active", "ready", "succeeded", "failed")}
    return "not over; pods: " + ", ".join(f"{count} {word}" for word, count in counts.items())


def waits_for(status: dict[str, Any]) -> str:
    """Returns why a pod has not begun, as far as the cluster says."""
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message')}"
    for container in status.get("containerStatuses") or []:
        if waiting := container.get("state", {}).get("waiting"):
            return f"{waiting.get('reason')}: {waiting.get('message', '')}"
    return "waits"
