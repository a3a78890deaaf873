"""`tframex models`, `tframex local` and `tframex version`: the server, and this installation."""

from __future__ import annotations

import platform
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions, served
from tframex.cli._terminal import Terminal

__all__ = ["register"]

_PACKAGES = ("tframex", "openai", "anyio", "aiohttp", "httpx2", "xllamacpp")


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app)
    def models(endpoint: EndpointOptions, terminal: Terminal) -> None:
        """List the models the endpoint serves."""
        if endpoint.local:
            with endpoint.open() as model:
                model.window()
                found = [{"name": model.model_id, "owner": "llamacpp", "window": model.window()}]
        else:
            endpoint.check()
            assert endpoint.url is not None
            found = [asdict(one) for one in served(endpoint.url, endpoint.key or "none")]
        if terminal.json:
            terminal.result({"models": found})
            return
        for one in found:
            window = f"  window {one['window']}" if one["window"] else ""
            terminal.write(f"{one['name']}{window}\n")
        if not found:
            terminal.remark("The endpoint lists none.", "yellow")

    @command(app)
    def local(
        terminal: Terminal,
        model_path: Annotated[
            Path | None, typer.Argument(metavar="[GGUF]", help="A model file. [default: SmolLM2-135M-Instruct]")
        ] = None,
        port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
        context_window: Annotated[int, typer.Option(min=2, help="Tokens of prompt and answer together.")] = 4096,
        slots: Annotated[int, typer.Option(min=1, help="Requests served concurrently.")] = 2,
        threads: Annotated[
            int | None, typer.Option(min=1, help="Threads to compute with. [default: half of the processors]")
        ] = None,
    ) -> None:
        """Serve a small model on this machine.

        For trying things out; until Ctrl-C.
        """
        from tframex.local import LocalServer

        server = LocalServer(model_path, port=port, context_window=context_window, slots=slots, threads=threads)
        with server:
            found = {"url": server.url, "model": server.model_name, "context_window": server.context_window}
            if terminal.json:
                terminal.result({**found, "pid": server.pid})
            else:
                terminal.write(f"API_URL={server.url}\nAPI_KEY=none\nMODEL_NAME={server.model_name}\n")
                terminal.remark(
                    f"A window of {server.context_window} tokens, {slots} concurrent requests. Ctrl-C stops it."
                )
            sys.stdout.flush()
            # Ctrl-C is how it ends.
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)
                    # Says so if it has died.
                    server.start()

    @command(app, "version")
    def version_(terminal: Terminal) -> None:
        """Show the versions, for a report."""
        found = _packages()
        if terminal.json:
            terminal.result(found)
        else:
            terminal.write("".join(f"{name} {number}\n" for name, number in found.items()))


def _packages() -> dict[str, str]:
    """Names and versions of the packages that matter for a report."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "python": platform.python_version(), "system": platform.platform(terse=True)}
