from __future__ import annotations

import json

from testbed.site import Call, Site

LAB = 'backend = "lab"\n'


def test_the_image_is_missing_then_built_then_present(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB)
    missing = call("image", "status")
    assert missing.code == 1
    assert missing.out.splitlines()[1].split()[:3] == ["lab", "lab:1", "missing"]
    assert missing.out.splitlines()[-1] == "Build it with: nanokimi image build"
    built = call("image", "build")
    assert (built.code, built.err) == (0, "step 1\nstep 2\nstep 3\n")
    assert built.out.startswith('The image "lab:1" is built (')
    present = call("image", "status")
    assert present.code == 0
    assert "present" in present.out
    assert "Build" not in present.out


def test_fresh_reaches_the_backend(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB)
    assert "step 3 afresh" in call("image", "build", "--fresh").err


def test_the_status_for_programs(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB)
    done = call("image", "status", "--json")
    assert done.code == 1
    assert json.loads(done.out) == {
        "images": [
            {
                "backend": "lab",
                "name": "lab:1",
                "present": False,
                "detail": "a file",
                "download": "about 3 MB",
                "buildable": True,
            }
        ]
    }


def test_a_build_that_fails_says_why_and_what_to_do(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + '[plugins.lab]\nfails = "build"\n')
    done = call("image", "build")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "nanokimi: step 3 blew up; try again"


def test_an_image_of_the_owners_own_is_not_built(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + "[plugins.lab]\nown_image = true\n")
    done = call("image", "build")
    assert done.code == 1
    assert "is yours to build; take image out of [plugins.lab]" in done.err


def test_a_backend_without_an_image_says_so(call: Call) -> None:
    done = call("image", "build")
    assert done.code == 1
    assert done.err == (
        "nanokimi: the backend echo needs no image; to get Kimi's agent, choose its backend with: nanokimi init\n"
    )


def test_an_engine_that_cannot_be_asked_is_said_with_the_remedy(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + '[plugins.lab]\nfails = "engine"\n')
    for name in ("status", "build"):
        done = call("image", name)
        assert (done.code, done.err) == (1, "nanokimi: the lab is locked; unlock it\n")
