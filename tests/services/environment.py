"""Gives child processes and this one an environment in which loopback calls go straight through.

Machines export proxies and certificate bundles, and developers have AWS profiles: none of them may
reach a test.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping

REGION = "us-east-1"
ACCESS_KEY = "AKIAPENSTOCKTEST"
SECRET_KEY = "not-a-secret"

# What the person who runs the tests has: downloads need their proxies, tests must not see them.
USER_ENVIRONMENT = dict(os.environ)

_FOREIGN = frozenset(
    {
        "ALL_PROXY",
        "CURL_CA_BUNDLE",
        "FTP_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NODE_EXTRA_CA_CERTS",
        "NODE_OPTIONS",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    }
)
_OURS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns an environment without proxies, bundles and AWS settings; with test credentials."""
    given = os.environ if base is None else base
    kept = {
        name: value
        for name, value in given.items()
        if name.upper() not in _FOREIGN and not name.startswith("AWS_")
    }
    return kept | _OURS


@contextlib.contextmanager
def clean_process() -> Iterator[None]:
    """Gives this process the clean environment, and its own one back at the end."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(clean_environment(before))
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
