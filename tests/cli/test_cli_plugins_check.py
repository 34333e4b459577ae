"""``nanokimi plugins check``, with plugins that ``plugins new`` has written; some of them are broken afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core.cli.scaffold import Plan, write
from testbed.site import Site

HEAD = "from nanokimi_core import Spec, hookimpl\n"
FINE = HEAD + "@hookimpl\ndef nanokimi_auths(): return [Spec('{name}', object)]\n"

MADE = """
from nanokimi_core import Spec, hookimpl


class Bank:
    def __init__(self, config, context):
        pass

    async def grant(self, need):
        pass

    async def rejected(self, grant, why):
        pass

    async def status(self):
        pass


@hookimpl
def nanokimi_auths():
    return [Spec("bank", Bank)]
"""
DOCS = Path(__file__).parent.parent.parent / "docs"


def put(site: Site, name: str, *, rig: str = "rig:Rig") -> Path:
    """Install a new transport as pip would; gives its package."""
    plan = Plan("transport", name)
    made = site.folder / f"made-{name}"
    write(plan, made)
    packages = site.folder / "packages"
    packages.mkdir(exist_ok=True)
    shutil.move(made / "src" / plan.package, packages / plan.package)
    site.install(name, plan.package, distribution=plan.distribution)
    (info,) = packages.glob(f"nanokimi_transport_{name}-*.dist-info")
    with (info / "entry_points.txt").open("a") as points:
        points.write(f"[nanokimi.rigs]\n{name} = {plan.package}.{rig}\n")
    return packages / plan.package


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def checked(site: Site, *arguments: str, code: int, **env: str) -> dict[str, Any]:
    done = site.run("plugins", "check", "--json", *arguments, env=env)
    assert (done.returncode, done.stderr) == (code, ""), done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"] is (code == 0)
    return report


def outcomes(report: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in report["plugins"][0]["findings"]:
        found.setdefault(finding["check"], set()).add(finding["outcome"])
    return found


@pytest.mark.parametrize("named", ["post", "nanokimi-transport-post", "Nanokimi.Transport_Post"])
def test_a_plugin_is_found_by_its_name_and_by_its_distributions(site: Site, named: str) -> None:
    put(site, "post", rig="rig:Nothing")
    (plugin,) = checked(site, named, code=1)["plugins"]
    assert (plugin["name"], plugin["distribution"], plugin["kinds"]) == (
        "post",
        "nanokimi-transport-post",
        ["transport"],
    )


def test_a_plugin_with_a_rig_is_tried_on_each_loop_a_line_for_each_check(site: Site) -> None:
    put(site, "post")
    done = site.run("plugins", "check", "post")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "post (nanokimi-transport-post 1.0)"
    assert "  passed  has its methods (asyncio)" in lines
    assert "  passed  has its methods (trio)" in lines
    assert "failed" not in lines[-1].lower()


def test_it_needs_no_pytest(site: Site) -> None:
    put(site, "post")
    packages = site.folder / "packages"
    (packages / "pytest.py").write_text("raise ImportError('there is no pytest')\n")
    assert outcomes(checked(site, "post", code=0))["has its methods"] == {"passed"}


def test_a_loop_that_is_not_installed_makes_its_checks_not_applicable(site: Site) -> None:
    package = put(site, "post")
    change(package / "rig.py", "    spec = ", '    loops = ("asyncio", "nothing_like_this")\n    spec = ')
    findings = checked(site, "post", code=0)["plugins"][0]["findings"]
    elsewhere = [finding for finding in findings if finding["loop"] == "nothing_like_this"]
    assert {finding["outcome"] for finding in elsewhere} == {"not applicable"}
    assert {finding["saw"] for finding in elsewhere} == {"nothing_like_this is not installed"}


def test_what_fails_says_what_was_wanted_and_seen_and_the_others_go_on(site: Site) -> None:
    package = put(site, "post")
    change(package / "__init__.py", "async def send(", "async def sends(")
    done = site.run("plugins", "check", "post")
    assert done.returncode == 1
    assert "  FAILED  has its methods (asyncio)\n          wanted: The object has " in done.stdout
    assert "          saw: PostTransport has no send" in done.stdout
    assert "  passed  says that it is connected (trio)" in done.stdout


def test_what_is_printed_for_programs_has_the_documented_form(site: Site) -> None:
    put(site, "post")
    page = (DOCS / "commands.md").read_text().partition("## `nanokimi plugins check`")[2]
    documented = json.loads(page.partition("```json\n")[2].partition("```")[0])
    printed = checked(site, "post", code=0)
    assert printed.keys() == documented.keys()
    assert printed["plugins"][0].keys() == documented["plugins"][0].keys()
    assert printed["plugins"][0]["findings"][0].keys() == documented["plugins"][0]["findings"][0].keys()


def test_without_a_rig_it_says_so_and_how_to_add_one(site: Site) -> None:
    site.write("bank", MADE)
    done = site.run("plugins", "check", "bank")
    assert done.returncode == 0
    assert '  passed  auth "bank" can be made' in done.stdout
    assert "nanokimi-bank brings no rig, so the conformance checks did not run" in done.stdout
    assert '[project.entry-points."nanokimi.rigs"]\n    bank = ' in done.stdout
    assert "nanokimi_core.testing.AuthRig" in done.stdout
    assert checked(site, "bank", code=0)["plugins"][0]["rig"] is False


def test_without_a_rig_an_object_that_lacks_methods_fails(site: Site) -> None:
    site.write("bare", FINE.format(name="bare"))
    found = outcomes(checked(site, "bare", code=1))
    assert found["loads"] == {"passed"}
    assert found['auth "bare" can be made'] == {"failed"}


def test_a_table_that_needs_keys_is_no_fault_and_is_told(site: Site) -> None:
    model = "from pydantic import BaseModel\nclass Table(BaseModel):\n    path: str\n"
    site.write("needy", f"{model}{HEAD}@hookimpl\ndef nanokimi_auths(): return [Spec('needy', object, config=Table)]\n")
    findings = {finding["check"]: finding for finding in checked(site, "needy", code=0)["plugins"][0]["findings"]}
    assert findings['table of the auth "needy"']["saw"].startswith("it needs path; it lets unknown keys pass")
    assert findings['auth "needy" can be made']["outcome"] == "not applicable"


@pytest.mark.parametrize(
    ("source", "saw"),
    [
        ("import nothing_like_this", "No module named 'nothing_like_this'"),
        ("import os; os._exit(7)", "it ended the process (exit code 7)"),
        ("import time; time.sleep(60)", "it took longer than 5 s"),
        (
            "import os\nfor to in range(3, 20):\n  try: os.write(to, b'nonsense\\n')\n  except OSError: pass",
            "can't be read",
        ),
        (FINE.format(name="another"), 'it provides auth "another", and no Spec is named as its entry point'),
        (HEAD + "@hookimpl\ndef nanokimi_auths(): return {}", "returned dict, not a list of Spec"),
        (
            HEAD + "@hookimpl\ndef nanokimi_auths(): return [Spec('bad', object, commands='no.such:app')]",
            "to load its commands (no.such:app)",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_fails_with_the_cause(site: Site, source: str, saw: str) -> None:
    site.write("bad", source)
    findings = checked(site, "bad", "--timeout", "5", code=1)["plugins"][0]["findings"]
    (failed, *_) = [finding for finding in findings if finding["outcome"] == "failed"]
    assert saw in failed["saw"]


@pytest.mark.parametrize(
    ("target", "saw"),
    [
        ("rig:Nothing", "AttributeError"),
        ("nothing_like_this:Rig", "ModuleNotFoundError"),
        ("rig:Path", "is no class derived from TransportRig, BackendRig or AuthRig"),
        ("rig:TransportRig", "has no spec"),
    ],
)
def test_a_rig_that_is_none_fails_with_the_cause(site: Site, target: str, saw: str) -> None:
    put(site, "post", rig=target)
    findings = checked(site, "post", code=1)["plugins"][0]["findings"]
    assert findings[-1]["check"] == "rig loads"
    assert findings[-1]["outcome"] == "failed"
    assert saw in findings[-1]["saw"]


def test_a_check_that_ends_its_process_fails_and_those_after_it_run_in_another(site: Site) -> None:
    package = put(site, "post")
    change(
        package / "rig.py",
        "    async def forbid_next",
        "    async def forbid_next(self) -> None:\n        import os\n\n        os._exit(9)\n\n    async def forbidden",
    )
    report = checked(site, "post", code=1)
    found = outcomes(report)
    assert found["says what will never be accepted"] == {"failed"}
    after = list(found).index("says what will never be accepted") + 1
    assert set().union(*list(found.values())[after:]) == {"passed", "not applicable"}
    failed = [finding for finding in report["plugins"][0]["findings"] if finding["outcome"] == "failed"]
    assert all(finding["saw"].startswith("it ended the process (exit code 9)") for finding in failed)
    assert report["plugins"][0]["unfinished"] == ""


def test_a_plugin_that_hangs_every_check_holds_up_nobody_for_ever(site: Site) -> None:
    package = put(site, "post")
    change(package / "rig.py", "    spec = ", "    patience = 0.5\n    spec = ")
    change(
        package / "rig.py",
        "    async def __aenter__(self) -> Self:\n",
        "    async def __aenter__(self) -> Self:\n        import time\n\n        time.sleep(600)\n",
    )
    (plugin,) = checked(site, "post", "--timeout", "6", code=1)["plugins"]
    hung = [finding for finding in plugin["findings"] if finding["outcome"] == "failed"]
    assert len(hung) == 3
    assert "the event loop is blocked at " in hung[0]["saw"]
    assert plugin["unfinished"] == "3 checks had no end or ended their process; those after them were not run"


def test_a_rig_that_never_gets_to_its_check_is_ended_from_outside(site: Site) -> None:
    package = put(site, "post")
    (package / "rig.py").write_text("import time\n\ntime.sleep(600)\n")
    (plugin,) = checked(site, "post", "--timeout", "6", code=1)["plugins"]
    assert [finding["saw"] for finding in plugin["findings"]] == ["", "", "it took longer than 6 s"]
    assert plugin["unfinished"]


def test_what_is_not_installed_is_one_sentence(site: Site) -> None:
    done = site.run("plugins", "check", "echoo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'nanokimi: there is no plugin and no distribution with plugins "echoo" here; did you mean "echo"?\n'
    )


def test_all_plugins_of_a_distribution_are_checked(site: Site) -> None:
    site.write("bank", MADE, distribution="nanokimi-pair")
    (info,) = (site.folder / "packages").glob("*.dist-info")
    with (info / "entry_points.txt").open("a") as points:
        points.write("gone = nothing_like_this\n")
    plugins = checked(site, "nanokimi-pair", code=1)["plugins"]
    assert [(plugin["name"], plugin["ok"]) for plugin in plugins] == [("bank", True), ("gone", False)]
