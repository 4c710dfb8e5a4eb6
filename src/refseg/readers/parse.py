"""Reading: an English expression to a program, by closed lists of words and their order.

Read with  words.py (closed lists), nouns.py (nouns and classes), program.py (what comes out).

Words are corrected and tagged, phrases of several words are joined, and one pass from left to right fills a program.
A relation begins another program, its anchor, which takes what follows; a comma or "but" goes back to the outermost.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from refseg.readers.nouns import ALWAYS_ONE, ANYTHING, CLASSES, COMPOUNDS, PERSON, classes_of, is_plural, singular
from refseg.readers.program import AttributeColour, Noun, Number, Order, Place, Query, Relation, Superlative
from refseg.readers.spelling import Spelling
from refseg.readers.words import (
    AMBIGUOUS_COLOURS,
    LONGEST_PHRASE,
    LOOKS,
    PARTS,
    PHRASES,
    REAL_WORDS,
    WORDS,
)

MOST_WORDS = 64  # the rest of a longer sentence is not read
DEEPEST = 6  # relations inside of relations

_DETERMINERS = frozenset({"the", "a", "an"})
_CLOCK = re.compile(r"\b(1[0-2]|0?[1-9])(?::00)?\s*(?:o\W*\s?clocks?|oclock|pm|am)\b")
_TOKEN = re.compile(r"clock:\d+|w/o|w/|[a-z]+(?:-[a-z]+)*|\d+(?:st|nd|rd|th)|\d+|[,;.&#]")
_SPELLING = Spelling([word for word in WORDS if word.isalpha()], REAL_WORDS | PARTS | LOOKS | CLASSES.keys())
_NOUN_SPELLING = Spelling(
    [w for w in CLASSES if len(w) > 4 and "_" not in w] + [w for w in PARTS if len(w) > 4], REAL_WORDS
)
_SPLITTABLE = sorted((w for w in WORDS if WORDS[w][0] in ("SIDE", "COLOUR") and len(w) > 2), key=len, reverse=True)
_COMPOUND_WORDS = frozenset(word for compound in COMPOUNDS for word in compound.split("_"))
_AXES = ("left", "right", "top", "bottom", "front", "back")
_BEFORE_NOUNS = frozenset(
    "FILL SIZE SIDE COUNT ALL STRESS LOOK PATTERN COLOUR SUPERLATIVE ORDER NEAREST FARTHEST".split()
)
_FROM = frozenset({"from", "frm", "fron", "form", "fom"})


@dataclass(frozen=True, slots=True)
class Token:
    """A word or joined phrase with its meaning.

    Attributes:
        written: as in the sentence.
        tag: of words.py, or NOUN, PART, LOOK, ANY, CLOCK, OTHER.
        value: the value of the tag.
        article: whether an article stood before it.
    """

    written: str
    tag: str
    value: str
    article: bool = False


def read(expression: str) -> Query:
    """Reads an English expression as a program; any string can be read.

    >>> print(read("the second mug from the left that is not blue"))
    mug (cup), order: number 2 from left, not: colour: blue
    """
    return _read(expression)


@lru_cache(maxsize=4096)
def _read(expression: str) -> Query:
    reader = _Reader(tokens_of(expression))
    return reader.outer()


def said_number(expression: str) -> int | None:
    """Returns how many things an expression says that it means; None if it does not say.

    >>> said_number("both red stars"), said_number("the red stars"), said_number("the cup between the two forks")
    (2, None, None)
    """
    query = read(expression)
    if query.number is None or query.noun is None or not query.noun.plural or query.union:
        return None
    return query.number.count


def tokens_of(expression: str) -> list[Token]:
    """Splits an expression into tagged words and joined phrases."""
    text = expression.lower().replace("’", "'")
    text = _CLOCK.sub(r" clock:\1 ", text)
    text = re.sub(r"n't\b", "nt", text)
    text = re.sub(r"'s?\b", "", text)
    text = re.sub(r"#(?=[a-z])", " ", text)
    words = _TOKEN.findall(text)[:MOST_WORDS]
    plain: list[tuple[str, str, bool]] = []  # written, corrected, article
    article = False
    for written in words:
        if written in _DETERMINERS:
            article = True
            continue
        for word in _known_forms(written):
            plain.append((written, word, article))
            article = False
    tokens: list[Token] = []
    i = 0
    while i < len(plain):
        token, used = _token_at(plain, i)
        if token.value == "glasses" and tokens and tokens[-1].tag in ("WITH", "AND"):
            token = Token(token.written, "PART", "glasses", token.article)
        tokens.append(token)
        i += used
    return tokens


def _known_forms(written: str) -> list[str]:
    """Returns the word corrected, or split where two known words are written as one."""
    word = written
    if word in ("plus",):
        return [word]
    if _is_known(word):
        return [word]
    if "-" in word:
        return [part for whole in word.split("-") for part in _known_forms(whole)]
    for begin in _SPLITTABLE:
        rest = word.removeprefix(begin)
        if rest != word and len(rest) > 2 and _is_known(rest):
            return [begin, rest]
        rest = word.removesuffix(begin)
        if rest != word and len(rest) > 2 and _is_known(rest):
            return [rest, begin]
    corrected = _SPELLING.correct(word) or _NOUN_SPELLING.correct(word)
    return [corrected or word]


def _is_known(word: str) -> bool:
    return (
        word in WORDS
        or word in _COMPOUND_WORDS
        or word in PARTS
        or word in LOOKS
        or word in ANYTHING
        or bool(classes_of(word))
    )


def _token_at(plain: list[tuple[str, str, bool]], i: int) -> tuple[Token, int]:
    """Returns the token that begins at word i, and its number of words; the longest phrase wins."""
    article = plain[i][2]
    for length in range(min(LONGEST_PHRASE, len(plain) - i), 1, -1):
        words = tuple(word for _, word, _ in plain[i : i + length])
        written = " ".join(word for word, _, _ in plain[i : i + length])
        without_of = "_".join(word for word in words if word != "of")
        if length <= 3 and words[0] != "of" and singular(without_of) in COMPOUNDS:
            return Token(written, "NOUN", without_of, article), length
        if words in PHRASES:
            return Token(written, *PHRASES[words], article), length
    written, word, _ = plain[i]
    if word.startswith("clock:"):
        return Token(word.removeprefix("clock:") + " o'clock", "CLOCK", word.removeprefix("clock:"), article), 1
    if word in (",", ";", "."):
        return Token(word, "BUT", ",", article), 1
    if word == "plus":
        return Token(written, "NOUN", word, article), 1
    if word in PARTS:
        return Token(written, "PART", word, article), 1
    if word in WORDS:
        return Token(written, *WORDS[word], article), 1
    if word in ANYTHING:
        return Token(written, "ANY", word, article), 1
    if classes_of(word):
        return Token(written, "NOUN", word, article), 1
    if word in LOOKS:
        return Token(written, "LOOK", word, article), 1
    return Token(written, "OTHER", word, article), 1


@dataclass(eq=False)
class _Draft:
    """A program while it is read."""

    nouns: list[Token] = field(default_factory=list)
    runs: list[list[Token]] = field(default_factory=list)  # neighbouring nouns
    parts: list[Token] = field(default_factory=list)
    unknown: list[Token] = field(default_factory=list)
    pending_colours: list[str] = field(default_factory=list)
    pending_sizes: list[str] = field(default_factory=list)
    pending_patterns: list[str] = field(default_factory=list)
    colours: list[AttributeColour] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    exclusions: list[Query] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    superlatives: list[Superlative] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    number: Number | None = None
    union: list[Query] = field(default_factory=list)
    not_understood: list[str] = field(default_factory=list)
    anything: Token | None = None
    last: str = ""  # tag of the token before

    def settle(self, part: str = "") -> None:
        """Gives attributes that wait for a noun to it: to a part, or to the object."""
        self.colours += [AttributeColour(colour, part) for colour in self.pending_colours]
        if part:
            self.others += [f"{word} {part}" for word in (*self.pending_sizes, *self.pending_patterns)]
        else:
            self.sizes += self.pending_sizes
            self.attributes += self.pending_patterns
        self.pending_colours, self.pending_sizes, self.pending_patterns = [], [], []

    def query(self) -> Query:
        """Returns the program."""
        self.settle()
        self._merge_order()
        return Query(
            noun=self._noun(),
            colours=tuple(dict.fromkeys(self.colours)),
            sizes=tuple(dict.fromkeys(self.sizes)),
            attributes=tuple(dict.fromkeys(self.attributes)),
            others=tuple(dict.fromkeys(self.others)),
            exclusions=tuple(self.exclusions),
            places=tuple(dict.fromkeys(self.places)),
            orders=tuple(self.orders),
            superlatives=tuple(dict.fromkeys(self.superlatives)),
            relations=tuple(self.relations),
            number=self.number,
            union=tuple(self.union),
            not_understood=tuple(self.not_understood),
        )

    def _merge_order(self) -> None:
        """Counts from the side that the sentence names elsewhere: "left second", "second dog on the right"."""
        for i, order in enumerate(self.orders):
            if order.side is None and len(self.places) == 1 and len(self.places[0].sides) == 1:
                side = self.places[0].sides[0]
                if side in _AXES:
                    self.orders[i] = Order(order.n, side)  # type: ignore[arg-type]
                    self.places = []
            elif order.side is None and len(self.superlatives) == 1 and not self.places:
                quality = self.superlatives[0].quality
                if quality in (*_AXES, "large", "small"):
                    self.orders[i] = Order(order.n, quality)  # type: ignore[arg-type]
                    self.superlatives = []

    def _noun(self) -> Noun | None:
        if self.runs:
            run = self.runs[0]
            head = run[-1]
            for modifier in run[:-1]:
                if modifier.value in ("baby", "adult", "male", "female") and classes_of(head.value) != (PERSON,):
                    self.others.append(modifier.written)
                    if modifier.value == "baby":
                        self.sizes.append("small")
                else:
                    self.others.append(modifier.written)
            for later in self.runs[1:]:
                self.others += [token.written for token in later]
            self.others += [token.written for token in (*self.parts, *self.unknown)]
            return Noun(head.written, classes_of(head.value), is_plural(head.value))
        if self.unknown:
            nouns = [token for token in self.unknown if not token.value.endswith(("ing", "ly"))]
            head = nouns[-1] if nouns and self.anything is None and not self.parts else None  # type: ignore[assignment]
            self.others += [token.written for token in (*self.parts, *self.unknown) if token is not head]
            if head is not None:
                return Noun(head.written, (), is_plural(head.value) and head.value not in ALWAYS_ONE)
        elif self.parts:
            self.others += [token.written for token in self.parts]
        if self.parts:
            return Noun(self.parts[-1].written, (PERSON,))
        if self.anything is not None:
            word = self.anything
            return Noun(word.written, (), word.value.endswith("s"), True)
        return None


class _Reader:
    """One pass over the tokens of a sentence."""

    def __init__(self, tokens: list[Token]):
        self.tokens = tokens
        self.i = 0
        self.drafts: list[_Draft] = []  # that are being read, outermost first
        self.in_list = False  # "cat, dog and window"

    def tag(self, ahead: int = 0) -> str:
        i = self.i + ahead
        return self.tokens[i].tag if 0 <= i < len(self.tokens) else ""

    def value(self, ahead: int = 0) -> str:
        i = self.i + ahead
        return self.tokens[i].value if 0 <= i < len(self.tokens) else ""

    def outer(self) -> Query:
        """Reads the whole sentence."""
        draft = _Draft()
        self.drafts.append(draft)
        while self.i < len(self.tokens):
            if self.tag() == "BUT":
                draft.settle()
                self.i += 1
                if self.begins_list():
                    self.in_list = True
                    self.union(draft, 0)
                continue
            self.phrase(draft, 0)
        return draft.query()

    def inner(self, depth: int, stop_at_and: bool = False) -> Query:
        """Reads an anchor, to the end of the sentence or to what belongs to the outermost phrase."""
        draft = _Draft()
        self.drafts.append(draft)
        self.phrase(draft, depth + 1, stop_at_and)
        self.drafts.pop()
        return draft.query()

    def phrase(self, draft: _Draft, depth: int, stop_at_and: bool = False) -> None:
        """Reads on until a comma, "but", or the end."""
        while self.i < len(self.tokens):
            token = self.tokens[self.i]
            if token.tag == "BUT" or (token.tag == "AND" and stop_at_and):
                return
            self.step(draft, token, depth)
            draft.last = token.tag

    def step(self, draft: _Draft, token: Token, depth: int) -> None:  # noqa: C901
        """Reads one token and what belongs to it."""
        if self.order(draft) or self.place(draft, depth):
            return
        self.i += 1
        match token.tag:
            case "FILL" | "REGION" | "CAMERA" | "PICTURE" | "STRESS" | "GROUP" | "HALF":
                pass
            case "COUNT":
                if token.value == "1" and self.tag() == "OF":
                    draft.number = Number(1)  # "one of the dogs"
                    self.i += 1
                elif token.value == "1":
                    draft.anything = draft.anything or token
                elif draft.number is None and not draft.runs:
                    draft.number = Number(int(token.value))
                else:
                    draft.not_understood.append(token.written)
            case "ALL":
                draft.number = Number(2) if token.value == "both" else draft.number or Number(None)
                if token.value in ("all", "each", "every", "any") and self.tag() == "COUNT":
                    self.i += self.value() == "1"
            case "SIZE":
                draft.pending_sizes.append(token.value)
            case "PATTERN":
                if draft.runs or self.tag() not in ("NOUN", "ANY", "PART", "COLOUR", "SIZE"):
                    draft.attributes.append(token.value)
                else:
                    draft.pending_patterns.append(token.value)
            case "COLOUR":
                self.colour(draft, token)
            case "NOUN":
                draft.settle()
                if draft.last == "NOUN" and draft.runs:
                    draft.runs[-1].append(token)
                else:
                    draft.runs.append([token])
            case "ANY":
                draft.settle()
                draft.anything = token
            case "PART":
                draft.settle(token.value)
                draft.parts.append(token)
            case "LOOK":
                if token.value in ("tall", "short") and self.tag() != "PART":
                    draft.superlatives.append(Superlative(token.value))
                draft.others.append(token.written)
            case "SUPERLATIVE":
                draft.superlatives.append(Superlative(token.value))
            case "NEAREST" | "FARTHEST":
                self.extreme(draft, token, depth)
            case "CLOCK":
                draft.places.append(Place((), clock=int(token.value)))
            case "NOT":
                self.negated(draft, depth)
            case "WITHOUT":
                self.without(draft, depth)
            case "EXCEPT":
                draft.exclusions.append(self.inner(depth))
            case "WITH":
                self.having(draft, depth)
            case "IN":
                self.inside(draft, depth)
            case "ON":
                self.relation(draft, "on", depth)
            case "RELATION":
                verb = token.written.split()[0]
                if verb.endswith("ing") and " " in token.written:
                    draft.others.append(verb)
                self.relation(draft, token.value, depth)
            case "HANDLING":
                draft.others.append(token.written)
                if self.begins_thing():
                    self.relation(draft, "with", depth, token.written)
            case "OF":
                self.content(draft)
            case "AND":
                self.union(draft, depth)
            case "PREPOSITION":
                if token.value in ("at", "to", "toward", "towards") and self.begins_thing():
                    self.relation(draft, "near", depth)
            case _:
                self.unknown(draft, token)

    # Attributes -------------------------------------------------------------------------------------------------------

    def colour(self, draft: _Draft, token: Token) -> None:
        as_thing = token.written in AMBIGUOUS_COLOURS or token.written.rstrip("s") in AMBIGUOUS_COLOURS
        before_noun = self.tag() in ("NOUN", "PART", "ANY", "OTHER", "COLOUR", "SIZE", "LOOK")
        before_noun = before_noun or (self.tag(), self.tag(1)) == ("AND", "COLOUR")
        before_noun = before_noun or (self.tag() == "PATTERN" and self.begins_thing())
        if as_thing and classes_of(token.written) and not (before_noun or draft.runs or draft.anything):
            draft.settle()
            draft.runs.append([Token(token.written, "NOUN", token.written, token.article)])
        elif token.written == "dark" and self.tag() == "COLOUR":
            pass
        else:
            draft.pending_colours.append(token.value)
            if draft.runs and not before_noun:
                draft.settle("clothes" if _is_person(draft) and draft.last in ("IN", "WITH") else "")

    def unknown(self, draft: _Draft, token: Token) -> None:
        """Keeps a word outside of the lists: a noun if nothing better comes, otherwise something to be judged."""
        if token.value.isdigit() or not token.value.isalpha():
            draft.not_understood.append(token.written)
        elif token.tag == "OTHER" and " " in token.value:
            draft.others.append(token.value)
        elif draft.runs or draft.relations or draft.last in ("OTHER", "HANDLING") and draft.places:
            draft.others.append(token.written)
        else:
            draft.settle()
            draft.unknown.append(token)

    # Places, orders, extremes -----------------------------------------------------------------------------------------

    def order(self, draft: _Draft) -> bool:
        """Reads "second", "2 from the left", "third in from the right"; whether there was one."""
        token = self.tokens[self.i]
        if token.tag == "COUNT":
            ahead = 1
            while self.tag(ahead) in ("FILL", "IN", "STRESS") and ahead < 3:
                ahead += 1
            counted = self.value(ahead) in _FROM
            if not (counted and self._side(ahead + 1) and token.value.isdigit()):
                return False
        elif token.tag != "ORDER":
            return False
        self.i += 1
        n = int(token.value)
        if self.tag() == "GROUP":  # "second row"
            draft.others.append(f"{token.written} {self.tokens[self.i].written}")
            self.i += 1
            return True
        side, used = self._counted_side()
        self.i += used
        draft.orders.append(Order(n, side))  # type: ignore[arg-type]
        return True

    def _counted_later(self) -> bool:
        """Whether a side to count from is still to come ("third in the left half from the top")."""
        return any(self.value(ahead) in _FROM and self._side(ahead + 1) for ahead in range(len(self.tokens) - self.i))

    def _side(self, ahead: int) -> str | None:
        while self.tag(ahead) in ("STRESS", "FILL"):
            ahead += 1
        return self.value(ahead) if self.tag(ahead) == "SIDE" and self.value(ahead) in _AXES else None

    def _counted_side(self) -> tuple[str | None, int]:
        """Returns the side right behind an ordinal ("second from the left", "second closest") and its words."""
        ahead = 0
        while self.tag(ahead) in ("PREPOSITION", "IN", "ON", "STRESS", "FILL") and ahead < 4:
            ahead += 1
        side = self._side(ahead) if ahead else None
        if side and self.tag(ahead + 1) != "OF" and self.value(ahead + 1) not in _FROM:
            return side, ahead + 1 + (self.tag(ahead + 1) == "REGION")
        if self.tag() in ("NEAREST", "FARTHEST") and self.tag(1) not in ("PREPOSITION",):
            return self.value(), 1
        if self.tag() == "SUPERLATIVE" and self.value() in (*_AXES, "large", "small"):
            return self.value(), 1
        return None, 0

    def place(self, draft: _Draft, depth: int) -> bool:
        """Reads a place ("on the far left", "top right corner") or "left of"; whether there was one."""
        i = self.i
        ahead = 0
        counts = self.value() in _FROM
        preposition = self.tag() in ("PREPOSITION", "IN", "ON") or self.value() == "by"
        ahead += preposition
        far = False
        while self.tag(ahead) in ("STRESS", "FARTHEST", "NEAREST") and ahead < 5:
            far = far or self.value(ahead) not in ("just", "directly", "almost", "slightly")
            if self.tag(ahead) in ("NEAREST", "FARTHEST") and self.tag(ahead + 1) in ("PREPOSITION", "ON"):
                ahead += 1
            ahead += 1
        sides: list[str] = []
        half = False
        first = ahead
        while (
            self.tag(ahead) in ("SIDE", "REGION", "HALF")
            or (self.tag(ahead) == "STRESS" and self.tag(ahead + 1) == "SIDE" and sides)
            or (self.value(ahead) == "most" and sides)
        ):
            if self.tag(ahead) == "SIDE":
                if not sides and self.tokens[i + ahead].value in ("corner", "edge") and not preposition:
                    pass
                if self.tokens[i + ahead].value not in sides:
                    sides.append(self.value(ahead))
            half = half or self.tag(ahead) == "HALF"
            far = far or self.tag(ahead) == "STRESS"
            ahead += 1
        if not sides or self.tag(first) == "HALF":
            return False
        named = [side for side in sides if side not in ("corner", "edge")]
        if self._is_own_side(first, ahead, preposition):
            return False
        if len(named) == 1 and named[0] == "right" and ahead == first + 1 and not preposition:
            if self.tag(ahead) == "RELATION" or (self.tag(ahead), self.tag(ahead + 1)) == ("IN", "SIDE"):
                self.i += ahead  # "right next to"
                return True
        adjective = not preposition and self.tag(ahead) in ("NOUN", "ANY", "COLOUR", "SIZE", "OTHER", "PART", "LOOK")
        pending = next((k for k, order in enumerate(draft.orders) if order.side is None), None)
        if self.tag(ahead) == "OF":
            return self._side_of(draft, depth, ahead, named or sides, far, half)
        self.i += ahead
        if self.tag() == "GROUP":
            self.i += 1
        counts = counts or not self._counted_later()
        if pending is not None and counts and named and named[0] in _AXES and (preposition or len(named) == 1):
            draft.orders[pending] = Order(draft.orders[pending].n, named[0])  # type: ignore[arg-type]
            if named[1:]:
                draft.places.append(Place(tuple(named[1:]), far, half))
            return True
        if draft.pending_colours and self.tag() not in ("NOUN", "PART"):
            draft.settle()
        draft.places.append(Place(tuple(named or sides), far, half, adjective))
        return True

    def _is_own_side(self, first: int, ahead: int, preposition: bool) -> bool:
        """Whether the side is not the image's: "looking right", "white top"."""
        before = self.value(-1) if self.i else ""
        if before in ("facing", "looking", "pointing", "turned", "headed", "heading", "leaning", "turning", "looks"):
            self.tokens[self.i + ahead - 1] = Token("", "FILL", "")
            return True
        if self.value(first) == "top" and self.tokens[self.i + first].written == "top" and ahead == first + 1:
            if self.tag(-1) == "COLOUR" and not preposition and self.tag(ahead) not in ("SIDE", "OF"):
                self.tokens[self.i + first] = Token("top", "PART", "top")
                return True
        if self.tokens[self.i + first].written in ("up", "down", "low") and not preposition:
            if self.tag(first + 1) not in ("SIDE", "NOUN") and self.tag(first - 1) not in ("STRESS",):
                self.tokens[self.i + first] = Token("", "FILL", "")
                return True
        if self.tokens[self.i + first].written == "behind":
            return self._is_relation_behind(ahead)
        return False

    def _is_relation_behind(self, ahead: int) -> bool:
        rest = [self.tag(k) for k in range(ahead, len(self.tokens) - self.i)]
        thing = next(
            (tag for tag in rest if tag not in ("FILL", "STRESS", "COLOUR", "SIZE", "LOOK", "COUNT", "SIDE")), ""
        )
        at = self.i + ahead - 1
        if rest and (thing in ("NOUN", "OTHER", "PART", "ANY", "ALL") or "COUNT" in rest or rest[0] == "COLOUR"):
            self.tokens[at] = Token("behind", "RELATION", "behind")
            return True
        return False

    def _side_of(self, draft: _Draft, depth: int, ahead: int, sides: list[str], far: bool, half: bool) -> bool:
        """Reads "left of": of the image or of a group, or of a thing."""
        after = ahead + 1
        while self.tag(after) in ("FILL",):
            after += 1
        about = self.tag(after)
        group = about in ("PICTURE", "CAMERA", "GROUP") or about == "" or self.value(after) in ("both", "all")
        number = about in ("COUNT", "ALL")
        side = sides[0]
        if side == "middle" and (number or is_plural(self.value(after)) or self.tag(after + 1) == "AND"):
            self.i += ahead + 1
            self.between(draft, depth)
            return True
        if group or number:
            self.i += after + 1
            draft.places.append(Place(tuple(sides), far, half))
            return True
        self.i += ahead + 1
        kind = {"left": "left", "right": "right", "front": "front", "back": "behind"}.get(side)
        if kind is None or len(sides) > 1:
            draft.places.append(Place(tuple(sides), far, half))
            if self.begins_thing() and draft.runs:
                draft.others.append(f"{side} of {self.tokens[self.i].written}")
                self.i += 1
            return True
        if not draft.runs and not draft.unknown and not draft.parts and draft.anything is None:
            draft.places.append(Place((side,), far, half))  # "left side of the bed" names the bed's part
            return True
        self.relation(draft, kind, depth)
        return True

    def extreme(self, draft: _Draft, token: Token, depth: int) -> None:
        """Reads "closest", "closest to the camera", "closest to the dog"."""
        kind = "nearest" if token.tag == "NEAREST" else "farthest"
        ahead = 0
        while self.tag(ahead) in ("PREPOSITION", "FILL") or (self.tag(ahead), self.value(ahead)) == ("SIDE", "back"):
            ahead += 1
        if self.tag(ahead) in ("CAMERA", "PICTURE"):
            self.i += ahead + 1
        elif self.tag(0) == "PREPOSITION" and self.begins_thing(1):
            self.i += 1
            self.relation(draft, kind, depth)
            return
        elif self.i < len(self.tokens) and self.tokens[self.i].article and self.begins_thing() and draft.runs:
            self.relation(draft, kind, depth)  # "nearest the sign"
            return
        draft.superlatives.append(Superlative(token.value))

    # Relations --------------------------------------------------------------------------------------------------------

    def begins_thing(self, ahead: int = 0) -> bool:
        """Whether a noun phrase begins here."""
        while self.tag(ahead) in (
            "FILL",
            "COLOUR",
            "SIZE",
            "PATTERN",
            "LOOK",
            "COUNT",
            "ALL",
            "ORDER",
            "STRESS",
            "SUPERLATIVE",
        ):
            if self.tag(ahead) in ("COLOUR",) and self.value(ahead) and self.tag(ahead + 1) in ("", "BUT"):
                return self.tokens[self.i + ahead].written in AMBIGUOUS_COLOURS
            ahead += 1
            ahead += (self.tag(ahead), self.tag(ahead + 1)) == ("AND", "COLOUR")
        if self.tag(ahead) == "SIDE":
            return self.tag(ahead + 1) in ("NOUN", "ANY", "COLOUR", "SIZE") or (
                self.tag(ahead + 1) == "SIDE" and self.tag(ahead + 2) in ("NOUN", "ANY", "COLOUR", "SIZE")
            )
        return self.tag(ahead) in ("NOUN", "ANY", "OTHER", "PART", "ALL")

    def relation(self, draft: _Draft, kind: str, depth: int, verb: str = "") -> None:
        """Reads the anchor of a relation."""
        draft.settle()
        if kind == "between":
            self.between(draft, depth)
            return
        while self.tag() in ("OF", "FILL"):
            self.i += 1
        if self.tag() in ("PICTURE", "CAMERA"):
            self.i += 1
            if kind in ("front", "near"):
                draft.places.append(Place(("front",)))
            return
        if kind in ("near", "on", "in", "touching") and not self.begins_thing() and self.place(draft, depth):
            return  # "sitting on the far right"
        if self.tag() in ("", "BUT", "AND") or depth >= DEEPEST:
            if draft.last == "OTHER" and kind in ("above", "near"):
                draft.others.append("over")  # "bending over"
            elif kind in ("behind", "front", "above", "below"):
                side = {"behind": "back", "front": "front", "above": "top", "below": "bottom"}[kind]
                draft.places.append(Place((side,)))
            return
        anchor = self.inner(depth)
        if verb and anchor.noun is not None and not anchor.noun.classes:
            draft.others.append(anchor.noun.written)
            return
        if kind == "in" and self.are_clothes(draft, anchor):
            part = anchor.noun.written if anchor.noun is not None else "clothes"
            draft.colours += [AttributeColour(colour.name, colour.part or part) for colour in anchor.colours]
            draft.others += [part, *anchor.others] if anchor.noun is not None else anchor.others
            draft.places += anchor.places
            draft.relations += anchor.relations
            return
        draft.relations.append(Relation(kind, (anchor,), verb))

    def are_clothes(self, draft: _Draft, anchor: Query) -> bool:
        """Whether "in" is said of clothes: of parts in the list, or of any coloured thing that a person is in."""
        if anchor.noun is None:
            return bool(anchor.colours)
        if anchor.noun.written in PARTS:
            return True
        return _is_person(draft) and bool(anchor.colours) and not anchor.noun.classes

    def between(self, draft: _Draft, depth: int) -> None:
        """Reads "between A and B" or "between two As"."""
        if depth >= DEEPEST:
            return
        anchors = [self.inner(depth, stop_at_and=True)]
        if self.tag() == "AND":
            self.i += 1
            anchors.append(self.inner(depth))
        draft.relations.append(Relation("between", tuple(anchors)))

    def inside(self, draft: _Draft, depth: int) -> None:
        """Reads "in": clothes and their colours, or a thing that holds the object."""
        ahead = 0
        while self.tag(ahead) in ("COLOUR", "SIZE", "PATTERN", "LOOK", "FILL", "AND", "PART"):
            if self.tag(ahead) == "PART" or (
                self.tag(ahead) == "COLOUR"
                and self.tag(ahead + 1) not in ("COLOUR", "SIZE", "NOUN", "OTHER", "LOOK", "PART", "AND", "ANY")
            ):
                self.clothes(draft)
                return
            ahead += 1
        if self.tag(ahead) == "PICTURE":
            self.i += ahead + 1
        elif self.begins_thing():
            self.relation(draft, "in", depth)

    def clothes(self, draft: _Draft) -> None:
        """Reads colours and clothes: "red", "red and white shirt", "black suit"."""
        draft.settle()
        if draft in self.drafts and not _is_person(draft):
            draft = next((other for other in reversed(self.drafts) if _is_person(other)), draft)
        while self.tag() in ("COLOUR", "SIZE", "PATTERN", "LOOK", "FILL", "AND", "PART"):
            token = self.tokens[self.i]
            if token.tag == "AND" and self.tag(1) not in ("COLOUR", "PART", "PATTERN", "SIZE"):
                break
            self.i += 1
            if token.tag == "COLOUR":
                draft.pending_colours.append(token.value)
            elif token.tag == "SIZE":
                draft.pending_sizes.append(token.value)
            elif token.tag == "PATTERN":
                draft.pending_patterns.append(token.value)
            elif token.tag == "PART":
                draft.settle(token.value)
                draft.parts.append(token)
            elif token.tag == "LOOK":
                draft.others.append(token.written)
        draft.settle("clothes")

    def having(self, draft: _Draft, depth: int) -> None:
        """Reads "with": parts and clothes, or another thing."""
        ahead = 0
        while self.tag(ahead) in ("COLOUR", "SIZE", "PATTERN", "LOOK", "FILL"):
            ahead += 1
        if self.tag(ahead) == "PART":
            self.clothes(draft)
        elif self.tag(ahead) in ("", "BUT") and ahead:
            self.clothes(draft)
        elif self.tag(ahead) == "NOUN":
            self.relation(draft, "with", depth)
        elif self.tag(ahead) in ("OTHER", "ANY"):
            draft.settle()
            draft.others.append("with " + " ".join(token.written for token in self.tokens[self.i : self.i + ahead + 1]))
            self.i += ahead + 1

    def content(self, draft: _Draft) -> None:
        """Reads "of": what a vessel holds ("cup of coffee"), or nothing ("of the picture")."""
        while self.tag() in ("FILL", "PICTURE", "CAMERA", "GROUP", "COUNT"):
            self.i += 1
        if self.tag() in ("NOUN", "OTHER") and (draft.runs or draft.unknown):
            token = self.tokens[self.i]
            self.i += 1
            if not draft.runs and token.tag == "NOUN":
                draft.runs.append([token])  # "slice of cake"
            else:
                draft.others.append(token.written)

    def union(self, draft: _Draft, depth: int) -> None:
        """Reads "and": another thing, if a noun phrase follows."""
        article = self.i < len(self.tokens) and self.tokens[self.i].article
        ahead = 0
        while self.tag(ahead) in _BEFORE_NOUNS:
            ahead += 1
        named = draft.runs or (draft.unknown and draft.last == "OTHER")
        named_by = ("NOUN", "OTHER") if article or self.in_list else ("NOUN",)  # "and the window"
        if named and self.tag(ahead) in named_by and depth < DEEPEST:
            draft.settle()
            other = self.inner(depth)
            draft.union += [Query(**{**_fields(other), "union": ()}), *other.union]

    def begins_list(self) -> bool:
        """Whether things and a last "and" follow a comma: "dog and window" of "cat, dog and window"."""
        ahead, is_last = 0, False
        while True:
            while self.tag(ahead) in _BEFORE_NOUNS:
                ahead += 1
            if self.tag(ahead) not in ("NOUN", "OTHER"):
                return False
            if is_last:
                return True
            ahead += 1
            if self.tag(ahead) not in ("BUT", "AND"):
                return False
            ahead += self.tag(ahead) == "BUT"
            if is_last := self.tag(ahead) == "AND":
                ahead += 1

    # Exclusions -------------------------------------------------------------------------------------------------------

    def negated(self, draft: _Draft, depth: int) -> None:
        """Reads "not": one attribute or place, "a star", or a whole phrase ("the one on the left")."""
        while self.tag() == "FILL":
            self.i += 1
        if self.i >= len(self.tokens):
            draft.not_understood.append("not")
            return
        if self.value().endswith("ing") and self.tag(1) in ("RELATION", "ON", "IN", "WITH"):
            self.i += 1  # "not sitting next to the cat"
        token = self.tokens[self.i]
        inner = _Draft()
        if token.article and token.tag not in ("NOUN", "PART", "OTHER", "LOOK"):
            draft.settle()
            draft.exclusions.append(self.inner(depth))
            return
        if token.tag in ("COLOUR", "SIZE", "PATTERN"):
            self.i += 1
            {"COLOUR": inner.pending_colours, "SIZE": inner.pending_sizes, "PATTERN": inner.pending_patterns}[
                token.tag
            ].append(token.value)
            if self.tag() == "PART" and draft.runs:
                inner.settle(self.value())
                self.i += 1
        elif token.tag in ("NOUN", "ANY"):
            self.i += 1
            inner.runs.append([token])
        elif token.tag in ("OTHER", "LOOK", "PART"):
            self.i += 1
            draft.others.append(f"not {token.written}")
            return
        else:
            waiting = draft.settle
            waiting()
            self.step(inner, token, depth)
            if not any((inner.places, inner.relations, inner.others, inner.orders, inner.superlatives, inner.colours)):
                draft.not_understood.append("not")
                return
            if inner.others and not (inner.places or inner.relations):
                draft.others += [f"not {word}" for word in inner.others]
                return
        draft.exclusions.append(inner.query())

    def without(self, draft: _Draft, depth: int) -> None:
        """Reads "without": a pattern, clothes and parts, or another thing."""
        while self.tag() == "FILL":
            self.i += 1
        if self.tag() == "PATTERN":
            self.negated(draft, depth)
        elif self.tag() == "NOUN":
            token = self.tokens[self.i]
            self.i += 1
            thing = Query(Noun(token.written, classes_of(token.value)))
            draft.exclusions.append(Query(relations=(Relation("with", (thing,)),)))
        elif self.i < len(self.tokens):
            draft.others.append(f"without {self.tokens[self.i].written}")
            self.i += 1


def _is_person(draft: _Draft) -> bool:
    return bool(draft.runs) and classes_of(draft.runs[0][-1].value) == (PERSON,)


def _fields(query: Query) -> dict:
    return {name: getattr(query, name) for name in query.__dataclass_fields__}
