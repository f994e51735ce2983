"""What becomes of a write: which record, with which images, in which order."""

import re
import time
from typing import Any

import pytest

from tests.wire.dynamodb_kit import Database, Item, Table, key_of, number, table, text
from tests.wire.kit import refused


def test_an_item_comes_changes_and_goes(items: Table) -> None:
    items.put(id=number(1), word=text("a"))
    items.put(id=number(1), word=text("b"))
    items.delete(1)
    (first, inserted), (second, modified), (third, removed) = items.changes()
    assert (first, second, third) == ("INSERT", "MODIFY", "REMOVE")
    before, after = ({"id": number(1), "word": text(word)} for word in "ab")
    assert inserted["NewImage"] == before
    assert "OldImage" not in inserted
    assert modified["OldImage"] == before
    assert modified["NewImage"] == after
    assert removed["OldImage"] == after
    assert "NewImage" not in removed
    for change in (inserted, modified, removed):
        assert change["Keys"] == {"id": number(1)}
        assert change["StreamViewType"] == "NEW_AND_OLD_IMAGES"


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_a_view_chooses_the_images(db: Database, view: str) -> None:
    with table(db, view) as made:
        made.put(id=number(1), word=text("a"))
        made.put(id=number(1), word=text("b"))
        made.delete(1)
        changes = dict(made.changes())
    has_new, has_old = view.startswith("NEW"), view.endswith(("OLD_IMAGE", "OLD_IMAGES"))
    assert [name for name in changes if "NewImage" in changes[name]] == (
        ["INSERT", "MODIFY"] if has_new else []
    )
    assert [name for name in changes if "OldImage" in changes[name]] == (
        ["MODIFY", "REMOVE"] if has_old else []
    )
    for change in changes.values():
        assert change["Keys"] == {"id": number(1)}
        assert change["StreamViewType"] == view


def test_a_put_that_changes_nothing_leaves_no_record(items: Table) -> None:
    for _ in range(2):
        items.put(id=number(1), word=text("a"))
    assert [name for name, _ in items.changes()] == ["INSERT"]


def test_an_update_that_changes_nothing_leaves_no_record(items: Table) -> None:
    items.put(id=number(1), word=text("a"))
    items.update(1, "SET word = :v", v=text("a"))
    items.update(1, "REMOVE extra")
    assert [name for name, _ in items.changes()] == ["INSERT"]


def test_another_spelling_or_order_changes_nothing(items: Table) -> None:
    items.put(id=number(1), value=number("1.50"), words={"SS": ["a", "b"]})
    items.put(id=number("1.0"), value=number("15e-1"), words={"SS": ["b", "a"]})
    assert [name for name, _ in items.changes()] == ["INSERT"]
    items.put(id=number(1), value=number("1.5"), words={"SS": ["a"]})
    assert [name for name, _ in items.changes()] == ["INSERT", "MODIFY"]


def test_deleting_nothing_leaves_no_record(items: Table) -> None:
    items.delete(1)
    assert items.changes() == []


def test_an_update_makes_an_item_that_is_not_there(items: Table) -> None:
    items.update(1, "SET word = :v, amount = :n", v=text("a"), n=number(2))
    ((name, change),) = items.changes()
    assert name == "INSERT"
    assert change["NewImage"] == {"id": number(1), "word": text("a"), "amount": number(2)}


def test_an_update_sets_adds_and_removes(items: Table) -> None:
    items.put(id=number(1), amount=number(5), gone=text("x"))
    items.update(1, "SET amount = amount + :n, was = amount REMOVE gone", n=number("2.5"))
    items.update(1, "SET amount = amount - :n", n=number("1.25"))
    _, (_, modified), (_, again) = items.changes()
    assert modified["NewImage"] == {"id": number(1), "amount": number("7.5"), "was": number(5)}
    assert again["NewImage"]["amount"] == number("6.25")


def test_a_whole_result_has_no_point(items: Table) -> None:
    items.put(id=number(1), amount=number("2.5"))
    items.update(1, "SET amount = amount - :n", n=number("2.5"))
    _, (_, modified) = items.changes()
    assert modified["NewImage"]["amount"] == number(0)


