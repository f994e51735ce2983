"""Says as whom AWS is called, and assumes roles.

Rules: botocore finds and refreshes credentials, those of an assumed role too; a role is assumed
when its credentials are first needed, and again before they expire.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from penstock.mappings.model import Mapping

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 10.0
_SESSION_NAME: Final = "penstock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom and where a mapping's source or its destination is called."""

    role_arn: str | None = None
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    @classmethod
    def of_source(cls, mapping: Mapping) -> Self:
        """Give the identity that a mapping reads with."""
        return cls(
            role_arn=mapping.source_role_arn,
            profile=mapping.source_profile,
            region=mapping.source_region,
            endpoint_url=mapping.source_endpoint_url,
        )

    @classmethod
    def of_destination(cls, mapping: Mapping, source_region: str | None) -> Self:
        """Give the identity that documents are delivered with.

        By default it is the source's, as a function of Lambda's has one role for both.
        """
        return cls(
            role_arn=mapping.destination_role_arn or mapping.source_role_arn,
            profile=mapping.destination_profile or mapping.source_profile,
            region=mapping.destination_region or source_region,
            endpoint_url=mapping.destination_endpoint_url,
        )

    def __str__(self) -> str:
        """Tell it from others, in a few words."""
        return " ".join(part for part in (self.profile, self.role_arn, self.endpoint_url) if part)

    def within(self, region: str | None) -> Identity:
        """Give the same in a region that is known better."""
        return replace(self, region=region) if region else self

    def session(self, new_session: Callable[[], Any], endpoint: str | None) -> Any:
        """Make botocore's session; roles are assumed at `endpoint`, or where botocore finds STS."""
        session = new_session()
        if self.profile is not None:
            session.set_config_variable("profile", self.profile)
        if self.role_arn is None:
            return session
        from botocore.credentials import CredentialResolver

        taking = new_session()
        if self.profile is not None:
            taking.set_config_variable("profile", self.profile)
        provider = _assuming(session, self.role_arn, self.region, endpoint)
        taking.register_component("credential_provider", CredentialResolver([provider]))
        return taking


def now() -> datetime:
    """Tell the time by which credentials of roles are refreshed."""
    return datetime.now(UTC)


def client_config(*, attempts: int, path_style: bool = False) -> Any:
    """Give botocore's settings of a client: short timeouts, so many attempts."""
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        s3={"addressing_style": "path"} if path_style else None,
    )


def _assuming(session: Any, role_arn: str, region: str | None, endpoint: str | None) -> Any:
    """Give a provider of a role's credentials, which a session's own credentials may assume."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        DeferredRefreshableCredentials,
    )

    class Provider(CredentialProvider):  # type: ignore[misc] # botocore has no types
        METHOD = "assume-role"

        def load(self) -> Any:
            own = session.get_credentials()
            if own is None:
                return None
            fetcher = AssumeRoleCredentialFetcher(
                functools.partial(
                    session.create_client,
                    region_name=region,
                    endpoint_url=endpoint,
                    config=client_config(attempts=2),
                ),
                own,
                role_arn,
                extra_args={"RoleSessionName": _SESSION_NAME},
            )
            return DeferredRefreshableCredentials(
                refresh_using=fetcher.fetch_credentials,
                method=self.METHOD,
                time_fetcher=now,
            )

    return Provider()
