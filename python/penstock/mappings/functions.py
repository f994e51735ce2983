"""Finds registered functions by the names in requests, and lists them in pages.

Rules: a function is one that was registered when the process started, and has one version, its own;
any qualifier names it, since versions and aliases of it are mappings of their own; a region or
account that the owner did not choose has no functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.errors import Refusal
from penstock.handlers import Function
from penstock.mappings.names import FunctionRef, parse_function
from penstock.mappings.pages import make_marker, read_marker
from penstock.refusals import NOT_FOUND, invalid

# AWS's own bound on a page of ListFunctions, whatever MaxItems asks for.
PAGE: Final = 50
_LIST: Final = "functions"
Found = tuple[Function, str]


class Catalog:
    """The registered functions, as the API names them."""

    def __init__(
        self, functions: Mapping[str, Function], *, region: str | None, account: str | None
    ) -> None:
        self._functions = functions
        self._region = region
        self._account = account

    def find(self, name: str, qualifier: str | None = None) -> Found:
        """Find a function; gives it with the ARN that was meant."""
        named = parse_function(name) or FunctionRef(name=name)
        if qualifier is not None:
            if named.qualifier not in {None, qualifier}:
                raise invalid(
                    "The derived qualifier from the function name does not match the specified "
                    "qualifier."
                )
            named = FunctionRef(
                name=named.name,
                qualifier=qualifier,
                region=named.region,
                account=named.account,
                partition=named.partition,
            )
        if self._region is not None and named.region not in {None, self._region}:
            raise Refusal(
                f"Functions from '{named.region}' are not reachable in this region "
                f"('{self._region}')",
                type=NOT_FOUND,
            )
        known = self._account is None or named.account in {None, self._account}
        if not known or named.name not in self._functions:
            raise Refusal(f"Function not found: {self._arn(named)}", type=NOT_FOUND)
        return self._functions[named.name], self._arn(named)

    def page(self, identity: str, asked: Mapping[str, Any]) -> tuple[list[Found], str | None]:
        """ListFunctions: a page of functions with their ARNs, and the marker of the next.

        With FunctionVersion ALL the ARNs carry versions. No function is a replica of Lambda@Edge,
        so a MasterRegion, which asks for those of one region, finds none unless it is ALL.
        """
        every = asked.get("FunctionVersion") == "ALL"
        master = asked.get("MasterRegion")
        if master is not None and not every:
            raise invalid("MasterRegion can be specified only with FunctionVersion ALL.")
        after = ""
        if asked.get("Marker"):
            after = read_marker(identity, _LIST, asked["Marker"])
        names = sorted(self._functions) if master in {None, "ALL"} else []
        left = [name for name in names if name > after]
        limit = min(asked.get("MaxItems") or PAGE, PAGE)
        page = left[:limit]
        found = []
        for name in page:
            function = self._functions[name]
            ref = FunctionRef(name=name, qualifier=function.version if every else None)
            found.append((function, self._arn(ref)))
        return found, make_marker(identity, _LIST, page[-1]) if len(left) > limit else None

    def _arn(self, named: FunctionRef) -> str:
        return named.arn(self._region or "us-east-1", self._account or "000000000000")
