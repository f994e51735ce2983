"""Defines the exceptions of penstock, one tree under PenstockError.

Rules: every error has a stable code; a message is one sentence that says what happened, to what,
and what to do; the way out stands in `hint`, the place in the user's program in `where`. The Rust
extension raises these very classes and passes the same keywords.
"""

from __future__ import annotations

from typing import ClassVar, Final


class PenstockError(Exception):
    """Anything that penstock raises."""

    default_code: ClassVar[str] = "PS900"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        mapping: str | None = None,
        retryable: bool = False,
        where: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.mapping = mapping
        self.retryable = retryable
        self.where = where

    def __str__(self) -> str:
        return self.message

    def explain(self) -> str:
        """Give the message as the command line shows it: code, place and hint included."""
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  in: {self.where}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ConfigurationError(PenstockError, ValueError):
    """A document or option that cannot be used; nothing was started.

    `path` names the member, in the document's words or as the user wrote the option.
    """

    default_code = "PS100"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        mapping: str | None = None,
        retryable: bool = False,
        where: str | None = None,
    ) -> None:
        super().__init__(
            message, code=code, hint=hint, mapping=mapping, retryable=retryable, where=where
        )
        self.path = path


class MappingNotFound(PenstockError, LookupError):
    """No mapping has this id."""

    default_code = "PS111"


class MappingConflict(PenstockError):
    """The same source is mapped to the same function twice, or a name is taken."""

    default_code = "PS110"


class Refusal(PenstockError):
    """What the mapping API answers instead of doing what was asked; `type` is AWS's error code."""

    default_code = "PS120"

    def __init__(
        self,
        message: str,
        *,
        type: str = "ServiceException",  # noqa: A002 -- AWS's word
        code: str | None = None,
        hint: str | None = None,
        mapping: str | None = None,
        retryable: bool = False,
        where: str | None = None,
    ) -> None:
        super().__init__(
            message, code=code, hint=hint, mapping=mapping, retryable=retryable, where=where
        )
        self.type = type


class SourceError(PenstockError):
    """A source cannot be read; `source` names it."""

    default_code = "PS200"

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        mapping: str | None = None,
        retryable: bool = False,
        where: str | None = None,
    ) -> None:
        super().__init__(
            message, code=code, hint=hint, mapping=mapping, retryable=retryable, where=where
        )
        self.source = source


class CheckpointError(PenstockError):
    """The state directory, or a checkpoint in it, cannot be read or written."""

    default_code = "PS300"


class FencedError(CheckpointError):
    """Somebody else holds the shard now."""

    default_code = "PS310"


class DestinationError(PenstockError):
    """The destination of failure documents cannot be reached or refuses them."""

    default_code = "PS400"


class HandlerError(PenstockError):
    """A handler failed; recorded and handed to hooks, never raised by `run()`."""

    default_code = "PS500"


class HandlerTimeout(HandlerError):
    """A handler ran longer than its function's timeout."""

    default_code = "PS501"


class HandlerCrash(HandlerError):
    """The worker of a handler died."""

    default_code = "PS502"


class RuntimeClosed(PenstockError, RuntimeError):
    """The engine was closed."""

    default_code = "PS600"


class ForkedProcess(PenstockError, RuntimeError):
    """The engine was started before this process was forked."""

    default_code = "PS601"


class InternalError(PenstockError):
    """A bug of penstock's own; `trace` names the file that replays it, if one was written."""

    default_code = "PS900"

    def __init__(
        self,
        message: str,
        *,
        trace: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        mapping: str | None = None,
        retryable: bool = False,
        where: str | None = None,
    ) -> None:
        super().__init__(
            message, code=code, hint=hint, mapping=mapping, retryable=retryable, where=where
        )
        self.trace = trace


CODES: Final[dict[str, tuple[type[PenstockError], str]]] = {
    "PS100": (ConfigurationError, "a configuration that cannot be used"),
    "PS101": (ConfigurationError, "an option that does not exist"),
    "PS102": (ConfigurationError, "an option of the wrong type"),
    "PS103": (ConfigurationError, "an option out of its range, or one that needs another"),
    "PS104": (ConfigurationError, "a source that cannot be understood"),
    "PS105": (ConfigurationError, "a source of a kind that this version cannot read"),
    "PS106": (ConfigurationError, "a destination that this version cannot serve"),
    "PS108": (ConfigurationError, "a handler that cannot be called"),
    "PS109": (ConfigurationError, "a target of `penstock run` that cannot be loaded"),
    "PS110": (MappingConflict, "a mapping or function that is there already"),
    "PS111": (MappingNotFound, "a mapping that does not exist"),
    "PS112": (ConfigurationError, "a duration that cannot be understood"),
    "PS113": (ConfigurationError, "an option that is missing"),
    "PS114": (ConfigurationError, "an option given twice, under two names"),
    "PS115": (ConfigurationError, "an option of Lambda's that this version does not have"),
    "PS116": (ConfigurationError, "an app without mappings"),
    "PS117": (ConfigurationError, "a function that a child process cannot import"),
    "PS120": (Refusal, "a request that the mapping API refuses"),
    "PS130": (ConfigurationError, "a key whose name is taken, or one too many"),
    "PS131": (ConfigurationError, "a key that does not exist"),
    "PS200": (SourceError, "a source that fails"),
    "PS201": (SourceError, "no region is configured"),
    "PS202": (SourceError, "no credentials are configured, or they cannot be had"),
    "PS203": (SourceError, "a stream or queue that does not exist"),
    "PS204": (SourceError, "access that is denied"),
    "PS205": (SourceError, "an endpoint that cannot be reached"),
    "PS206": (SourceError, "an answer that cannot be understood"),
    "PS210": (
        ConfigurationError,
        "a stream's or queue's name or option that cannot be used",
    ),
    "PS211": (SourceError, "an embedded stream or queue that is there already"),
    "PS212": (SourceError, "a shard of an embedded stream that is not there, or closed already"),
    "PS213": (SourceError, "embedded streams or queues that are full"),
    "PS300": (CheckpointError, "state that cannot be read or written"),
    "PS301": (CheckpointError, "a state directory that another process uses"),
    "PS302": (CheckpointError, "a state file that is damaged"),
    "PS303": (CheckpointError, "a state file of a later version"),
    "PS304": (CheckpointError, "a state directory that cannot be written"),
    "PS305": (CheckpointError, "a directory that state cannot be kept in"),
    "PS310": (FencedError, "a shard that somebody else holds"),
    "PS400": (DestinationError, "a destination that fails"),
    "PS500": (HandlerError, "a handler that raised, or answered what is no answer"),
    "PS501": (HandlerTimeout, "a handler that ran too long"),
    "PS502": (HandlerCrash, "a worker that died"),
    "PS600": (RuntimeClosed, "an engine that was closed"),
    "PS601": (ForkedProcess, "an engine used in a forked process"),
    "PS602": (ConfigurationError, "a pool of workers that does not exist"),
    "PS603": (ConfigurationError, "the system's clock, which cannot be moved"),
    "PS604": (InternalError, "an invocation that is not out"),
    "PS700": (PenstockError, "no engine runs on the state directory, or it cannot be asked"),
    "PS900": (InternalError, "a bug of penstock's own"),
}