def test_a_key_is_not_updated(items: Table) -> None:
    with refused("ValidationException"):
        items.update(1, "SET id = :v", v=number(2))


def test_an_update_that_makes_no_sense_is_refused(items: Table) -> None:
    items.put(id=number(1), word=text("a"))
    for expression in ("", "SET", "SET word", "SET word = missing", "SET word = :w"):
        with refused("ValidationException"):
            items.update(1, expression, v=text("x"))
    with refused("ValidationException"):
        items.update(1, "SET word = word + :v", v=number(1))
    assert len(items.changes()) == 1


def test_a_put_can_return_what_was_there(items: Table) -> None:
    def put(word: str) -> Any:
        item = {"id": number(1), "word": text(word)}
        tables = items.database.tables
        answer = tables.put_item(TableName=items.name, Item=item, ReturnValues="ALL_OLD")
        return answer.get("Attributes")

    assert put("a") is None
    assert put("b") == {"id": number(1), "word": text("a")}


def test_an_item_reads_as_it_was_written(items: Table) -> None:
    def read(key: int) -> Any:
        tables = items.database.tables
        answer = tables.get_item(TableName=items.name, Key={"id": number(key)}, ConsistentRead=True)
        return answer.get("Item")

    items.put(id=number(1), word=text("a"))
    assert read(1) == {"id": number(1), "word": text("a")}
    assert read(2) is None


def test_values_of_all_types_come_through(items: Table) -> None:
    written: dict[str, Any] = {
        "id": number(1),
        "text": text('"quoted" \\ \n ü €'),
        "amount": number("-12.5"),
        "large": number("12345678901234567890123456789012345678"),
        "bytes": {"B": b"\x00\xff"},
        "yes": {"BOOL": True},
        "nothing": {"NULL": True},
        "list": {"L": [text("a"), {"L": [{"NULL": True}]}, number(2)]},
        "map": {"M": {"a": {"M": {"c": text("d")}}, "b": {"BOOL": False}}},
        "one": {"SS": ["a"]},
        "numbers": {"NS": ["2"]},
        "more": {"BS": [b"x"]},
    }
    items.put(**written)
    ((_, change),) = items.changes()
    assert change["NewImage"] == written


def test_a_blank_text_comes_through(items: Table) -> None:
    items.put(id=number(1), word=text(""))
    ((_, change),) = items.changes()
    assert change["NewImage"]["word"] == text("")


def test_empty_lists_and_maps_come_through(items: Table) -> None:
    within = {"L": [{"L": []}, {"M": {}}]}
    items.put(id=number(1), list={"L": []}, map={"M": {}}, within=within)
    ((_, change),) = items.changes()
    assert change["NewImage"] == {
        "id": number(1),
        "list": {"L": []},
        "map": {"M": {}},
        "within": within,
    }


@pytest.mark.parametrize(
    "value",
    [{}, {"S": "a", "N": "1"}, {"N": "x"}, {"N": "1" * 39}, {"SS": []}, {"SS": ["a", "a"]}],
)
def test_what_is_no_value_is_refused(items: Table, value: dict[str, Any]) -> None:
    with refused("ValidationException"):
        items.put(id=number(1), value=value)


def test_an_item_without_its_key_is_refused(items: Table) -> None:
    with refused("ValidationException"):
        items.put(word=text("a"))
    with refused("ValidationException"):
        items.put(id=text("1"))


def test_an_item_of_more_than_400_kilobytes_is_refused(items: Table) -> None:
    with refused("ValidationException"):
        items.put(id=number(1), word=text("x" * (400 << 10)))
    items.put(id=number(1), word=text("x" * ((400 << 10) - 10)))


def test_sizes_are_those_of_keys_and_images(items: Table) -> None:
    items.put(id=number(101), Message=text("New item!"))
    items.put(id=number(101), Message=text("This item has changed"))
    items.delete(101)
    assert [change["SizeBytes"] for _, change in items.changes()] == [26, 59, 38]


