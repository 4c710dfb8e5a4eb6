"""What a finder of anything has to look for, so that a program can be evaluated."""

from collections.abc import Iterator

from refseg.readers.nouns import CLASSES, PERSON, singular
from refseg.readers.program import Noun, Query

PEOPLE = frozenset({"everyone", "everybody", "someone", "somebody", "anyone", "anybody", "ppl", "peeps"})
ANYTHING = "object"  # what is looked for where a program names no kind of thing


def name_to_search(noun: Noun) -> str:
    """Returns the name of a thing in the singular, spelled as in the lists of nouns if it is there.

    >>> from refseg.readers.parse import read
    >>> [name_to_search(read(text).noun) for text in ("the mugs", "a giraff", "the left window", "two wine glasses")]
    ['mug', 'giraffe', 'window', 'wine glass']
    """
    if noun.written in PEOPLE:
        return PERSON
    word = singular(noun.written.replace(" ", "_"))
    spelled = word if word in CLASSES or not noun.classes else noun.classes[0]
    return spelled.replace("_", " ")


def names_to_search(query: Query) -> tuple[str, ...]:
    """Returns the names of all things that a program is about.

    >>> from refseg.readers.parse import read
    >>> names_to_search(read("the mug left of the lamp that is not blue")), names_to_search(read("far left"))
    (('mug', 'lamp'), ('object',))
    """
    return tuple(dict.fromkeys(_names(query)))


def _names(query: Query) -> Iterator[str]:
    for part in (query, *query.union):
        yield ANYTHING if part.noun is None or part.noun.anything else name_to_search(part.noun)
        for relation in part.relations:
            for anchor in relation.anchors:
                yield from _names(anchor)
        for exclusion in part.exclusions:  # one without a noun is about the same things
            if exclusion.noun is not None and not exclusion.noun.anything:
                yield from _names(exclusion)
