"""Runs an ASGI application on a free port of 127.0.0.1 and says which, as JSON.

It is run by the interpreter of the application's own environment, which has hypercorn; it imports
nothing of ours. It ends when standard input does.
"""

import json
import os
import runpy
import socket
import sys
import threading


def main() -> None:
    """Serve the application named on the command line, such as `package.module:app`."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    os.environ["GATEWAY_PORT"] = str(port)
    os.write(1, json.dumps({"port": port}).encode() + b"\n")
    threading.Thread(target=_leave_with_input, daemon=True).start()
    # Without workers hypercorn serves in this process: so there is one pid to stop.
    options = ["--bind", f"fd://{listening.fileno()}", "--keep-alive", "75", "--workers", "0"]
    sys.argv = ["hypercorn", sys.argv[1], *options]
    runpy.run_module("hypercorn", run_name="__main__")


def _leave_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