def test_sizes_count_all_types(items: Table) -> None:
    items.put(id=number(1), b={"B": b"abc"}, t={"BOOL": True}, z={"NULL": True}, s={"SS": ["ab"]})
    items.put(id=number(2), l={"L": [text("ab")]}, m={"M": {"k": text("v")}})
    sizes = {key_of(one): one["dynamodb"]["SizeBytes"] for one in items.records()}
    # Twice the key, name and number; then each attribute, name and value.
    assert sizes[1] == 2 * 4 + (1 + 3) + (1 + 1) + (1 + 1) + (1 + 2)
    assert sizes[2] == 2 * 4 + (1 + 3 + 1 + 2) + (1 + 3 + 1 + 1 + 1)


def test_a_record_says_where_it_comes_from(items: Table) -> None:
    items.put(id=number(1))
    (record,) = items.records()
    assert record["eventSource"] == "aws:dynamodb"
    assert record["eventVersion"] == "1.1"
    assert record["awsRegion"] == items.arn().split(":")[3]
    assert "userIdentity" not in record


def test_an_event_id_is_32_hexadecimal_digits(items: Table) -> None:
    for key in range(10):
        items.put(id=number(key))
    ids = {record["eventID"] for record in items.records()}
    assert len(ids) == 10
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


def test_a_record_is_dated_by_the_second(items: Table) -> None:
    before = int(time.time())
    items.put(id=number(1))
    ((_, change),) = items.changes()
    created = change["ApproximateCreationDateTime"].timestamp()
    assert created == int(created)
    assert before <= created <= time.time()


def test_sequence_numbers_grow(items: Table) -> None:
    for nth in range(20):
        items.put(id=number(1), nth=number(nth))
    numbers = [change["SequenceNumber"] for _, change in items.changes()]
    assert all(21 <= len(one) <= 40 and one.isdigit() for one in numbers)
    values = [int(one) for one in numbers]
    assert values == sorted(set(values))
    assert len(values) == 20


def test_records_of_an_item_stand_in_one_shard_in_order(items: Table) -> None:
    for nth in range(5):
        for key in range(8):
            items.put(id=number(key), nth=number(nth))
    homes: dict[int, str] = {}
    orders: dict[int, list[int]] = {}
    for shard in items.ids():
        for record in items.drain(shard):
            assert homes.setdefault(key_of(record), shard) == shard
            nth = int(record["dynamodb"]["NewImage"]["nth"]["N"])
            orders.setdefault(key_of(record), []).append(nth)
    assert orders == {key: list(range(5)) for key in range(8)}


def test_a_batch_puts_and_deletes(items: Table) -> None:
    items.put(id=number(1), word=text("a"))
    answer = items.batch(
        {"DeleteRequest": {"Key": {"id": number(1)}}},
        {"DeleteRequest": {"Key": {"id": number(2)}}},
        {"PutRequest": {"Item": {"id": number(3), "word": text("c")}}},
    )
    assert answer["UnprocessedItems"] == {}
    assert sorted((one["eventName"], key_of(one)) for one in items.records()) == [
        ("INSERT", 1),
        ("INSERT", 3),
        ("REMOVE", 1),
    ]


def test_a_batch_has_at_most_25_writes_of_different_items(items: Table) -> None:
    def puts(keys: range) -> list[dict[str, Any]]:
        return [{"PutRequest": {"Item": {"id": number(key)}}} for key in keys]

    items.batch(*puts(range(25)))
    with refused("ValidationException"):
        items.batch(*puts(range(26)))
    with refused("ValidationException"):
        items.batch(*puts(range(30, 31)), *puts(range(30, 31)))
    assert len(items.records()) == 25


def test_two_keys_make_an_item(db: Database) -> None:
    name = "test-two-keys"
    attributes = [("name", "S"), ("at", "B")]
    db.tables.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": one, "AttributeType": kind} for one, kind in attributes
        ],
        KeySchema=[
            {"AttributeName": "name", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    made = Table(database=db, name=name)
    made.wait()
    keys: list[Item] = [{"name": text("a"), "at": {"B": at}} for at in (b"1", b"2")]
    for key in keys:
        made.put(**key, word=text("x"))
    assert [change["Keys"] for _, change in made.changes()] == keys
    with refused("ValidationException"):
        db.tables.delete_item(TableName=name, Key={"name": text("a")})
    with refused("ValidationException"):
        made.put(name=text(""), at={"B": b"1"})
    db.tables.delete_table(TableName=name)
