"""Plain values from untrusted YAML."""

from pathlib import Path
from typing import Any

import yaml

from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.files.plain_data import check_expanded

_LARGEST_MAP, _LARGEST_BITS = 10_000, 128
_MAX_FILE_SIZE = 2**20  # bytes


class _Loader(yaml.SafeLoader):
    """Loads plain values; dates are texts, and merges of maps ("<<") are bounded."""

    yaml_implicit_resolvers = {
        start: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges maps up to a size."""
        super().flatten_mapping(node)
        if len(node.value) > _LARGEST_MAP:
            raise yaml.YAMLError(f"a map has more than {_LARGEST_MAP:,} entries")

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Returns an integer of bounded size."""
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > _LARGEST_BITS:
            raise yaml.YAMLError(f"a number has more than {_LARGEST_BITS} bits")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str) -> Any:
    """Parses YAML.

    Raises:
        InvalidInput: if it is no YAML, holds too large a number, or is too deep or too large.

    >>> parse_yaml("[1, a: 2]"), parse_yaml("2001-99-99")
    ([1, {'a': 2}], '2001-99-99')
    """
    try:
        value = yaml.load(text, _Loader)  # a SafeLoader: plain values only
        check_expanded(value, max_items=1_000_000)
    except Exception as error:  # "!!int ''" is an IndexError, "!!bool x" a KeyError, and so on
        raise InvalidInput(first_line(error)) from error
    return value


def read_yaml(path: Path, kind: str, example: str) -> Any:
    """Reads the YAML of a file.

    Args:
        path: of the file.
        kind: what it should be, "recipe".
        example: says where one is seen, for messages.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or no YAML in it.
    """
    try:
        if path.stat().st_size > _MAX_FILE_SIZE:
            raise InvalidInput(f"{path} has more than {_MAX_FILE_SIZE >> 20} MiB, no {kind} does")
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFile(f"there is no {kind} {path}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 ({first_line(error)}); save it as UTF-8") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
    try:
        content = parse_yaml(text)
    except InvalidInput as error:
        raise InvalidInput(f"{path} is not YAML: {error}") from error
    if content is None:
        raise InvalidInput(f"{path} is empty; {example}")
    return content
