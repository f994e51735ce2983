"""Warns of what people get wrong when others can ask the mapping API."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.settings import Settings


def api_warnings(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give every warning that is not switched off."""
    for code, sentence in _warnings(settings):
        if code not in settings.silence:
            yield code, sentence


def _warnings(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.api_token is not None and settings.api_token.exposed:
        yield "PS809", "the file of --api-token can be read by others than its owner: chmod 600"
    if settings.api_tls is not None and settings.api_tls.exposed:
        yield "PS809", "the file of --api-tls-key can be read by others than its owner: chmod 600"
    if settings.api is not None and not settings.api.is_loopback and settings.api_tls is None:
        sentence = (
            f"what is sent to {settings.api} can be read on its way, tokens too, and requests be "
            "sent again for five minutes: serve it with --api-tls-cert, put a proxy with TLS "
            "before it, or reach it by a tunnel"
        )
        yield "PS810", sentence
