"""Kinesis servers that nobody here wrote, and clients for any Kinesis server.

kinesalite is right about lineage, routing, expiry and trimming; kinesis-local about `ChildShards`,
null iterators and the 10 MiB cap, but it is slow: keep it under 200 records.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.services import aws, packages
from tests.services.aws import Endpoint
from tests.services.process import Child, running

KINESALITE = ("kinesalite", "3.3.3")
KINESIS_LOCAL = ("kinesis-local", "0.6.2")

# How long streams are CREATING, UPDATING and DELETING: long enough to be seen.
CHANGE_MS = 150

_PRELOAD = Path(__file__).with_name("loopback.cjs")
# What Node servers ask for; the preload gives them a free port instead and says which.
_PLAIN_PORT = 4567


def client(url: str, **options: Any) -> Any:
    """Returns a boto3 Kinesis client; see `aws.client`."""
    return aws.client("kinesis", url, **options)


def call(
    port: int,
    operation: str,
    request: Mapping[str, object],
    *,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str], Any]:
    """Makes one call without a client library; returns status, headers (lower case) and body."""
    target = f"Kinesis_20131202.{operation}"
    return aws.call(port, target, request, service="kinesis", version="1.1", headers=headers)


@contextlib.contextmanager
def kinesalite(shard_limit: int = 500) -> Iterator[Endpoint]:
    """Runs kinesalite."""
    package = packages.npm_package(*KINESALITE)
    command = ["node", "--require", str(_PRELOAD), "cli.js", "--port", str(_PLAIN_PORT)]
    command += ["--shardLimit", str(shard_limit)]
    for change in ("create", "delete", "update"):
        command += [f"--{change}StreamMs", str(CHANGE_MS)]
    with running("kinesalite", command, cwd=package) as child:
        yield _ready("kinesalite", child)


@contextlib.contextmanager
def kinesis_local(shard_limit: int = 500) -> Iterator[Endpoint]:
    """Runs kinesis-local (kinesis-mock compiled to JavaScript)."""
    package = packages.npm_package(*KINESIS_LOCAL)
    env = {
        "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(_PLAIN_PORT),
        "KINESIS_MOCK_TLS_PORT": str(_PLAIN_PORT + 1),
        "SHARD_LIMIT": str(shard_limit),
        "LOG_LEVEL": "ERROR",
    }
    for change in ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS"):
        env[f"{change}_DURATION"] = f"{CHANGE_MS}ms"
    command = ["node", "--require", str(_PRELOAD), "main.js"]
    with running("kinesis-local", command, cwd=package, env=env) as child:
        yield _ready("kinesis-local", child)


def _ready(name: str, child: Child) -> Endpoint:
    port = child.fact(lambda fact: fact.get("asked") == _PLAIN_PORT)["port"]
    if not isinstance(port, int):
        raise TypeError(f"{name} listens on {port!r}")
    child.wait_until(lambda: call(port, "ListStreams", {}))
    return Endpoint(name=name, service="kinesis", port=port, child=child)
