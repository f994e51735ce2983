"""Describes the events that handlers receive, as typed dictionaries."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class KinesisData(TypedDict):
    """The record itself."""

    kinesisSchemaVersion: Literal["1.0"]
    partitionKey: str
    sequenceNumber: str
    data: str
    approximateArrivalTimestamp: float


class KinesisRecord(TypedDict):
    """One record of an event, with where it came from."""

    kinesis: KinesisData
    eventSource: Literal["aws:kinesis"]
    eventVersion: Literal["1.0"]
    eventID: str
    eventName: Literal["aws:kinesis:record"]
    invokeIdentityArn: str
    awsRegion: str
    eventSourceARN: str


class KinesisEvent(TypedDict):
    """What a handler of a Kinesis or embedded stream receives."""

    Records: list[KinesisRecord]


class TimeWindow(TypedDict):
    """The bounds of a tumbling window, to the second; `end` is the first moment behind it."""

    start: str
    end: str


class TumblingWindowEvent(TypedDict):
    """What a handler of a mapping with tumbling windows receives besides its records."""

    shardId: str
    eventSourceARN: str
    window: TimeWindow
    state: dict[str, Any]
    isFinalInvokeForWindow: bool
    isWindowTerminatedEarly: bool


class KinesisTimeWindowEvent(KinesisEvent, TumblingWindowEvent):
    """What a handler of a Kinesis or embedded stream receives in a tumbling window."""


class UserIdentity(TypedDict):
    """Who made a change that no user made: the time to live of an item."""

    type: str
    principalId: str


class DynamoDBData(TypedDict):
    """One change of an item. Attribute values are typed as DynamoDB types them: `{"S": "x"}`."""

    ApproximateCreationDateTime: float
    Keys: dict[str, dict[str, Any]]
    NewImage: NotRequired[dict[str, dict[str, Any]]]
    OldImage: NotRequired[dict[str, dict[str, Any]]]
    SequenceNumber: str
    SizeBytes: int
    StreamViewType: Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]


class DynamoDBRecord(TypedDict):
    """One record of an event, with where it came from."""

    eventID: str
    eventName: Literal["INSERT", "MODIFY", "REMOVE"]
    eventVersion: Literal["1.1"]
    eventSource: Literal["aws:dynamodb"]
    awsRegion: str
    userIdentity: NotRequired[UserIdentity]
    dynamodb: DynamoDBData
    eventSourceARN: str


class DynamoDBEvent(TypedDict):
    """What a handler of a table's stream receives."""

    Records: list[DynamoDBRecord]


class SQSMessageAttribute(TypedDict):
    """What a sender said of a message; the lists are empty always."""

    stringValue: NotRequired[str]
    binaryValue: NotRequired[str]
    stringListValues: list[str]
    binaryListValues: list[str]
    dataType: str


class SQSAttributes(TypedDict):
    """What the queue knows of a message, every value as text. Times are milliseconds."""

    ApproximateReceiveCount: str
    SentTimestamp: str
    SequenceNumber: NotRequired[str]
    MessageGroupId: NotRequired[str]
    SenderId: str
    MessageDeduplicationId: NotRequired[str]
    ApproximateFirstReceiveTimestamp: str
    AWSTraceHeader: NotRequired[str]
    DeadLetterQueueSourceArn: NotRequired[str]


class SQSRecord(TypedDict):
    """One message of an event, with where it came from."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: SQSAttributes
    messageAttributes: dict[str, SQSMessageAttribute]
    md5OfMessageAttributes: NotRequired[str | None]
    md5OfBody: str
    eventSource: Literal["aws:sqs"]
    eventSourceARN: str
    awsRegion: str


class SQSEvent(TypedDict):
    """What a handler of an SQS or embedded queue receives."""

    Records: list[SQSRecord]


class DynamoDBTimeWindowEvent(DynamoDBEvent, TumblingWindowEvent):
    """What a handler of a table's stream receives in a tumbling window."""


class BatchItemFailure(TypedDict):
    """Names one record that failed, by its sequence number, or one message, by its id."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """What a handler may answer when the mapping has ReportBatchItemFailures."""

    batchItemFailures: list[BatchItemFailure]


class TimeWindowResponse(TypedDict):
    """What a handler answers in a tumbling window: the state that the next call gets."""

    state: dict[str, Any]
    batchItemFailures: NotRequired[list[BatchItemFailure]]
