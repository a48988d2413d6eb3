"""Build sdist and wheel into `dist/`, the same bytes each time, and have twine check them.

SOURCE_DATE_EPOCH is the time that the files bear, by default the date of the version in the CHANGELOG. On GitHub the
relative links of the README become addresses of the tag, so that they work on PyPI; elsewhere REPOSITORY_URL does that.

DIST names another folder.

python .ci/dist.py
"""

from __future__ import annotations

import calendar
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("degen", "probes", "cli", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
MOST_BYTES = 8_000_000  # of the wheel


def version() -> str:
    """Return the version of the package."""
    text = (ROOT / "degen" / "version.py").read_text(encoding="utf-8")
    return re.findall(r'__version__ = "(.+)"', text)[0]


def source_date() -> str:
    """Return SOURCE_DATE_EPOCH, or the date of the version in the CHANGELOG in seconds."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    date = re.findall(rf"^## {re.escape(version())} \((\d{{4}}-\d\d-\d\d)\)", changelog, re.MULTILINE)
    if not date and "SOURCE_DATE_EPOCH" not in os.environ:
        sys.exit(f"dist: CHANGELOG.md has no section ## {version()} (DATE); write it, or set SOURCE_DATE_EPOCH")
    return os.environ.get("SOURCE_DATE_EPOCH") or str(calendar.timegm(time.strptime(date[0], "%Y-%m-%d")))


def repository() -> str | None:
    """Return the address of the repository; None where nobody says it."""
    github = os.environ.get("GITHUB_REPOSITORY")
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return os.environ.get("REPOSITORY_URL") or (f"{server}/{github}" if github else None)


def absolute_links(text: str, url: str, tag: str) -> str:
    """Return Markdown whose links to files of the repository are addresses of a tag of it."""
    return re.sub(r"\]\((?!\w+:|#)", f"]({url}/blob/{tag}/", text)


def copy_sources(to: Path) -> None:
    """Copy what belongs into an sdist, and nothing else that lies about."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, to / name)
    (to / "MANIFEST.in").write_text("include CHANGELOG.md CITATION.cff\n")
    if (url := repository()) is not None:
        readme = to / "README.md"
        readme.write_text(absolute_links(readme.read_text(encoding="utf-8"), url, f"v{version()}"), encoding="utf-8")
    for path in to.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # whatever a clone has


def settle(sdist: Path, seconds: int) -> None:
    """Write an sdist anew, with its members in order, of one time and of nobody."""
    plain = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            content = old.extractfile(member) if member.isfile() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname = seconds, 0, 0, "", ""
            member.mode, member.pax_headers = 0o755 if member.isdir() else 0o644, {}
            new.addfile(member, content)
    with sdist.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=seconds) as packed:
        packed.write(plain.getvalue())


def main() -> None:
    """Build and check."""
    os.umask(0o022)  # of files that the build writes, too
    environment = os.environ | {"SOURCE_DATE_EPOCH": source_date()}
    dist = Path(os.environ.get("DIST", ROOT / "dist"))
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        copy_sources(Path(folder))
        build = [sys.executable, "-m", "build", "--outdir", str(dist), folder]
        done = subprocess.run(build, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"dist: {done.stdout}{done.stderr}")
    (sdist,), (wheel,) = list(dist.glob("*.tar.gz")), list(dist.glob("*.whl"))
    settle(sdist, int(environment["SOURCE_DATE_EPOCH"]))
    if wheel.stat().st_size > MOST_BYTES:
        sys.exit(f"dist: {wheel.name} has {wheel.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)], check=True)
    for file in (sdist, wheel):
        print(f"{file.name}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
