"""Finds the canned stream, for the drains that are not penstock's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3

REGION = "us-east-1"
ROLE = "arn:aws:iam::000000000000:role/penstock"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchStream:
    """A stream of one shard, and the client that found it."""

    client: Any
    shard: str
    arn: str
    iterator: str

    @classmethod
    def at(cls, url: str) -> BenchStream:
        """Ask the server at `url` for it."""
        client = boto3.client("kinesis", endpoint_url=url, region_name=REGION)
        summary = client.describe_stream_summary(StreamName="bench")["StreamDescriptionSummary"]
        shard = client.list_shards(StreamName="bench")["Shards"][0]["ShardId"]
        answer = client.get_shard_iterator(
            StreamName="bench", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )
        return cls(
            client=client,
            shard=shard,
            arn=summary["StreamARN"],
            iterator=answer["ShardIterator"],
        )
