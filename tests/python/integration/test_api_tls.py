"""The mapping API over HTTPS: with the stock boto3, with our own command, and against bad files."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import SSLError

from penstock.api import connections, listener, server
from penstock.errors import ConfigurationError
from penstock.plan_api import api_warnings
from penstock.settings import Address, make_settings
from tests.python.integration.api_service import serving
from tests.python.integration.harness import ROOT
from tests.python.integration.test_mapping_command import mapping
from tests.python.unit.test_api_edge import KNOWN, Guarded
from tests.services.environment import ACCESS_KEY, SECRET_KEY

# A certificate for localhost and 127.0.0.1, its key, and the authority that signed it.
DATA = ROOT / "rust/penstock-aws/tests/data"
CERTIFICATE, KEY, AUTHORITY = DATA / "server.pem", DATA / "server.key", DATA / "ca.pem"
# A key of nobody, of another certificate.
OTHER_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgW8+dAID7AVZsX+VR
mnjkQaQaknZ/5UYbTs8+pdhly3ehRANCAAQu7jJkmsw8+0cPue/cjBT2UYcDLIzj
cb3Uhykg4zVyAUNO6XPrCWSSa/FkXDKp4cDv2XrpQPTnVpvjk1ISW+p/
-----END PRIVATE KEY-----
"""
LOCKED_KEY = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiJXhznWoeQNgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEECAB9kHvhu42kXjXv1z+htgEgZAI
hLJbAQoOurkIQJ3Xxbd0nLqZZdvjuDKplGv7sCzY7P4JURs92xeP/rvi4Zvepcvp
3MiXcw0u1rD7LddsWQyQ6Wc5kQEKeqSs9mtPp/l0X+dAUyzi09og+6VfdogSnZ38
QIYAspjJ1ZH5/PsUmEESXccxGuy9kDNfwKHhC/pxOqrV2B+inaQngDlKNoT2rtQ=
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Give a certificate and its key, which only their owner can read."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    shutil.copyfile(CERTIFICATE, chain)
    shutil.copyfile(KEY, key)
    key.chmod(0o600)
    return chain, key


def test_boto3_and_the_mapping_command_ask_over_https(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    tls = ("--api-tls-cert", str(files[0]), "--api-tls-key", str(files[1]))
    functions: dict[str, dict[str, Any]] = {"my-function": {}}
    with serving(tmp_path, *tls, functions=functions, streams={"orders": 1}) as service:
        assert service.url.startswith("https://127.0.0.1:")
        client = _client(service.url, str(AUTHORITY))
        made = client.create_event_source_mapping(
            EventSourceArn="arn:aws:penstock:::stream/orders",
            FunctionName="my-function",
            StartingPosition="TRIM_HORIZON",
        )
        service.until_state(client, made["UUID"], "Enabled")
        with pytest.raises(SSLError):
            _client(service.url, None).list_event_source_mappings()
        url, trusting = ("--url", service.url), {"AWS_CA_BUNDLE": str(AUTHORITY)}
        assert made["UUID"] in mapping(tmp_path, "list", *url, environment=trusting)
        assert "CERTIFICATE_VERIFY_FAILED" in mapping(tmp_path, "list", *url, code=1)
        plain = service.url.replace("https://", "http://")
        assert "did not answer" in mapping(tmp_path, "list", "--url", plain, code=1)
        assert service.stop() == 0, service.tail()


def _client(url: str, bundle: str | None) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=bundle,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=30),
    )


@pytest.fixture
def address(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 8)
    tls = make_settings(api=0, api_tls_cert=files[0], api_tls_key=files[1]).api_tls
    stage = Guarded()
    bound = server.bind(Address(host="127.0.0.1", port=0))
    running = server.Server("penstock-test", bound, lambda: stage.api, tls=tls)
    try:
        yield running.address
    finally:
        running.stop()


@pytest.mark.slow
def test_handshakes_count_as_connections_and_are_not_waited_for(address: Address) -> None:
    place = (address.host, address.port)
    held = [socket.create_connection(place, timeout=30) for _ in range(30)]
    # All are closed in the end: those too many at once, the others for saying nothing.
    for each in held:
        with each:
            assert _is_closed(each)
    assert _status(address) == 200


