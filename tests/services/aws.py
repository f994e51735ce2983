"""Clients for any server that speaks an AWS service on loopback: boto3's, and one without one."""

import contextlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.config

from tests.services.environment import ACCESS_KEY, REGION, SECRET_KEY
from tests.services.process import Child


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that answers."""

    name: str
    service: str
    port: int
    child: Child = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str | None = None, **options: Any) -> Any:
        """Returns a boto3 client for this server; it makes one attempt unless told otherwise."""
        return client(service or self.service, self.url, **options)


def client(service: str, url: str, *, retries: int = 0, access_key: str = ACCESS_KEY) -> Any:
    """Returns a boto3 client with test credentials and short timeouts."""
    settings = botocore.config.Config(
        retries={"total_max_attempts": retries + 1, "mode": "standard"},
        connect_timeout=5,
        read_timeout=20,
        parameter_validation=False,
    )
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=SECRET_KEY,
        config=settings,
    )


def call(
    port: int,
    target: str,
    request: Mapping[str, object],
    *,
    service: str,
    version: str,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str], Any]:
    """Makes one call without a client library; returns status, headers (lower case) and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = {
        "X-Amz-Target": target,
        "Content-Type": f"application/x-amz-json-{version}",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request, "
            f"SignedHeaders=host;x-amz-date;x-amz-target, Signature={'0' * 64}"
        ),
    }
    sent.update(headers or {})
    with contextlib.closing(connection):
        connection.request("POST", "/", json.dumps(request), {k: v for k, v in sent.items() if v})
        answer = connection.getresponse()
        body = answer.read()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, json.loads(body) if body else None
