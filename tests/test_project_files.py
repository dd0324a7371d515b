"""What stands beside the code: licence, citation, changelog, and the words of the documents about each other."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from biasmask import __version__
from tests.conftest import REPOSITORY

APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # SHA-256 of the published text
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/command_line.md"]
LINK = re.compile(r"\[[^\]]*\]\((?!https?://)(?P<path>[^)#]+)(?:#[^)]*)?\)")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))["project"]


def test_the_licence_is_the_whole_apache_licence_and_named_everywhere() -> None:
    assert hashlib.sha256((REPOSITORY / "LICENSE").read_bytes()).hexdigest() == APACHE
    assert project()["license"] == yaml.safe_load(text("CITATION.cff"))["license"] == "Apache-2.0"
    assert project()["license-files"] == ["LICENSE"]


def test_the_citation_names_this_version_and_papers_that_can_be_found() -> None:
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["version"] == __version__
    assert all(paper["authors"] and ("doi" in paper or "url" in paper) for paper in cited["references"])


def test_the_citation_is_valid() -> None:
    pytest.importorskip("cffconvert", reason="cffconvert isn't installed")
    done = subprocess.run(
        [sys.executable, "-c", "from cffconvert.cli.cli import cli; cli()", "--validate", "-i", "CITATION.cff"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_changelog_keeps_its_form() -> None:
    content = text("CHANGELOG.md")
    assert content.startswith("# Changelog\n") and "\n## [Unreleased]\n" in content
    kinds = re.findall(r"^### (.+)$", content, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_a_document_lead_somewhere(name: str) -> None:
    here = (REPOSITORY / name).parent
    broken = [match["path"] for match in LINK.finditer(text(name)) if not (here / match["path"]).exists()]
    assert broken == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_make_targets_in_a_document_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    named = {word for line in re.findall(r"^make ([a-z -]+?)(?:  |$)", text(name), re.MULTILINE) for word in line.split()}
    assert named and named <= targets


@pytest.mark.slow
def test_the_maths_is_clean_under_strict_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy, of the extra `dev`, isn't installed")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make isn't installed")
def test_make_help_lists_every_target() -> None:
    command = ["make", "--no-print-directory", "help"]  # also when make runs the tests
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True)
    described = {line.split()[0] for line in done.stdout.splitlines()}
    phony = re.search(r"^\.PHONY: (.+)$", text("Makefile"), re.MULTILINE)
    assert phony is not None and set(phony[1].split()) == described
