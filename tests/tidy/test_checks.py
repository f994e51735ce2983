"""Breaks each rule on purpose in a small tree, and requires its check, and only that, to see it."""

import json
from pathlib import Path

import pytest

from tests.tidy import rust
from tests.tidy.checks import CHECKS
from tests.tidy.tree import Tree

LONG_FUNCTION = "//! Counts.\n\nfn count() {\n" + "    step();\n" * 80 + "}\n"
MACHINE_PATH = "/".join(["", "root", "penstock"])

# The check, the files that break its rule, and the place where it must be seen.
PLANTED = [
    (
        "crate edges",
        {"rust/penstock-engine/Cargo.toml": '\n[dependencies]\ntokio = "1"\n'},
        "rust/penstock-engine/Cargo.toml:1",
    ),
    (
        "crate edges",
        {
            "rust/penstock-engine/Cargo.toml": "\n[dependencies.penstock-runtime]\n"
            "path = '../penstock-runtime'\n"
        },
        "rust/penstock-engine/Cargo.toml:1",
    ),
    (
        "crate edges",
        {"rust/penstock-runtime/Cargo.toml": '\n[dependencies]\npyo3 = "0.30"\n'},
        "rust/penstock-runtime/Cargo.toml:1",
    ),
    (
        "crate lints",
        {"rust/penstock-runtime/Cargo.toml": "\n[lints.rust]\nunsafe_code = 'warn'\n"},
        "rust/penstock-runtime/Cargo.toml:1",
    ),
    (
        "composition root",
        {"rust/penstock-python/src/lib.rs": "//! Does it.\nuse penstock_aws::Kinesis;\n"},
        "rust/penstock-python/src/lib.rs:2",
    ),
    (
        "ports run the suite",
        {"rust/penstock-aws/src/sqs.rs": "//! Reads.\nimpl QueueSource for Sqs {}\n"},
        "rust/penstock-aws/src/sqs.rs:2",
    ),
    (
        "module edges",
        {"python/penstock/app.py": '"""Runs."""\n\nfrom penstock import _penstock\n'},
        "python/penstock/app.py:3",
    ),
    (
        "module edges",
        {
            "python/penstock/workers/threads.py": '"""Runs."""\n\nimport penstock.mappings.model\n',
            "python/penstock/mappings/model.py": '"""Describes."""\n',
        },
        "python/penstock/workers/threads.py:3",
    ),
    (
        "module edges",
        {"python/penstock/app.py": '"""Runs."""\n\nfrom penstock.cli import main\n'},
        "python/penstock/app.py:3",
    ),
    (
        "module edges",
        {"python/penstock/context.py": '"""Is the context."""\n\nimport rich\n'},
        "python/penstock/context.py:3",
    ),
    (
        "tests are apart",
        {"python/penstock/app.py": '"""Runs."""\n\nfrom tests.services import kinesis\n'},
        "python/penstock/app.py:3",
    ),
    (
        "declared dependencies",
        {
            "pyproject.toml": "[project]\ndependencies = ['click>=8']\n",
            "python/penstock/app.py": '"""Runs."""\n\nimport click\nimport rich\n',
        },
        "python/penstock/app.py:4",
    ),
    (
        "declared dependencies",
        {"pyproject.toml": "[project]\ndependencies = ['click>=8']\n"},
        "pyproject.toml:1",
    ),
    ("headers", {"rust/penstock-engine/src/lane.rs": "use std::fmt;\n"}, "lane.rs:1"),
    ("headers", {"python/penstock/app.py": "import os\n"}, "python/penstock/app.py:1"),
    ("headers", {"scripts/run": "#!/bin/sh\nset -u\n"}, "scripts/run:2"),
    ("file lengths", {"rust/a/src/b.rs": "//! Is long.\n" * 501}, "rust/a/src/b.rs:1"),
    ("function lengths", {"rust/a/src/b.rs": LONG_FUNCTION}, "rust/a/src/b.rs:3"),
    (
        "function lengths",
        {"python/penstock/app.py": '"""Runs."""\n\n\ndef run():\n' + "    step()\n" * 70},
        "python/penstock/app.py:4",
    ),
    ("line widths", {"rust/a/src/b.rs": "//! Is wide" + "." * 90 + "\n"}, "rust/a/src/b.rs:1"),
    ("nothing left open", {"rust/a/src/b.rs": "//! Does.\n// TODO: more\n"}, "rust/a/src/b.rs:2"),
    ("nothing left open", {"rust/a/src/b.rs": "//! Does.\nfn f() { todo!() }\n"}, "b.rs:2"),
    ("machine paths", {"README.md": f"See {MACHINE_PATH}.\n"}, "README.md:1"),
    ("no printing", {"rust/a/src/b.rs": '//! Does.\nfn f() { println!("x") }\n'}, "b.rs:2"),
    ("no printing", {"python/penstock/app.py": '"""Runs."""\n\nprint("x")\n'}, "app.py:3"),
    ("names", {"rust/a/src/b.rs": "//! Does.\npub struct ShardManager;\n"}, "b.rs:2"),
    ("names", {"python/penstock/app.py": '"""Runs."""\n\n\ndef do_run():\n    ...\n'}, "app.py:4"),
    ("names", {"python/penstock/utils.py": '"""Does."""\n'}, "python/penstock/utils.py:1"),
    ("rust files are reached", {"rust/penstock-engine/src/lane.rs": "//! Is.\n"}, "lane.rs:1"),
    ("python files are reached", {"python/penstock/lost.py": '"""Is lost."""\n'}, "lost.py:1"),
    ("test files are reached", {"tests/python/lost.py": '"""Is lost."""\n'}, "lost.py:1"),
    ("no unwrap", {"rust/a/src/b.rs": "//! Does.\nfn f() { x().unwrap(); }\n"}, "b.rs:2"),
    (
        "expect budgets",
        {"rust/a/src/b.rs": '//! Does.\nfn f() { x().expect("it is there"); }\n'},
        "tests/tidy/budgets.json:1",
    ),
    (
        "expect budgets",
        {"tests/tidy/budgets.json": json.dumps({"a": 1}), "rust/a/src/b.rs": "//! Does.\n"},
        "tests/tidy/budgets.json:1",
    ),
    ("links", {"README.md": "[there](docs/there.md)\n"}, "README.md:1"),
    ("verbs", {"README.md": "Run `make tea`.\n"}, "README.md:1"),
]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A small tree that keeps every rule."""
    members = ["penstock-engine", "penstock-runtime", "penstock-python"]
    settings = f"resolver = '3'\nmembers = {_below_rust(members)}\n[workspace.lints.rust]\n"
    write(tmp_path, "Cargo.toml", f"[workspace]\n{settings}")
    for crate in members:
        manifest = f"[package]\nname = '{crate}'\nversion = '0.1.0'\nedition = '2024'\n"
        write(tmp_path, f"rust/{crate}/Cargo.toml", manifest + "[lints]\nworkspace = true\n")
        write(tmp_path, f"rust/{crate}/src/lib.rs", "//! Does what its name says.\n")
    write(tmp_path, "python/penstock/__init__.py", '"""Runs handlers."""\n')
    write(tmp_path, "tests/tidy/budgets.json", "{}")
    return tmp_path


@pytest.mark.parametrize("name", CHECKS)
def test_a_clean_tree_passes(name: str, clean: Path) -> None:
    assert not list(CHECKS[name](Tree(root=clean)))


@pytest.mark.parametrize(("name", "files", "place"), PLANTED)
def test_a_broken_rule_is_seen(name: str, files: dict[str, str], place: str, clean: Path) -> None:
    for path, text in files.items():
        if name == "crate lints":
            (clean / path).write_text((clean / path).read_text().split("[lints]")[0])
        write(clean, path, text, append=path.endswith("Cargo.toml"))
    seen = [str(violation) for violation in CHECKS[name](Tree(root=clean))]
    assert any(place in line for line in seen), seen


def test_every_check_has_a_planted_violation() -> None:
    assert {name for name, _, _ in PLANTED} == set(CHECKS)


def test_code_in_comments_and_strings_is_not_code() -> None:
    text = (
        'let a = "{ .unwrap() }"; // .unwrap()\n'
        'let b = r#"""{"#;\n'
        "let c = '{'; /* { */ f::<'a>();\n"
    )
    code = rust.masked(text)
    assert len(code) == len(text)
    assert "unwrap" not in code
    assert "{" not in code
    assert "f::<'a>();" in code


def test_code_of_tests_is_not_counted(clean: Path) -> None:
    text = "//! Does.\n#[cfg(test)]\nmod tests {\n    fn f() { x().unwrap(); }\n}\n"
    write(clean, "rust/a/src/b.rs", text)
    assert not list(CHECKS["no unwrap"](Tree(root=clean)))


def write(root: Path, path: str, text: str, *, append: bool = False) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("a" if append else "w", encoding="utf-8") as file:
        file.write(text)


def _below_rust(crates: list[str]) -> str:
    return json.dumps([f"rust/{crate}" for crate in crates])
