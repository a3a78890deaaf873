"""Checks of a streamed answer."""

from __future__ import annotations

import statistics
from dataclasses import replace

import httpx2

from tframex.cli.doctor.api import key_refused
from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.served import waiting
from tframex.cli.doctor.stream import Stream, listen
from tframex.cli.doctor.target import Reply, Target
from tframex.text import RepetitionGuard

__all__ = ["continuing", "reasoning", "repetition", "streaming", "usage"]

# All of the text at the same time, this long after the request: a proxy held it back.
_HELD_BACK = 0.5


async def streaming(target: Target, found: Stream) -> Finding:
    """Whether a complete answer arrives, and while it is generated."""
    if found.reply is not None:
        return _refused(target, found.reply)
    if found.silent:
        return await _silent(target, found)
    if found.broken:
        arrived = f"after {len(found.times)} pieces of text" if found.times else "before any text"
        return Finding(
            "streaming",
            "failed",
            f"the answer breaks off {arrived} ({found.broken})",
            "A proxy or tunnel with a time limit (Cloudflare: 100 s) cuts it, or the server crashes, restarts or has too "
            "little memory.",
            "Look at the server's log for errors and `Aborted request`; raise the proxy's timeouts; lower the concurrency.",
        )
    if not found.times:
        return Finding(
            "streaming",
            "failed",
            f"the answer is empty (finish_reason {found.finish_reason!r})",
            "The chat template or the model does not fit, or the stop tokens are wrong.",
            "Send the server a request without TFrameX (curl); check its --chat-template.",
        )
    if found.endless:
        return Finding(
            "streaming",
            "warning",
            f"the answer continues after max_tokens; stopped reading after {len(found.times)} pieces",
            "The endpoint, or a proxy, ignores max_tokens.",
            "Stop strings and VLLMModel(total_timeout=...) end long answers all the same.",
        )
    if found.refused:
        options = {"max_tokens": "default_max_tokens=None and max_completion_tokens=... in the calls"}
        return Finding(
            "streaming",
            "warning",
            f"works, but not with {', '.join(found.refused)}",
            "The endpoint refuses these options.",
            f"Leave them out: {'; '.join(options.get(name, f'no {name}') for name in found.refused)}.",
            {"refused": found.refused},
        )
    first, gaps = found.times[0], found.gaps
    gap, longest = statistics.median(gaps or [0.0]), max(gaps or [0.0])
    data = {"first_token": first, "gap": gap, "longest_gap": longest, "pieces": len(found.times)}
    speed = f", {1 / gap:.0f} pieces/s" if gap > 0.0005 else ""
    detail = (
        f"first token after {first:.2f} s, then one every {gap * 1000:.0f} ms, {longest:.2f} s at the longest{speed}"
    )
    if first > _HELD_BACK and len(gaps) > 8 and found.times[-1] - first < 0.02 * first:
        return Finding(
            "streaming",
            "warning",
            f"all {len(found.times)} pieces arrived together after {first:.1f} s",
            "A proxy buffers the answer and passes it on when it is complete.",
            "Switch its buffering off (nginx: proxy_buffering off), or bypass it.",
            data,
        )
    if first > 10 or longest > 5:
        return Finding(
            "streaming",
            "warning",
            detail,
            "The server is overloaded, or processes prompts slowly.",
            "Lower the concurrency; look for `Waiting` requests in its log.",
            data,
        )
    return Finding("streaming", "ok", detail, data=data)


def _refused(target: Target, reply: Reply) -> Finding:
    if reply.status in (401, 403):
        return replace(key_refused(target, reply), check="streaming")
    if reply.html:
        cause, fix = "A login page or a proxy answers instead of the API.", "Check API_URL and any proxy before it."
    elif reply.status == 404:
        cause = "The endpoint does not know this model, or has no Chat Completions API."
        fix = (
            f"MODEL_NAME={target.nearest}"
            if target.nearest
            else "Check MODEL_NAME against the names listed under /v1/models, and that API_URL ends in /v1."
        )
    elif reply.status == 429:
        cause, fix = "Too many requests, or the quota is used up.", "Wait, lower the concurrency, or raise the quota."
    elif reply.status >= 500:
        cause = "The server is overloaded, still loading or out of memory."
        fix = "Look at its log; lower the concurrency."
    elif reply.status == 200:
        cause = "The endpoint does not stream: it sends the answer in one piece."
        fix = "Use a server or proxy that supports stream=true."
    else:
        cause, fix = "The endpoint does not take a plain streamed request.", "Check that it is a chat model."
    return Finding("streaming", "failed", f"a chat request is answered with {reply.status}: {reply.said}", cause, fix)


