"""What a network is shown of an agent's Markdown."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nanokimi_core.formatting import Markup, parts, render

ZERO = "\N{ZERO WIDTH SPACE}"

PLAIN = {
    "heading": ("# Title\n\ntext", "Title\n\ntext"),
    "underlined heading": ("Title\n=====\ntext", "Title\ntext"),
    "bold and italic": ("**a** _b_ *c* ***d***", "a b c d"),
    "struck": ("~~old~~ new", "old new"),
    "code": ("use `x = 1`", "use x = 1"),
    "code block": ("```py\nx = 1\n\ny = **2**\n```\nafter", "x = 1\n\ny = **2**\nafter"),
    "indented code": ("see:\n\n    a  b\n      c", "see:\n\na  b\n  c"),
    "unclosed code block": ("```py\nx = 1", "x = 1"),
    "link": ('see [the docs](https://a.example/x "title")', "see the docs (https://a.example/x)"),
    "link to itself": ("[https://a.example](https://a.example)", "https://a.example"),
    "link without a target": ("[text]()", "text"),
    "link by reference": ("[the docs][1]\n\n[1]: https://a.example", "the docs (https://a.example)"),
    "bold link": ("**[a](https://b.example)**", "a (https://b.example)"),
    "link over two lines": ("[one\ntwo](https://b.example)", "one\ntwo (https://b.example)"),
    "link in another script": ("[w](https://a.example/中文?q=é)", "w (https://a.example/中文?q=é)"),
    "address": ("<https://a.example> <me@a.example>", "https://a.example me@a.example"),
    "bare address": ("https://a.example/_x_/*y*/z.", "https://a.example/_x_/*y*/z."),
    "bare address in bold": (
        "**https://a.example/a_b**, (https://b.example/c)",
        "https://a.example/a_b, (https://b.example/c)",
    ),
    "image": ("![a cat](cat.png)", "a cat (cat.png)"),
    "image without words": ("![](cat.png)", "cat.png"),
    "list": ("- a\n* b\n+ c", "- a\n- b\n- c"),
    "list under its sentence": ("These:\n- a\n- b\n\nafter", "These:\n- a\n- b\n\nafter"),
    "numbers": ("3. a\n4. b", "3. a\n4. b"),
    "numbers with parentheses": ("1) a\n2) b", "1) a\n2) b"),
    "nested list": ("1. a\n   - b\n     more\n2. c", "1. a\n   - b\n     more\n2. c"),
    "loose list": ("- a\n\n  second\n\n- b", "- a\n\n  second\n\n- b"),
    "code in a list": ("- a\n  ```\n  x\n  ```", "- a\n  x"),
    "empty item": ("- a\n-\n- b", "- a\n-\n- b"),
    "tasks": ("- [ ] a\n- [x] b", "- [ ] a\n- [x] b"),
    "quote": ("> a\n> b\n\nc", "> a\n> b\n\nc"),
    "quote in a quote": ("> a\n>\n> > b", "> a\n\n> > b"),
    "list in a quote": ("> - a\n> - b", "> - a\n> - b"),
    "table": ("| a | b |\n|---|---|\n| **1** | 2 |\n| 3 |", "a | b\n1 | 2\n3"),
    "rule": ("a\n\n---\n\nb", "a\n\n———\n\nb"),
    "html": ("<b>x</b> <!-- y -->", "<b>x</b> <!-- y -->"),
    "html block": ("<div>\n*x*\n</div>", "<div>\nx\n</div>"),
    "entities": ("a &amp; b &lt; c", "a & b < c"),
    "escapes": (r"\*a\* \# b", "*a* # b"),
    "hard break": ("a  \nb\\\nc", "a\nb\nc"),
    "arithmetic": ("2*3*4 and 2**3**4, a*b*c", "2*3*4 and 2**3**4, a*b*c"),
    "names": ("snake_case_name, *.py, 5 * 3 * 2", "snake_case_name, *.py, 5 * 3 * 2"),
    "bold in a word": ("Haupt**satz**, 这是**重点**内容", "Hauptsatz, 这是重点内容"),
    "windows lines": ("a\r\n\r\n*b*\rc", "a\n\nb\nc"),
    "nul": ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
    "nothing but markup": ("```\n```", "```\n```"),
    "nothing but a target": ("[a]: https://a.example", "[a]: https://a.example"),
    "a target that nothing points at": (
        "A word.\n\n[note]: see-below\n\nAnother.",
        "A word.\n\n[note]: see-below\n\nAnother.",
    ),
    "dollars": ("it costs $5 - or 3%", "it costs $5 - or 3%"),
}

WHATSAPP = {
    "heading": ("## Title\ntext", "*Title*\ntext"),
    "bold heading": ("# A **b** c", "*A b c*"),
    "bold": ("**a b**, __c__", "*a b*, *c*"),
    "italic": ("*a* _b_", "_a_ _b_"),
    "both": ("***a*** **b _c_**", "_*a*_ *b _c_*"),
    "struck": ("~~a~~", "~a~"),
    "code": ("`a*b`", "`a*b`"),
    "code with a backtick": ("`` a`b ``", "```a`b```"),
    "code block": ("```py\nx = 1\n```\nafter", "```\nx = 1\n```\nafter"),
    "code block that ends itself": ("````\n```\n````", f"```\n`{ZERO}``\n```"),
    "unclosed code block": ("~~~\nx", "```\nx\n```"),
    "code in a list": ("1. a\n   ```\n   x\n   ```\n2. b", "1. a\n```\nx\n```\n2. b"),
    "only code in an item": ("- ```\n  x\n  ```", "-\n```\nx\n```"),
    "bold over two lines": ("**a\nb** c", "*a*\n*b* c"),
    "bold over two lines in italic": ("*x **a\nb** c*", "_x *a*_\n_*b* c_"),
    "bold in bold": ("**a __b__ c**", "*a b c*"),
    "bold in a word": ("Haupt**satz** x", "Hauptsatz x"),
    "link": ("[a_b](https://c.example/_d_)", "a_b (https://c.example/_d_)"),
    "link to itself": ("<https://c.example/_d_>", "https://c.example/_d_"),
    "bold link": ("**[a](https://c.example)**", "*a (https://c.example)*"),
    "list": ("* a\n* **b**", "- a\n- *b*"),
    "numbers": ("1. a\n1. b", "1. a\n2. b"),
    "numbers with parentheses": ("1) a\n2) b", "1. a\n2. b"),
    "quote": ("> a **b\n> c** d", "> a *b*\n> *c* d"),
    "table": ("|a|bb|\n|-|-|\n|中文|**x**|", "```\na    | bb\n-----+---\n中文 | x\n```"),
    "arithmetic": ("2*3*4, 5 * 3 * 2", "2*3*4, 5 * 3 * 2"),
    "names": ("snake_case_name __", "snake_case_name __"),
    "asterisks of the text": (r"\*a b\*", f"*{ZERO}a b{ZERO}*"),
    "an asterisk in bold": (r"**(\*a)**", f"*(*{ZERO}a)*"),
    "backticks of the text": (r"\`a\` b", f"`{ZERO}a{ZERO}` b"),
    "a mark alone": (r"\*a, b_", "*a, b_"),
    "html": ("<b>x</b>", "<b>x</b>"),
}


@pytest.mark.parametrize(("written", "shown"), PLAIN.values(), ids=PLAIN)
def test_plain_text_keeps_no_markup(written: str, shown: str) -> None:
    assert parts(written, markup="plain", limit=4000) == [shown]


@pytest.mark.parametrize(("written", "shown"), WHATSAPP.values(), ids=WHATSAPP)
def test_whatsapp_gets_its_own_marks(written: str, shown: str) -> None:
    assert parts(written, markup="whatsapp", limit=4000) == [shown]


@pytest.mark.parametrize("written", [written for written, _ in [*PLAIN.values(), *WHATSAPP.values()]])
def test_markdown_goes_as_the_agent_wrote_it(written: str) -> None:
    shown = render(written, "markdown")
    as_sent = written.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert shown.removesuffix("\n```").removesuffix("\n~~~") == as_sent.strip().removesuffix("\n```")


@pytest.mark.parametrize("markup", ["plain", "markdown", "whatsapp"])
@pytest.mark.parametrize("blank", ["", " ", "\n\n", "\t \r\n", "\u3000"])
def test_blank_text_makes_no_message(blank: str, markup: Markup) -> None:
    assert parts(blank, markup=markup, limit=100) == []


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_without_room_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="positive limit"):
        parts("a", markup="plain", limit=limit)


def test_a_wide_table_does_not_grow_out_of_bounds() -> None:
    table = "|" + "a|" * 200 + "\n|" + "-|" * 200 + "\n" + "|x|\n" * 300 + "|" + "y" * 500 + "|\n"
    assert len(render(table, "whatsapp")) < 8 * len(table)


@pytest.mark.parametrize("markup", ["plain", "markdown", "whatsapp"])
def test_text_without_markup_loads_no_parser(markup: str) -> None:
    code = (
        "import sys; from nanokimi_core.formatting import parts\n"
        f"assert parts('Hello, all well - see you at 5 | 6.\\n\\nBye', markup={markup!r}, limit=100)\n"
        "print(sum(name.startswith('markdown_it') for name in sys.modules))\n"
        "parts('**a**', markup='plain', limit=100)\n"
        "print(sum(name.startswith('markdown_it') for name in sys.modules) > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "True"]
