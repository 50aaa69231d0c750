"""The site: what is read off the program is all there, and it builds without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import cli
from scripts.site.commands import reference
from scripts.site.messages import UNKNOWN, error_classes, messages, sources
from scripts.site.pages import AREAS, GENERATED, area_of, generated
from tests.command import denet
from tests.paths import DOCS, ROOT

MESSAGES = messages(ROOT)
MADE = re.compile(r"raise (\w+Error)\(\s*f?\"([^\"{]{12,})")
"""Where an error is raised with a text that begins with words."""


def pattern(text: str) -> re.Pattern[str]:
    """What a message with names in the place of values looks like when it is printed."""
    parts = re.split(rf"{re.escape(UNKNOWN)}|\b[A-Z][A-Z_0-9]+\b", " ".join(text.split()))
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def test_no_text_of_an_error_is_left_out() -> None:
    """Told from the source by another way than the page is made."""
    page = generated("messages")
    lost = []
    for path in sources(ROOT):
        for _, words in MADE.findall(path.read_text()):
            beginning = " ".join(words.split())
            if beginning not in page:
                lost.append((path.name, beginning))
    assert not lost
    assert len(MESSAGES) > 400


def test_every_kind_of_error_is_known() -> None:
    import ast

    from denet.errors import DenetError

    known = error_classes([ast.parse(path.read_text()) for path in sources(ROOT)])
    loaded = {DenetError}
    while more := {kind for each in loaded for kind in each.__subclasses__()} - loaded:
        loaded |= more
    ours = {kind.__name__ for kind in loaded if not kind.__module__.startswith("tests")}
    assert ours <= known


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "nowhere"),
        ("embed", "nowhere", "images"),
        ("init", "model.safetensors", "--preset", "tiny"),
        ("init", "model.safetensors", "--modalities", "rgb,rgb"),
        ("init", "model.safetensors", "--backbone", "resnet11"),
        ("train", "nowhere", "--out", "run", "--config", "nowhere.toml"),
        ("train", "nowhere", "--out", "run", "--preset", "small"),
        ("eval", "nowhere.safetensors", "nowhere"),
        ("synth", "new", "--identities", "1"),
        ("inspect", "nowhere"),
        ("gallery", "list", "nowhere.db"),
        ("gallery", "list", "redis://nowhere"),
        ("node", "check", "nowhere.toml"),
        ("bench", "compare", "a.json", "b.json"),
        ("probe", "http://nowhere"),
        ("calibrate", "nowhere", "nowhere"),
    ],
    ids=" ".join,
)
def test_what_is_printed_is_found_on_the_page(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = denet(*arguments)
    assert result.exit_code == 2
    line = " ".join(result.stderr.split()).removeprefix("error: ")
    assert any(pattern(message.text).search(line) for message in MESSAGES), line


def test_every_module_has_an_area_and_its_page_is_there() -> None:
    for message in MESSAGES:
        assert area_of(message.module) in AREAS
    for _, page in AREAS.values():
        assert page is None or (DOCS / page).exists()


def test_every_command_and_option_is_in_the_reference() -> None:
    page = reference(cli.app)
    command = typer.main.get_command(cli.app)
    context = command.make_context("denet", [], resilient_parsing=True)
    for name in command.list_commands(context):  # type: ignore[attr-defined]
        assert re.search(rf"^## denet {name}$", page, re.MULTILINE)
        section = re.split(rf"^## denet {name}$", page, flags=re.MULTILINE)[1]
        told = re.split("^## ", section, flags=re.MULTILINE)[0]
        for parameter in command.get_command(context, name).params:  # type: ignore[attr-defined]
            if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False):
                assert parameter.opts[0] in told


def test_what_pages_want_generated_can_be() -> None:
    wanted = {what for page in DOCS.rglob("*.md") for what in GENERATED.findall(page.read_text())}
    assert wanted == {"commands", "messages"}
    with pytest.raises(ValueError, match="other"):
        generated("other")


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("furo"), reason="`make site` installs what builds")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    asked = ["-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *asked], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "searchindex.js").stat().st_size > 100_000
