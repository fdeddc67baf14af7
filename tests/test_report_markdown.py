import pytest
from markdown_it import MarkdownIt
from read_report import parse

from bench.report.markdown import code, fence, table, text
from bench.report.parity_table import family
from bench.wording import number


def test_numbers_keep_three_digits_and_have_no_exponent_where_people_read_them() -> None:
    values = {0.0123456: "0.0123", 1.0: "1.00", 17.06: "17.1", 999.6: "1,000", 7478.9: "7,479", None: "-", 0.0: "0.00"}
    assert {value: number(value) for value in values} == values
    assert number(3.21e-7) == "3.21e-07"


def test_quoting_keeps_plain_names_plain() -> None:
    for plain in ("keras-tensorflow", "conv_only", "2026-01-05T09:30:00Z", "3.15.1", "a > b", "E:\u00e9"):
        assert text(plain) == plain


@pytest.mark.parametrize(
    "value",
    [
        "# h",
        "> q",
        "- l",
        "+ l",
        "1. l",
        "12) l",
        "=== ",
        "a|b",
        "*b*",
        "_b_",
        "`c`",
        "<b>",
        "&amp;",
        "[a](b)",
        "~~s~~",
    ],
)
def test_quoting_shows_exactly_the_characters(value: str) -> None:
    tokens = parse(text(value))
    assert "".join(token.content for token in tokens if token.type in ("text", "text_special")) == value.strip()
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}


def test_code_blocks_cannot_be_closed_from_inside() -> None:
    content = "a\n```\n````\n# b"
    tokens = MarkdownIt().parse(fence(content))
    assert [(token.type, token.content) for token in tokens] == [("fence", content + "\n")]
    assert [token.content for token in parse(code("a `` b")) if token.type == "code_inline"] == ["a `` b"]


def test_one_very_wide_cell_does_not_widen_a_table() -> None:
    lines = table(["a", "b"], [["x", "1"], ["y" * 300, "2"]]).splitlines()
    assert max(map(len, (lines[0], lines[1], lines[2]))) < 20


def test_parity_quantities_are_grouped_by_what_they_are_not_by_tensor() -> None:
    assert family("gradient conv1.kernel") == "gradient"
    assert family("weights after 20 steps, gru.recurrent_kernel") == "weights after 20 steps"
    assert family("loss") == "loss"
    assert family("mask gru.input: share dropped by gate z") == "mask"
    assert family("conv1.kernel") == "conv1.kernel"