def test_a_head_that_does_not_come_is_not_waited_for_over_tls(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _status(address) == 200
    # From here on, when handshakes have their own time already.
    monkeypatch.setattr(connections.Connection, "head_seconds", 0.5)
    with (
        socket.create_connection((address.host, address.port), timeout=30) as plain,
        _trusting().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert _is_closed(secured)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_new_enough_and_speaks_http_1(address: Address, version: ssl.TLSVersion) -> None:
    trusting = _trusting()
    trusting.minimum_version = trusting.maximum_version = version
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((address.host, address.port), timeout=30) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.selected_alpn_protocol() == "http/1.1"


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(AUTHORITY))


def _status(address: Address) -> int:
    asking = http.client.HTTPSConnection(
        address.host, address.port, timeout=30, context=_trusting()
    )
    asking.request("GET", "/healthz", headers=KNOWN)
    status = asking.getresponse().status
    asking.close()
    return status


def _is_closed(each: socket.socket) -> bool:
    try:
        return each.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("chain", "key", "code", "words"),
    [
        ("nowhere.pem", "key.pem", "PS102", "api_tls_cert names no file that can be read"),
        ("chain.pem", "nowhere.pem", "PS102", "api_tls_key names no file that can be read"),
        (".", "key.pem", "PS102", "api_tls_cert names no file that can be read"),
        ("key.pem", "key.pem", "PS102", "api_tls_cert names has no certificate in PEM form"),
        ("chain.pem", "chain.pem", "PS102", "api_tls_key names has no private key in PEM form"),
        ("chain.pem", None, "PS102", "api_tls_cert names has no private key in PEM form"),
        ("chain.pem", "other.pem", "PS102", "api_tls_key names is not that of the certificate"),
        ("chain.pem", "locked.pem", "PS102", "api_tls_key names is kept under a passphrase"),
        ("chain.pem", "damaged.pem", "PS102", "api_tls_cert and api_tls_key name cannot be used"),
        ("damaged-chain.pem", "key.pem", "PS102", "name cannot be used"),
        (None, "key.pem", "PS103", "api_tls_key needs the certificate"),
    ],
)
def test_files_that_tls_cannot_be_made_of_are_refused(
    tmp_path: Path, files: tuple[Path, Path], chain: str | None, key: str | None, code: str,
    words: str,
) -> None:  # fmt: skip
    text, secret = files[0].read_text(), files[1].read_text()
    (tmp_path / "other.pem").write_text(OTHER_KEY)
    (tmp_path / "locked.pem").write_text(LOCKED_KEY)
    (tmp_path / "damaged.pem").write_text(secret[:60] + "\n-----END PRIVATE KEY-----\n")
    (tmp_path / "damaged-chain.pem").write_text(text[:80] + "\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigurationError) as caught:
        make_settings(
            api_tls_cert=None if chain is None else tmp_path / chain,
            api_tls_key=None if key is None else tmp_path / key,
        )
    assert caught.value.code == code
    assert words in caught.value.message
    assert secret.splitlines()[1] not in str(caught.value)


def test_one_file_may_hold_both(tmp_path: Path, files: tuple[Path, Path]) -> None:
    both = tmp_path / "both.pem"
    both.write_text(files[0].read_text() + files[1].read_text())
    both.chmod(0o600)
    assert make_settings(api_tls_cert=both).api_tls is not None


def test_what_others_can_read_is_warned_of_and_tls_keeps_it_from_them(
    files: tuple[Path, Path],
) -> None:
    def warned(**options: Any) -> list[str]:
        settings = make_settings(
            api="0.0.0.0:0", api_keys=True, api_tls_cert=files[0], api_tls_key=files[1], **options
        )
        return list(dict(api_warnings(settings)))

    assert warned() == []
    files[1].chmod(0o644)
    assert warned() == ["PS809"]
    assert warned(silence=["PS809"]) == []


def test_tls_asks_nobody_who_they_are(files: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigurationError, match="nobody would be asked"):
        make_settings(api="0.0.0.0:0", api_tls_cert=files[0], api_tls_key=files[1])
