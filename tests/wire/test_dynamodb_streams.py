"""Streams of tables: described, listed, switched off and on, and outliving their tables."""

from tests.services.dynamodb import call
from tests.wire.dynamodb_kit import BOTH, Database, Table, number, table
from tests.wire.kit import eventually, refused


def test_a_table_names_its_stream(items: Table) -> None:
    described = items.describe()
    label = described["LatestStreamLabel"]
    assert described["LatestStreamArn"] == f"{described['TableArn']}/stream/{label}"
    assert described["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": BOTH}


def test_a_stream_is_described(items: Table) -> None:
    eventually(lambda: items.stream()["StreamStatus"] == "ENABLED")
    described = items.stream()
    assert described["StreamArn"] == items.arn()
    assert described["StreamViewType"] == BOTH
    assert described["TableName"] == items.name
    assert described["StreamLabel"] == items.describe()["LatestStreamLabel"]
    assert described["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert "LastEvaluatedShardId" not in described
    for shard in described["Shards"]:
        assert "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        assert "ParentShardId" not in shard


def test_a_shard_id_has_milliseconds_and_eight_digits(items: Table) -> None:
    for shard in items.ids():
        head, middle, tail = shard.split("-")
        assert (head, len(middle), len(tail)) == ("shardId", 20, 8)
        assert middle.isdigit()
        int(tail, 16)


def test_a_table_without_a_stream_has_none(db: Database) -> None:
    with table(db, view=None) as made:
        assert "LatestStreamArn" not in made.describe()
        assert db.streams.list_streams(TableName=made.name)["Streams"] == []
        with refused("ValidationException"):
            made.disable()
        made.put(id=number(1))
        made.enable("KEYS_ONLY")
        made.put(id=number(2))
        assert [change["Keys"] for _, change in made.changes()] == [{"id": number(2)}]


def test_streams_are_listed_by_table_and_in_pages(db: Database) -> None:
    with table(db) as one, table(db) as other:
        arns = {one.arn(), other.arn()}
        listed = db.streams.list_streams(TableName=one.name)["Streams"]
        assert [stream["StreamArn"] for stream in listed] == [one.arn()]
        assert listed[0]["TableName"] == one.name
        seen: list[str] = []
        start: dict[str, str] = {}
        while True:
            page = db.streams.list_streams(Limit=1, **start)
            assert len(page["Streams"]) <= 1
            seen += [stream["StreamArn"] for stream in page["Streams"]]
            if "LastEvaluatedStreamArn" not in page:
                break
            start = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
        assert arns <= set(seen)
        assert len(seen) == len(set(seen))


def test_limits_of_lists_are_refused(items: Table) -> None:
    for limit in (0, 101):
        with refused("ValidationException"):
            items.stream(Limit=limit)
        with refused("ValidationException"):
            items.database.streams.list_streams(Limit=limit)


def test_a_stream_cannot_be_enabled_twice(items: Table) -> None:
    with refused("ValidationException"):
        items.enable()


def test_a_stream_needs_a_view(db: Database) -> None:
    with table(db, view=None) as made:
        for wanted in (
            {"StreamEnabled": True},
            {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"},
            {"StreamEnabled": True, "StreamViewType": "EVERYTHING"},
        ):
            with refused("ValidationException"):
                db.tables.update_table(TableName=made.name, StreamSpecification=wanted)


def test_a_disabled_stream_stays_readable_and_ends(items: Table) -> None:
    items.put(id=number(1))
    arn = items.arn()
    items.disable()
    items.put(id=number(2))
    eventually(lambda: items.stream(arn)["StreamStatus"] == "DISABLED")
    assert all(items.is_closed(shard["ShardId"], arn) for shard in items.shards(arn))
    assert [one["dynamodb"]["Keys"] for one in items.records(arn)] == [{"id": number(1)}]
    assert "StreamSpecification" not in items.describe()


def test_an_open_iterator_ends_when_its_stream_is_disabled(items: Table) -> None:
    items.put(id=number(1))
    token = items.iterator(items.home(1), "TRIM_HORIZON")
    items.disable()
    answer = items.get(token)
    while answer.get("NextShardIterator") is not None and answer["Records"]:
        answer = items.get(answer["NextShardIterator"])
    assert answer.get("NextShardIterator") is None


def test_a_stream_that_is_enabled_again_is_another(items: Table) -> None:
    items.put(id=number(1))
    first = items.arn()
    items.disable()
    second = items.enable("NEW_IMAGE")
    items.put(id=number(2))
    assert first != second
    listed = items.database.streams.list_streams(TableName=items.name)["Streams"]
    assert {stream["StreamArn"] for stream in listed} == {first, second}
    assert [one["dynamodb"]["Keys"] for one in items.records(first)] == [{"id": number(1)}]
    assert [one["dynamodb"]["Keys"] for one in items.records(second)] == [{"id": number(2)}]
    assert items.stream(second)["StreamViewType"] == "NEW_IMAGE"


def test_a_stream_outlives_its_table(db: Database) -> None:
    with table(db) as made:
        made.put(id=number(1))
        arn = made.arn()
        db.tables.delete_table(TableName=made.name)
        eventually(lambda: made.name not in db.tables.list_tables()["TableNames"])
        assert len(made.records(arn)) == 1
        assert made.stream(arn)["StreamStatus"] == "DISABLED"


def test_an_unknown_table_is_not_found(items: Table) -> None:
    nowhere = Table(database=items.database, name="nowhere")
    for touch in (nowhere.describe, nowhere.disable):
        with refused("ResourceNotFoundException"):
            touch()
    with refused("ResourceNotFoundException"):
        nowhere.put(id=number(1))


def test_a_name_is_used_once(items: Table) -> None:
    with refused("ResourceInUseException"):
        items.database.tables.create_table(
            TableName=items.name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )


def test_a_table_needs_a_name_and_a_key(db: Database) -> None:
    good = {
        "TableName": "test-good",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    wrongs: list[dict[str, object]] = [
        {"TableName": "ab"},
        {"TableName": "a name"},
        {"KeySchema": []},
        {"KeySchema": [{"AttributeName": "id", "KeyType": "RANGE"}]},
        {"AttributeDefinitions": [{"AttributeName": "other", "AttributeType": "N"}]},
    ]
    for wrong in wrongs:
        with refused("ValidationException"):
            db.tables.create_table(**(good | wrong))


def test_an_error_names_its_type_in_full(db: Database) -> None:
    request = {"StreamArn": "arn:aws:dynamodb:us-east-1:000000000000:table/none/stream/none"}
    status, headers, body = call(db.port, "Streams.DescribeStream", request)
    assert status == 400
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert body["__type"] == "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"


def test_each_service_has_its_own_operations(db: Database) -> None:
    for target in ("Streams.PutItem", "GetRecords", "Streams.Nothing", "Nothing"):
        status, _, body = call(db.port, target, {})
        assert status == 400
        assert body["__type"].endswith("UnknownOperationException")


def test_a_call_without_a_signature_is_refused(db: Database) -> None:
    unsigned = {"Authorization": ""}
    status, _, body = call(db.port, "Streams.ListStreams", {}, headers=unsigned)
    assert status == 400
    assert body["__type"].endswith("MissingAuthenticationTokenException")
