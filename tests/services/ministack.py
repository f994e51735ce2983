"""ministack: SQS, SNS, S3 and STS in one process, as nobody here wrote them.

It checks no signature and drops the trace header of SQS messages; it keeps everything in memory.
"""

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

from tests.services import packages
from tests.services.aws import Endpoint
from tests.services.environment import REGION
from tests.services.process import running

VERSION = "1.5.33"
ACCOUNT = "000000000000"

_REQUIREMENTS = (f"ministack=={VERSION}", "cbor2")
_LAUNCHER = Path(__file__).with_name("loopback_asgi.py")


@contextlib.contextmanager
def ministack(service: str = "sqs") -> Iterator[Endpoint]:
    """Runs ministack; `service` is what `client()` of the endpoint is for by default."""
    python = packages.python_environment(f"ministack-{VERSION}", _REQUIREMENTS)
    # `-P`: the launcher's folder has a module of the server's name, this one.
    command = [str(python), "-P", str(_LAUNCHER), "ministack.app:app"]
    env = {"MINISTACK_REGION": REGION, "MINISTACK_ACCOUNT_ID": ACCOUNT}
    with running("ministack", command, cwd=python.parent, env=env) as child:
        port = child.fact(lambda fact: "port" in fact)["port"]
        if not isinstance(port, int):
            raise TypeError(f"ministack listens on {port!r}")
        child.wait_until(lambda: healthy(port))
        yield Endpoint(name="ministack", service=service, port=port, child=child)


def healthy(port: int) -> None:
    """Makes a call that is answered when the server is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/_ministack/health")
        status = connection.getresponse().status
    if status != 200:
        raise OSError(f"the health of ministack is answered with {status}")
