import pytest

from refseg.errors import InvalidInput
from refseg.files.yaml_values import parse_yaml


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "0x" + "f" * 5000,
        "[" * 5000,
        "!!int ''",
        "!!bool x",
        "!!timestamp 2001-99-99",
        "!!python/object/apply:os.system [true]",
        "&a [*a]",
        "{a",
        "\0",
    ],
)
def test_what_is_no_plain_value_is_refused_in_one_line(text):
    with pytest.raises(InvalidInput) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_a_date_is_a_text():
    assert parse_yaml("2001-01-01") == "2001-01-01"
