"""Whether there is an API, and whether it takes the key."""

from __future__ import annotations

import ssl

import anyio
import httpx2

from tframex._address import display_url
from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.target import Reply, Target

__all__ = ["api", "key_refused"]

# Where an API may be instead.
_ELSEWHERE = ("/v1", "/api/v1", "/openai/v1")


async def api(target: Target) -> tuple[Finding, Reply | None]:
    """Whether the API is there and takes the key."""
    try:
        reply = await target.get(f"{target.url}/models")
    except httpx2.HTTPError as exc:
        return await _no_answer(target, exc), None
    if reply.status in (401, 403):
        return key_refused(target, reply), None
    if reply.status in (301, 302, 303, 307, 308):
        return _moved(target, reply), None
    if reply.html:
        return (
            Finding(
                "API",
                "failed",
                f"{target.url}/models is a web page ({reply.status}), not an API",
                "The URL is that of a user interface, or the API is behind a login page.",
                "Give the base of the API in API_URL; for vLLM http://HOST:8000/v1.",
            ),
            None,
        )
    if reply.status == 404:
        return await _elsewhere(target, reply)
    if reply.status != 200 or not isinstance(reply.body, dict):
        starting = reply.status >= 500
        return (
            Finding(
                "API",
                "failed",
                f"{target.url}/models answers with {reply.status}: {reply.said}",
                "The server is starting or overloaded." if starting else "This is not an OpenAI-compatible API.",
                "Look at its log, and wait until it has loaded its model." if starting else "Check API_URL.",
            ),
            None,
        )
    key = " and takes the key" if target.key is not None else ""
    return Finding("API", "ok", f"{target.url} answers ({reply.seconds * 1000:.0f} ms){key}"), reply


def _moved(target: Target, reply: Reply) -> Finding:
    location = reply.headers.get("location", "")
    base = location.partition("?")[0].removesuffix("/models")
    return Finding(
        "API",
        "failed",
        f"{target.url}/models is somewhere else ({reply.status}, {display_url(location)})",
        "The API has moved, needs https, or is behind a login page.",
        f"API_URL={base}" if base.startswith("http") and location.endswith("/models") else "Check API_URL.",
    )


def key_refused(target: Target, reply: Reply) -> Finding:
    """The finding for a 401 or 403."""
    if target.key is None:
        return Finding(
            "API",
            "failed",
            f"the endpoint requires a key ({reply.status}: {reply.said})",
            "None is set.",
            "Set API_KEY; for vLLM the value of its --api-key.",
        )
    return Finding(
        "API",
        "failed",
        f"the endpoint refuses the key ({reply.status}: {reply.said})",
        f"The key ({target.sources.get('key', 'given')}) is wrong, expired or not allowed here.",
        "Check API_KEY: a vLLM server expects the value of its --api-key. An API_KEY in the environment takes precedence "
        "over the one in .env.",
    )


async def _no_answer(target: Target, exc: httpx2.HTTPError) -> Finding:
    if isinstance(exc, httpx2.TimeoutException):
        return Finding(
            "API",
            "failed",
            f"{target.url}/models gives no answer within {target.seconds:g} s",
            "The server takes connections but does not answer: it is starting, stuck or out of memory.",
            "Look at its log; restart it if it does not recover.",
        )
    cause, fix = "The server or a proxy closes the connection.", "Look at the logs of server and proxy."
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        cause = "A proxy in between shows a certificate that this machine does not trust."
        fix = "Point SSL_CERT_FILE to the certificate of the proxy's authority."
    elif target.proxy is not None and isinstance(exc, (httpx2.ConnectError, httpx2.ProxyError)):
        cause = "The proxy of the environment cannot be reached, or refuses."
        fix = f"Check HTTP_PROXY and HTTPS_PROXY, or go past it: NO_PROXY={target.parts.hostname}"
    elif target.parts.scheme == "http" and await _speaks_tls(target):
        cause, fix = "The port speaks TLS.", f"API_URL=https{target.url[4:]}"
    detail = f"{target.url}/models breaks off ({type(exc).__name__}: {target.clean(str(exc))})"
    return Finding("API", "failed", detail, cause, fix)


async def _speaks_tls(target: Target) -> bool:
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        with anyio.fail_after(target.seconds):
            stream = await anyio.connect_tcp(
                *target.address, tls=True, ssl_context=unverified, tls_standard_compatible=False
            )
            await stream.aclose()
    except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream):
        return False
    return True


async def _elsewhere(target: Target, reply: Reply) -> tuple[Finding, Reply | None]:
    base = f"{target.parts.scheme}://{target.parts.netloc}"
    for path in _ELSEWHERE:
        try:
            other = await target.get(f"{base}{path}/models")
        except httpx2.HTTPError:
            continue
        if other.status == 200 and isinstance(other.body, dict) and "data" in other.body:
            found = f"there is no API at {target.url} (404), but one at {base}{path}"
            return Finding("API", "failed", found, "The path in API_URL is wrong.", f"API_URL={base}{path}"), None
    detail = f"{target.url}/models is not there (404: {reply.said})"
    if target.model is not None:
        # Some gateways list nothing; whether there is an API is seen below.
        cause = "The path in API_URL is wrong, or the endpoint does not list its models."
        return Finding("API", "warning", detail, cause, "None is needed if the checks below pass."), reply
    return (
        Finding(
            "API",
            "failed",
            detail,
            "The path in API_URL is wrong, or this is not an OpenAI-compatible server.",
            "Give the base of the API, such as http://HOST:8000/v1 for vLLM; if it lists no models, name one: --model.",
        ),
        None,
    )
