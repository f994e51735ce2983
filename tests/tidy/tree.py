"""The source files of a checkout, and what a check reports about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SKIPPED_FOLDERS = frozenset(
    {".git", ".venv", "__pycache__", "dist", "node_modules", "target"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".penstock"}
)
TEXT_SUFFIXES = frozenset(
    {".md", ".py", ".pyi", ".rs", ".toml", ".json", ".txt", ".yml", ".sh", ""}
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Violation:
    """One broken rule, at one place."""

    path: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file: where it stands and what it says."""

    path: Path
    name: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return self.text.splitlines()

    def violation(self, rule: str, line: int = 1) -> Violation:
        """Says that this file breaks a rule."""
        return Violation(path=self.name, line=line, rule=rule)

    def is_below(self, *folders: str) -> bool:
        """Tells whether the file stands in one of the folders, named from the root."""
        return any(self.name.startswith(f"{folder}/") for folder in folders)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The text files below a root."""

    root: Path

    @cached_property
    def sources(self) -> list[Source]:
        """Every text file that people write, in the order of their names."""
        return sorted(self._read(self.root), key=lambda source: source.name)

    @cached_property
    def rust(self) -> list[Source]:
        """The Rust files."""
        return [source for source in self.sources if source.path.suffix == ".rs"]

    @cached_property
    def python(self) -> list[Source]:
        """The Python files, stubs included."""
        return [source for source in self.sources if source.path.suffix in {".py", ".pyi"}]

    @cached_property
    def scripts(self) -> list[Source]:
        """The files that begin with `#!`."""
        return [source for source in self.sources if source.text.startswith("#!")]

    def _read(self, folder: Path) -> Iterator[Source]:
        for path in folder.iterdir():
            if path.is_symlink():
                continue
            if path.is_dir():
                if path.name not in SKIPPED_FOLDERS:
                    yield from self._read(path)
            elif path.suffix in TEXT_SUFFIXES:
                name = path.relative_to(self.root).as_posix()
                yield Source(path=path, name=name, text=path.read_text(encoding="utf-8"))
