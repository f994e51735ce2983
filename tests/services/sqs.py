"""ElasticMQ, a server of SQS that nobody here wrote, and calls for any server of SQS.

It takes deep queues, moves messages between queues and keeps the trace header. It checks no
signature and takes a visibility timeout beyond twelve hours.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.services import aws, packages
from tests.services.aws import Endpoint
from tests.services.environment import REGION
from tests.services.process import running

ELASTICMQ = ("org.elasticmq", "elasticmq-server_3", "1.7.1")
ACCOUNT = "000000000000"

_LAUNCHER = Path(__file__).with_name("ElasticMq.java")
_HEAP = (
    "-Xmx384m",
    "-Djava.net.preferIPv4Stack=true",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
)


def call(port: int, operation: str, request: Mapping[str, object]) -> tuple[int, Any]:
    """Makes one call without a client library; returns status and body."""
    target = f"AmazonSQS.{operation}"
    status, _, body = aws.call(port, target, request, service="sqs", version="1.0")
    return status, body


def list_queues(port: int) -> None:
    """Makes a call that any server answers when it is ready."""
    status, body = call(port, "ListQueues", {})
    if status != 200:
        raise OSError(f"ListQueues was answered with {status}: {body}")


@contextlib.contextmanager
def elasticmq() -> Iterator[Endpoint]:
    """Runs ElasticMQ."""
    packages.debian_program("javac", "default-jdk-headless")
    java = packages.debian_program("java", "default-jdk-headless")
    libraries = packages.maven_libraries(*ELASTICMQ)
    command = [str(java), *_HEAP, "-cp", f"{libraries}/*", str(_LAUNCHER), REGION, ACCOUNT]
    with running("ElasticMQ", command) as child:
        port = child.fact(lambda fact: "port" in fact)["port"]
        if not isinstance(port, int):
            raise TypeError(f"{child.name} listens on {port!r}")
        child.wait_until(lambda: list_queues(port))
        yield Endpoint(name=child.name, service="sqs", port=port, child=child)
