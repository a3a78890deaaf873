"""The child process: runs llama.cpp's server until its parent is gone.

Started as a script, so that it imports nothing of the package. It prints one line of JSON: where it listens, or what
went wrong.
"""

import http.client
import json
import os
import sys
import threading
import time
from typing import Any


def main() -> None:
    config: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    parent = os.getppid()
    try:
        server = start(config)
        host, _, port = server.listening_address.rpartition("//")[2].rpartition(":")
        report = {
            "url": server.listening_address,
            "context_window": context_window(host, int(port), config["api_key"]),
        }
    except Exception as exc:
        print(json.dumps({"error": f"{type(exc).__name__}: {exc}"}), flush=True)
        os._exit(3)
    try:
        print(json.dumps(report), flush=True)
    except OSError:
        os._exit(0)  # The parent went away while the model was loading.
    # A fork of the parent holds the pipe open after the parent's death; the parent's id tells all the same.
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    sys.stdin.buffer.read()
    # Deleting the server would wait for its open streams.
    os._exit(0)


def start(config: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["model_path"]
    params.hostnames = ["127.0.0.1"]
    params.port = config["port"]
    params.n_parallel = config["slots"]
    params.n_ctx = config["context_window"] * config["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    params.model_alias = {config["model_name"]}
    params.api_keys = [config["api_key"]] if config["api_key"] else []
    params.endpoint_metrics = True
    params.ui = False
    # Otherwise any web page could use the server through its visitor's browser.
    params.cors_origins = ""
    params.cors_credentials = False
    params.cache_ram_mib = 0
    params.sse_ping_interval = 5
    # Errors only, to a file; with 0 nothing would say why a start failed.
    params.verbosity = 1
    return xllamacpp.Server(params)


def context_window(host: str, port: int, api_key: str) -> int:
    """The window that the server has: it rounds the requested size up, and caps it at what the model was trained for."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("GET", "/props", headers={"Authorization": f"Bearer {api_key}"})
    window: int = json.load(connection.getresponse())["default_generation_settings"]["n_ctx"]
    return window


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
