"""Checks of what the server says about itself."""

from __future__ import annotations

import difflib
import re
from typing import Any

import anyio

from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.target import Reply, Target

__all__ = ["between", "model", "server", "tokenizer", "waiting", "window"]

_BETWEEN = {"cf-ray": "Cloudflare", "x-amz-cf-id": "CloudFront", "x-served-by": "Fastly", "via": "a proxy"}


async def between(reply: Reply) -> Finding:
    """Whether there is a proxy before the server."""
    server = reply.headers.get("server", "")
    found = next((name for header, name in _BETWEEN.items() if header in reply.headers), None)
    found = found or next((name for name in ("cloudflare", "nginx", "envoy", "caddy") if name in server.lower()), None)
    if found is None:
        return Finding("in between", "ok", "no proxy shows itself in the headers")
    return Finding(
        "in between",
        "warning",
        f"{found} is before the server",
        "Proxies and tunnels give up on silent answers (Cloudflare after 100 s, nginx after 60 s) and may hold text back.",
        "Raise its read timeout and switch its buffering off; answers that it cuts are continued where the server can.",
    )


async def model(target: Target, reply: Reply) -> Finding:
    """Whether the model is served."""
    entries = _entries(reply)
    target.served = [str(entry.get("id")) for entry in entries]
    if target.model is None:
        if len(target.served) != 1:
            return Finding(
                "model",
                "failed",
                f"no model is named, and {len(target.served)} are served: {', '.join(target.served[:10])}",
                "MODEL_NAME is not set.",
                "Set MODEL_NAME, or give --model.",
                {"served": target.served},
            )
        target.model = target.served[0]
    named = [entry for entry in entries if entry.get("id") == target.model]
    owners = {str(entry.get("owned_by") or "") for entry in named or entries}
    # A gateway lists models of several kinds of servers; which of them answers to a name it does not list is unknown.
    target.owner = owners.pop() if len(owners) == 1 else ""
    if named:
        return Finding("model", "ok", f"{target.model} is served", data={"served": target.served})
    if not entries:
        cause, fix = "It does not list them.", "None is needed if the name is right; that is seen below."
        return Finding("model", "warning", "the endpoint lists no models", cause, fix)
    target.nearest = _nearest(target.model, target.served)
    return Finding(
        "model",
        # Others answer under names that are not on the list, or whatever the name.
        "failed" if target.server.refuses_other_names else "warning",
        f"{target.model!r} is not on the list; there is {', '.join(map(repr, target.served[:10]))}",
        "MODEL_NAME must be the name the server uses, which vLLM sets with --served-model-name.",
        f"MODEL_NAME={target.nearest}",
        {"served": target.served, "nearest": target.nearest},
    )


def _entries(reply: Reply) -> list[dict[str, Any]]:
    found = reply.body.get("data") if isinstance(reply.body, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _nearest(name: str, served: list[str]) -> str:
    """What was probably meant: upper case and the owner before the slash are the usual slips."""
    lower = {one.lower(): one for one in served}
    tail = {one.lower().rpartition("/")[2]: one for one in served}
    for names, wanted in ((lower, name.lower()), (tail, name.lower().rpartition("/")[2])):
        close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
        if close:
            return names[close[0]]
    return served[0]


async def server(target: Target, reply: Reply) -> Finding:
    """What serves, and its version."""
    kind = target.server
    name, version = kind.title or target.owner, ""
    if kind.version is not None:
        version = str(await target.find(kind.version) or "")
        version = "" if "unknown" in version else version
    if not name:
        header = reply.headers.get("server", "")
        return Finding(
            "server", "ok", f"not known{f' (it says {header!r})' if header else ''}", data={"kind": "unknown"}
        )
    return Finding("server", "ok", f"{name} {version}".strip(), data={"kind": target.owner, "version": version})


async def window(target: Target, reply: Reply) -> Finding:
    """The context window."""
    entry: dict[str, Any] = next((entry for entry in _entries(reply) if entry.get("id") == target.model), {})
    size = entry.get(target.server.window_entry)
    if size is None and target.server.window is not None:
        size = await target.find(target.server.window)
    if not isinstance(size, int):
        return Finding(
            "context window",
            "warning",
            "the endpoint does not say how large it is",
            "Only vLLM, llama.cpp and a few others do. Long texts are cut into chunks of 2000 tokens then.",
            "Give VLLMModel(context_window=...) the number from the model's documentation.",
        )
    detail = f"{size} tokens"
    if size < 2048:
        fix = "Start vLLM with a larger --max-model-len, llama.cpp with a larger -c."
        return Finding("context window", "warning", detail, "Little room for a prompt.", fix, {"tokens": size})
    return Finding("context window", "ok", detail, data={"tokens": size})


async def tokenizer(target: Target) -> Finding:
    """Whether the endpoint counts tokens."""
    import tframex.client  # noqa: F401 - loading it takes a second, which is not the endpoint's
    from tframex.errors import ModelError
    from tframex.model import VLLMModel

    text = "Zwölf Boxkämpfer jagen Viktor: 1234567890. 静か"
    try:
        with anyio.fail_after(target.seconds):
            async with VLLMModel(target.model or "unknown", target.url, target.key or "none", max_retries=0) as asked:
                counted = await asked.count_tokens(text)
    except (ModelError, TimeoutError) as exc:
        return Finding(
            "tokenizer",
            "warning",
            f"the endpoint was asked to count and failed ({target.clean(str(exc)) or 'no answer in time'})",
            "The server is overloaded, or a proxy lets only /v1 pass.",
            "Let /tokenize pass. Counts are estimated until then, with a margin.",
        )
    if counted is None:
        return Finding(
            "tokenizer",
            "warning",
            "the endpoint does not count tokens",
            "Only vLLM (/tokenize) and llama.cpp do.",
            "Counts are estimated, with a margin: chunks of long texts are smaller than they could be.",
        )
    return Finding("tokenizer", "ok", f"counts for us ({counted} tokens in a sentence of {len(text)} characters)")


def waiting(metrics: str) -> int | None:
    """How many requests wait in vLLM's queue, from its metrics."""
    found = re.findall(r"^vllm:num_requests_waiting(?:\{[^}]*\})? ([\d.e+]+)", metrics, re.MULTILINE)
    return int(sum(map(float, found))) if found else None
