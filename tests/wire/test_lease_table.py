"""The lease table of several processes, on a DynamoDB that nobody here wrote.

The rules are the Rust suite of shared stores, which runs against an imitation otherwise.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.services.dynamodb import dynamodb_local

ROOT = Path(__file__).parents[2]
SUITE = ("--workspace", "--test", "wire", "--locked", "--quiet")


@pytest.mark.slow
def test_dynamodb_local_keeps_the_rules_of_shared_stores() -> None:
    with dynamodb_local() as endpoint:
        done = subprocess.run(
            ["cargo", "test", *SUITE, "lease_table::"],
            cwd=ROOT,
            env={**os.environ, "PENSTOCK_DYNAMODB": str(endpoint.port)},
            capture_output=True,
            text=True,
            timeout=380,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        client = endpoint.client()
        tables = client.list_tables()["TableNames"]
        client.close()
    # Each rule had a table of its own, and the one of large checkpoints another beside it.
    assert len([name for name in tables if name.startswith("leases-")]) >= 12
    assert [name for name in tables if name.endswith("-penstock")]
