"""What ChainOfAgents asks its workers and its manager.

After "Chain of Agents" (Zhang et al., NeurIPS 2024, arXiv 2406.02818), appendix B. The part that is the same in every
step comes first, so that a server with prefix caching reads it once.
"""

from __future__ import annotations

__all__ = ["answer_prompt", "direct_prompt", "worker_prompt"]

_TASK = "A long text is read part by part to carry out this task:\n{task}\n\n"
_WORKER = (
    "Write notes for whoever carries out the task in the end. Take over what matters from the notes so far, add what the "
    "new part says about the task (names, numbers and facts word for word), and leave out everything else."
)


def worker_prompt(task: str, notes: str, chunk: str, part: int, parts: int) -> str:
    """Ask a worker to bring the notes up to date with the next chunk."""
    so_far = f"Notes so far:\n{notes}\n\n" if notes else ""
    return f"{_TASK.format(task=task)}{_WORKER}\n\n{so_far}Part {part} of {parts}:\n{chunk}\n\nNotes:"


def answer_prompt(task: str, notes: str) -> str:
    """Ask the manager to carry out the task on the basis of the notes."""
    return (
        f"{_TASK.format(task=task)}These are the notes of those who read it:\n{notes}\n\n"
        f"Carry out the task on the basis of the notes alone.\nTask: {task}"
    )


def direct_prompt(task: str, text: str) -> str:
    """Ask for the task to be carried out on a text that fits as a whole."""
    return f"Text:\n{text}\n\nOn the basis of this text, carry out this task:\n{task}"
