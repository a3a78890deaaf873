"""Checks from this machine to the server's port."""

from __future__ import annotations

import platform
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import anyio
import anyio.to_thread
from anyio.streams.tls import TLSAttribute

from tframex import __version__
from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.target import Target

__all__ = ["installation", "name_resolution", "proxy", "settings", "tcp", "tls"]


async def installation() -> Finding:
    """Whether the Python that `python` starts has TFrameX, too."""
    here = f"tframex {__version__}, Python {platform.python_version()} ({sys.executable})"
    other = shutil.which("python") or shutil.which("python3")
    if other is None:
        return Finding("installation", "ok", here)
    said = await anyio.to_thread.run_sync(_import_problem, other)
    if said is None:
        return Finding("installation", "ok", here)
    return Finding(
        "installation",
        "warning",
        f"{here}; but {other} says: {said}",
        "The command is in another environment than the Python that runs your scripts.",
        f"Activate the environment of {sys.executable}, or install TFrameX for {other} as well (its `-m pip install`).",
    )


def _import_problem(python: str) -> str | None:
    """What another Python says of `import tframex`."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Not in this folder: a checkout of TFrameX would be found there.
            done = subprocess.run(  # noqa: S603 - the user's own Python
                [python, "-c", "import tframex"], cwd=folder, capture_output=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            return f"it cannot be started ({type(exc).__name__})"
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1] if done.returncode else None


async def settings(target: Target) -> Finding:
    """What the endpoint is, and who says so."""
    key = "no key" if target.key is None else f"a key ({target.sources.get('key', 'given')})"
    model = target.model or "no model named"
    where = {name: f" ({source})" for name, source in target.sources.items()}
    detail = f"{target.url}{where.get('url', '')}, {key}, {model}{where.get('model', '')}"
    return Finding("settings", "ok", detail, data={"url": target.url, "model": target.model})


async def proxy(target: Target) -> Finding:
    """Whether the environment sends requests through a proxy."""
    found = target.proxy
    if found is None:
        return Finding("proxy", "ok", "none in the environment")
    return Finding(
        "proxy",
        "warning",
        f"requests go through {_place(found)} (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY)",
        "A proxy may have a time limit, hold answers back, or not reach the server.",
        f"If the server is in your own network: NO_PROXY={target.parts.hostname}",
    )


def _place(proxy: str) -> str:
    """Host and port, and nothing of what may be secret; it may be written without a scheme, or with a password in it."""
    return proxy.rpartition("://")[2].rpartition("@")[2].partition("/")[0] or "a proxy"


async def name_resolution(target: Target) -> Finding:
    """Whether the host's name has an address."""
    host, port = target.address
    began = time.perf_counter()
    try:
        with anyio.fail_after(target.seconds):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as exc:
        return Finding(
            "name resolution",
            "failed",
            f"{host} has no address ({exc or 'no answer'})",
            "The host name is misspelt, or known only in another network (VPN, container, cluster).",
            "Check the host in API_URL; try it with `ping` or `nslookup` from this machine.",
        )
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    took = (time.perf_counter() - began) * 1000
    return Finding(
        "name resolution", "ok", f"{host} is {', '.join(addresses[:4])} ({took:.0f} ms)", data={"addresses": addresses}
    )


async def tcp(target: Target) -> Finding:
    """Whether something listens on the port."""
    host, port = target.address
    began = time.perf_counter()
    try:
        with anyio.fail_after(target.seconds):
            await (await anyio.connect_tcp(host, port)).aclose()
    except TimeoutError:
        return Finding(
            "connection",
            "failed",
            f"no connection to {host}:{port} within {target.seconds:g} s",
            "A firewall drops the packets, or the machine is down.",
            "Check the port in API_URL, firewalls and security groups between here and there.",
        )
    except OSError as exc:
        inside = " In a container, localhost is the container itself." if host in ("localhost", "127.0.0.1") else ""
        reason = next(
            (str(part) for part in getattr(exc.__cause__, "exceptions", ()) or [exc.__cause__ or exc]), str(exc)
        )
        return Finding(
            "connection",
            "failed",
            f"{host}:{port} refuses connections ({reason})",
            f"The server does not run, has crashed, or listens on another port or address.{inside}",
            "Start it and look at its log; vLLM listens on all addresses with --host 0.0.0.0, and on --port 8000.",
        )
    took = (time.perf_counter() - began) * 1000
    return Finding("connection", "ok", f"{host}:{port} answers ({took:.0f} ms)", data={"milliseconds": took})


async def tls(target: Target) -> Finding:
    """Whether the connection is encrypted, and by whom."""
    host, port = target.address
    if target.parts.scheme == "http":
        return Finding("TLS", "ok", "not used (http)")
    try:
        with anyio.fail_after(target.seconds):
            stream = await anyio.connect_tcp(host, port, tls=True, tls_standard_compatible=False)
    except ssl.SSLCertVerificationError as exc:
        return Finding(
            "TLS",
            "failed",
            f"the certificate of {host} is not trusted ({exc.verify_message})",
            "It is self-signed, expired, for another name, or from an authority this machine does not know.",
            "Have it renewed, use the name it was made for, or point SSL_CERT_FILE to the authority's certificate.",
        )
    except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream) as exc:
        return Finding(
            "TLS",
            "failed",
            f"no TLS on {host}:{port} ({exc or 'no answer'})",
            "The server speaks plain HTTP on this port; vLLM does unless it has --ssl-keyfile and --ssl-certfile.",
            f"API_URL=http{target.url[5:]}, or the port of the proxy that does TLS.",
        )
    async with stream:
        found: ssl.SSLObject = stream.extra(TLSAttribute.ssl_object)  # noqa: S610 - not Django's
        certificate = found.getpeercert() or {}
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400
    detail = f"{found.version()}, a certificate that holds for {days:.0f} days"
    if days < 7:
        return Finding("TLS", "warning", detail, "It expires soon.", "Have it renewed.", {"days": days})
    return Finding("TLS", "ok", detail, data={"days": days})
