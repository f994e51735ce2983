"""Streams: their states, their descriptions, their lists, their retention."""

from datetime import UTC, datetime, timedelta

from tests.services.kinesis import call
from tests.wire.kit import Server, Stream, eventually, refused, stream


def test_a_new_stream_is_creating_and_then_active(server: Server) -> None:
    server.client.create_stream(StreamName="newcomer", ShardCount=3)
    made = Stream(client=server.client, name="newcomer")
    assert made.status() == "CREATING"
    made.wait()
    assert len(made.shards()) == 3
    server.client.delete_stream(StreamName="newcomer")


def test_a_deleted_stream_goes(server: Server) -> None:
    with stream(server.client) as made:
        pass
    assert made.status() == "DELETING"

    def gone() -> bool:
        return made.name not in server.client.list_streams(Limit=100)["StreamNames"]

    eventually(gone)
    with refused("ResourceNotFoundException"):
        made.status()


def test_a_description_tells_shards_retention_and_creation(two_shards: Stream) -> None:
    name = two_shards.name
    described = two_shards.client.describe_stream(StreamName=name)["StreamDescription"]
    assert described["StreamName"] == name
    assert described["StreamARN"].endswith(f":stream/{name}")
    assert described["StreamStatus"] == "ACTIVE"
    assert described["RetentionPeriodHours"] == 24
    assert described["HasMoreShards"] is False
    assert len(described["Shards"]) == 2
    age = datetime.now(UTC) - described["StreamCreationTimestamp"]
    assert abs(age) < timedelta(minutes=1)


def test_a_description_comes_in_pages(two_shards: Stream) -> None:
    name, client = two_shards.name, two_shards.client
    first = client.describe_stream(StreamName=name, Limit=1)["StreamDescription"]
    assert first["HasMoreShards"] is True
    start = first["Shards"][0]["ShardId"]
    rest = client.describe_stream(StreamName=name, ExclusiveStartShardId=start)
    assert [one["ShardId"] for one in rest["StreamDescription"]["Shards"]] == two_shards.ids()[1:]


def test_a_summary_counts_open_shards(two_shards: Stream) -> None:
    two_shards.split(two_shards.ids()[0])
    summary = two_shards.client.describe_stream_summary(StreamName=two_shards.name)
    assert summary["StreamDescriptionSummary"]["OpenShardCount"] == 3


def test_a_stream_is_described_by_its_arn(one_shard: Stream) -> None:
    described = one_shard.client.describe_stream_summary(StreamName=one_shard.name)
    arn = described["StreamDescriptionSummary"]["StreamARN"]
    by_arn = one_shard.client.describe_stream_summary(StreamARN=arn)
    assert by_arn["StreamDescriptionSummary"]["StreamName"] == one_shard.name


def test_a_name_is_given_once(one_shard: Stream) -> None:
    with refused("ResourceInUseException"):
        one_shard.client.create_stream(StreamName=one_shard.name, ShardCount=1)


def test_a_stream_that_does_not_exist_is_not_found(server: Server) -> None:
    with refused("ResourceNotFoundException"):
        server.client.describe_stream_summary(StreamName="nowhere")
    with refused("ResourceNotFoundException"):
        server.client.put_record(StreamName="nowhere", Data=b"x", PartitionKey="k")


def test_a_name_with_a_space_is_refused(server: Server) -> None:
    with refused("ValidationException"):
        server.client.create_stream(StreamName="no spaces", ShardCount=1)


def test_streams_are_listed_in_pages(server: Server) -> None:
    with stream(server.client) as one, stream(server.client) as other:
        first = server.client.list_streams(Limit=1)
        assert len(first["StreamNames"]) == 1
        assert first["HasMoreStreams"] is True
        rest = server.client.list_streams(
            Limit=100, ExclusiveStartStreamName=first["StreamNames"][0]
        )
        assert {one.name, other.name} <= {*first["StreamNames"], *rest["StreamNames"]}
        assert rest["HasMoreStreams"] is False


def test_retention_is_raised_and_lowered_within_bounds(one_shard: Stream) -> None:
    client, name = one_shard.client, one_shard.name

    def hours() -> int:
        summary = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        return int(summary["RetentionPeriodHours"])

    client.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    assert hours() == 48
    with refused("InvalidArgumentException"):
        client.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=25)
    one_shard.wait()
    client.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=24)
    assert hours() == 24


def test_an_answer_has_a_date_and_a_request_id(server: Server) -> None:
    status, headers, _ = call(server.port, "ListStreams", {})
    assert status == 200
    assert len(headers["x-amzn-requestid"]) == 36
    assert headers["date"].endswith(" GMT")
    assert headers["content-type"] == "application/x-amz-json-1.1"


def test_a_call_without_a_signature_is_refused(server: Server) -> None:
    status, _, body = call(server.port, "ListStreams", {}, headers={"Authorization": ""})
    assert status == 400
    assert body["__type"] == "MissingAuthenticationTokenException"


def test_an_unknown_operation_is_refused(server: Server) -> None:
    status, _, body = call(server.port, "PaintStream", {})
    assert status == 400
    assert body["__type"] == "UnknownOperationException"
