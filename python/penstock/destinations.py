"""Hands failure documents to queues, topics and buckets of AWS, and to functions of the user's.

Rules: one delivery is one call, with short timeouts and one attempt, for the engine owns retries;
credentials that have expired are replaced and the call is made again, which is no retry; a document
that comes again goes to the same object of a bucket.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from penstock.destination_errors import Fault, explain, is_denied, is_expired
from penstock.identities import Identity, client_config
from penstock.keepers import PREFIX, Keeper

if TYPE_CHECKING:
    from penstock.access import Access

log = logging.getLogger("penstock.destinations")

_NAMESPACE: Final = uuid.UUID("5a0e7fd8-3d3c-5c0e-8f4b-0b6f0ad24b5e")
_EXCEPTION_CHARS_MAX: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A failure document on its way."""

    mapping: str
    destination: str
    shard: str
    id: str
    timestamp: str
    body: str

    @classmethod
    def parse(cls, errand: bytes) -> Self:
        """Read an errand: what is to be delivered where, a line break, the document."""
        head, _, body = errand.partition(b"\n")
        return cls(**json.loads(head), body=body.decode())

    def object_key(self, prefix: str = "") -> str:
        """Give the name of the object in a bucket: Lambda's, the same whenever it is sent."""
        moment = self.timestamp.partition(".")[0]
        day = moment.partition("T")[0].replace("-", "/")
        name = f"{moment.replace(':', '.')}-{uuid.uuid5(_NAMESPACE, self.id)}"
        own = f"aws/lambda/{self.mapping}/{self.shard}/{day}/{name}"
        return f"{prefix.strip('/')}/{own}" if prefix.strip("/") else own


class Target(Protocol):
    """Where documents go."""

    def deliver(self, document: Document) -> Fault | None:
        """Hand one over; give the fault when it was not taken. Never raises."""


class FunctionTarget:
    """A function of the user's."""

    def __init__(self, name: str, keeper: Keeper) -> None:
        self._name = name
        self._keeper = keeper

    def deliver(self, document: Document) -> Fault | None:
        """Call the function with the document."""
        try:
            self._keeper(json.loads(document.body))
        except BaseException as error:
            log.warning("%s%s failed", PREFIX, self._name, exc_info=True)
            said = f"{type(error).__name__}: {error}"[:_EXCEPTION_CHARS_MAX]
            shown = "".join(char if char.isprintable() else " " for char in said)
            return "transient", f"{PREFIX}{self._name} raised {shown}"
        return None


class AwsTarget:
    """A queue, a topic or a bucket."""

    def __init__(self, destination: str, identity: Identity, access: Access) -> None:
        self._destination = destination
        self._service, self._name = _service_and_name(destination)
        self._identity = identity.within(_region_of(destination))
        self._access = access
        self._lock = threading.Lock()
        self._session: Any = None
        self._client: Any = None
        self._address: str | None = None

    def deliver(self, document: Document) -> Fault | None:
        """Make the one call; once more when the credentials had expired."""
        try:
            try:
                self._send(document)
            except Exception as error:
                if not is_expired(error):
                    raise
                self._forget()
                self._send(document)
        except Exception as error:
            log.debug("%s took no document", self._destination, exc_info=True)
            fault = explain(error, self._service, self._destination, self._identity.role_arn)
            if fault[0] == "denied":
                self._forget()
            return fault
        return None

    def look(self) -> Fault | str | None:
        """Ask whether it is there, without sending anything.

        Gives the operation when just looking was denied, which says nothing about sending.
        """
        operations = {
            "sqs": ("GetQueueAttributes", self._look_at_queue),
            "sns": ("GetTopicAttributes", self._look_at_topic),
            "s3": ("HeadBucket", self._look_at_bucket),
        }
        operation, call = operations[self._service]
        try:
            call()
        except Exception as error:  # noqa: BLE001 -- told, whatever it is
            if is_denied(error):
                return operation
            return explain(error, self._service, self._destination, self._identity.role_arn)
        return None

    def _send(self, document: Document) -> None:
        client = self._connected()
        if self._service == "sqs":
            client.send_message(QueueUrl=self._queue_url(client), MessageBody=document.body)
        elif self._service == "sns":
            client.publish(TopicArn=self._topic_arn(), Message=document.body)
        else:
            bucket, _, prefix = self._name.partition("/")
            client.put_object(
                Bucket=bucket,
                Key=document.object_key(prefix),
                Body=document.body.encode(),
                ContentType="application/octet-stream",
            )

    def _look_at_queue(self) -> None:
        client = self._connected()
        client.get_queue_attributes(QueueUrl=self._queue_url(client), AttributeNames=["QueueArn"])

    def _look_at_topic(self) -> None:
        self._connected().get_topic_attributes(TopicArn=self._topic_arn())

    def _look_at_bucket(self) -> None:
        self._connected().head_bucket(Bucket=self._name.partition("/")[0])

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                endpoint = self._identity.endpoint_url or self._access.endpoint
                self._session = self._access.session(self._identity)
                self._client = self._session.create_client(
                    self._service,
                    region_name=self._identity.region,
                    endpoint_url=endpoint,
                    config=client_config(attempts=1, path_style=endpoint is not None),
                )
            return self._client

    def _forget(self) -> None:
        """Have credentials and everything else found afresh by the next call."""
        with self._lock:
            self._client = self._session = None

    def _queue_url(self, client: Any) -> str:
        if self._address is None:
            parts = self._destination.split(":")
            if parts[0] == "arn":
                # The form that queues' URLs have: asking for it would need another permission.
                self._address = f"{client.meta.endpoint_url.rstrip('/')}/{parts[4]}/{self._name}"
            else:
                self._address = str(client.get_queue_url(QueueName=self._name)["QueueUrl"])
        return self._address

    def _topic_arn(self) -> str:
        if self._address is None:
            if self._destination.startswith("arn:"):
                self._address = self._destination
            else:
                self._address = self._own_topic()
        return self._address

    def _own_topic(self) -> str:
        """Give the ARN of a topic of the caller's own account."""
        session, region = self._session, self._client.meta.region_name
        sts = session.create_client(
            "sts",
            region_name=region,
            endpoint_url=self._access.endpoint,
            config=client_config(attempts=1),
        )
        account = sts.get_caller_identity()["Account"]
        partition = session.get_partition_for_region(region)
        return f"arn:{partition}:sns:{region}:{account}:{self._name}"


def is_aws(destination: str) -> bool:
    """Whether a destination is a queue, a topic or a bucket of AWS."""
    return _service_and_name(destination)[0] in {"sqs", "sns", "s3"}


def _service_and_name(destination: str) -> tuple[str, str]:
    if destination.startswith("arn:"):
        _, _, service, _, _, name = destination.split(":", 5)
        return service, name
    service, _, name = destination.partition(":")
    return service, name.removeprefix("//")


def _region_of(destination: str) -> str | None:
    return destination.split(":")[3] or None if destination.startswith("arn:") else None