async def _silent(target: Target, found: Stream) -> Finding:
    queue = None
    try:
        reply = await target.get(f"{target.root}/metrics")
        queue = waiting(reply.body) if isinstance(reply.body, str) else None
    except httpx2.HTTPError:
        pass
    line = f" {queue} requests wait in its queue." if queue else ""
    if not found.times:
        return Finding(
            "streaming",
            "failed",
            f"the request was taken, but no token came within {target.seconds:g} s",
            f"The server is overloaded, stuck or still loading, or a proxy holds the answer back.{line}",
            "Look at its log for `Waiting` requests; lower the concurrency; try again with --timeout 120.",
            {"waiting": queue},
        )
    return Finding(
        "streaming",
        "failed",
        f"the answer fell silent after {len(found.times)} pieces of text, for {target.seconds:g} s",
        f"The server is shutting down or overloaded, or a proxy holds the answer back.{line}",
        "Look at its log; idle_timeout says how long TFrameX waits before it asks for the rest.",
        {"waiting": queue},
    )


async def usage(found: Stream) -> Finding:
    """Whether it says how many tokens were spent."""
    if found.usage and found.usage.get("completion_tokens"):
        spent = f"{found.usage.get('prompt_tokens')} read and {found.usage['completion_tokens']} written"
        return Finding("usage", "ok", f"reported: {spent}", data=found.usage)
    return Finding(
        "usage",
        "warning",
        "the endpoint does not say how many tokens were spent",
        "It does not know stream_options.include_usage.",
        "Completion.usage is None; count with model.counter instead.",
    )


async def reasoning(found: Stream) -> Finding:
    """Where the model's thoughts are."""
    if found.thought_field:
        return Finding(
            "reasoning",
            "ok",
            f"arrives apart from the answer, in the field {found.thought_field!r}; TFrameX puts it between <think> and "
            '</think>, or keeps it apart with reasoning="separate"',
            data={"field": found.thought_field},
        )
    if "</think>" in found.text and "<think>" not in found.text:
        return Finding(
            "reasoning",
            "warning",
            "the answer has a </think> without a <think>",
            "The chat template opens the thought in the prompt, so its beginning is missing in the answer.",
            "Start vLLM with the --reasoning-parser of this model; it sends thoughts apart.",
            {"field": "content"},
        )
    if "<think>" in found.text:
        return Finding("reasoning", "ok", "inside the answer, between <think> and </think>", data={"field": "content"})
    return Finding("reasoning", "ok", "none in this answer", data={"field": None})


async def repetition(found: Stream) -> Finding:
    """Whether the model loops."""
    guard = RepetitionGuard(4)
    if guard.feed(found.text or found.thought) is None:
        return Finding("repetition", "ok", "none in this answer")
    return Finding(
        "repetition",
        "warning",
        "the answer repeats the same passage again and again",
        "Small or strongly quantized models loop, above all at temperature 0 and with a large max_tokens.",
        "Raise temperature, set repetition_penalty=1.1, lower max_tokens; VLLMModel(max_repeats=4) ends such answers.",
    )


async def continuing(target: Target, found: Stream) -> Finding:
    """Whether an answer that breaks off can be continued."""
    name = "continuing"
    start_over = "An answer that breaks off starts over in `run` and `call`; a stream raises StreamInterruptedError."
    if found.token_ids:
        return Finding(name, "ok", "token by token (token ids)", data={"how": "token_ids"})
    if not target.server.continues:
        return Finding(
            name, "warning", "not possible here", "Only vLLM and llama.cpp continue a partial answer.", start_over
        )
    if found.thought or len(found.text) < 20:
        return Finding(name, "skipped", "not tried: the answer has no text that could be cut in two")
    half = found.text.rfind(" ", 0, len(found.text) // 2)
    half = half if half > 0 else len(found.text) // 2
    asked = [*target.messages, {"role": "assistant", "content": found.text[:half]}]
    rest = await listen(target, messages=asked, continue_final_message=True, add_generation_prompt=False)
    expected = found.text[half:]
    shared = min(len(expected), len(rest.text), 12)
    if shared and rest.text[:shared] == expected[:shared]:
        return Finding(name, "ok", "from any place (continue_final_message)", data={"how": "continue_final_message"})
    return Finding(
        name,
        "warning",
        f"it continued with {rest.text[:30]!r} instead of {expected[:30]!r}",
        "The chat template or a proxy ignores continue_final_message.",
        start_over,
    )
