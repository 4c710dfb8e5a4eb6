"""Types of English expressions by rules: attribute, location, relation, ordinal, plural, negation.

See docs/expression_types.md for the definitions and the accuracy of the rules.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

PRECEDENCE = ("negation", "ordinal", "plural", "relation", "location", "attribute")
NAME_ONLY = "name only"
"""For statistics, expressions of none of the types: a bare noun. Rows of evaluations count them as attribute."""
LENGTHS = ("1 word", "2-3 words", "4-7 words", "8 words or more")


def types(expression: str) -> tuple[str, ...]:
    """Returns all types of an expression in the order of `PRECEDENCE`, none for a bare noun.

    >>> types("the two dogs that are not on the sofa")
    ('negation', 'plural', 'relation')
    >>> types("second tall man from the left"), types("sky")
    (('ordinal', 'location', 'attribute'), ())
    """
    text = expression.lower()
    found = set()
    if _TURNED.search(text):
        found.add("attribute")
        text = _TURNED.sub(" , ", text)
    text = _OWN_SIDE.sub("hand", _STRESS.sub("", text))
    if any(match["anchor"] not in _GROUP for match in _PLACE_OF.finditer(text)):
        found.add("relation")
    text = _PLACE_OF.sub(lambda match: " right , " if match["anchor"] in _GROUP else " , ", text)
    for pattern, word in _FUSED:
        text = pattern.sub(word, text)
    words = _TOKEN.findall(text)
    if not _NEGATIONS.isdisjoint(words) or any(word.endswith("n't") for word in words):
        found.add("negation")
    if _RANK.search(text) or any(word in _RANKS or _is_superlative(word) for word in words):
        found.add("ordinal")
    head = _head(words)
    if _names_several(words, head):
        found.add("plural")
    found.update(_of_words(words, head))
    found.update(_of_phrases(words))
    return tuple(name for name in PRECEDENCE if name in found)


def main_type(expression: str) -> str:
    """Returns the first type of an expression, "attribute" for a bare noun, as in drawn scenes.

    Rows of evaluations hold it; statistics tell bare nouns apart, as `NAME_ONLY`.

    >>> main_type("sky"), main_type("man in a red shirt on the left"), main_type("dog beside the bench")
    ('attribute', 'location', 'relation')
    """
    return next(iter(types(expression)), "attribute")


def length_class(expression: str) -> str:
    """Returns the class of an expression's length, one of `LENGTHS`.

    >>> length_class("the red car"), length_class("the car that is parked before the old house")
    ('2-3 words', '8 words or more')
    """
    words = len(expression.split())
    return LENGTHS[(words > 1) + (words > 3) + (words > 7)]


def _head(words: Sequence[str]) -> list[str]:
    """Returns the first noun and the words before it: "two dogs" for "two dogs left black ears, in a car"."""
    head: list[str] = []
    for word in words:
        named = not _BEFORE_NOUNS.issuperset(head)
        if word in _ENDS or _is_action(word) or (named and word in _BEFORE_NOUNS):
            break
        if not _PLACE.fullmatch(word):
            head.append(word)
    return head


def _names_several(words: Sequence[str], head: Sequence[str]) -> bool:
    if not head or head[0] in ("a", "an", "one"):
        return False
    behind = words[words.index(head[-1]) + 1 :]
    joined = behind[:1] == ["and"] and not _DETERMINERS.isdisjoint(behind[1:2])
    return joined or _is_plural(head[-1]) or (any(map(_is_plural, head)) and not _COUNTS.isdisjoint(head))


def _of_words(words: Sequence[str], head: Sequence[str]) -> Iterator[str]:
    for i, word in enumerate(words):
        if word == "top" and i and (words[i - 1] in _COLOURS or words[i - 1] in ("tank", "wearing")):
            yield "attribute"
        elif _PLACE.fullmatch(word):
            yield "location"
        elif word in _LOOKS or (word in _OWN and word not in head[-1:]):
            yield "attribute"
        elif _is_action(word) or word.endswith("less") or (word.endswith("ed") and len(word) > 4):
            yield "attribute"


def _of_phrases(words: Sequence[str]) -> Iterator[str]:
    """Returns types of the phrases after prepositions and transitive verbs."""
    for i, word in enumerate(words):
        acts = _is_action(word) and not _DETERMINERS.isdisjoint(words[i + 1 : i + 2])
        if word not in _PHRASE_BEGINS and not acts:
            continue
        phrase = list(takewhile(lambda other: other not in _ENDS and not _is_action(other), words[i + 1 :]))
        named = [other for other in phrase if other not in _DETERMINERS | _FILLING]
        things = [other for other in named if not _PLACE.fullmatch(other)]
        if word in _AROUND and _PICTURE.issuperset(named):
            yield "location"
        elif not things or things[-1] in _PICTURE:
            continue
        elif word in _AROUND or word in _HANDLING:
            yield "relation"
        elif word == "of":
            if i and words[i - 1] not in _MEASURES and things[-1] not in _OWN:
                yield "relation"
        elif acts and word != "wearing":
            if not _DESCRIBING.issuperset(things):
                yield "relation"
        elif things[-1] not in _COLOURS and _OWN.isdisjoint(things):
            yield "relation"


def _is_plural(word: str) -> bool:
    ending = word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")) and len(word) > 3
    return word in _PLURALS or (ending and word not in _NOT_PLURALS)


def _is_superlative(word: str) -> bool:
    return word.endswith("est") and len(word) > 5 and word not in _NOT_SUPERLATIVES and not _PLACE.fullmatch(word)


def _is_action(word: str) -> bool:
    return word.endswith("ing") and len(word) > 4 and word not in _NOT_ACTIONS and word not in _HANDLING


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEGATIONS = _set("""not no non none without w/o nothing nobody neither never except excluding cannot isnt arent
    doesnt dont didnt wasnt cant aint hasnt""")
_RANKS = _set("""first second third fourth fifth sixth seventh eighth ninth tenth last taller bigger larger
    smaller shorter darker lighter longer thinner thicker fatter brighter wider skinnier heavier""")
_RANK = re.compile(
    r"\b\d*(?:1st|2nd|3rd|\dth)\b|#\d|^number \d|\b(?:\d|one|two|three|four|five) (?:in )?from\b"
    r"|\b(?:most|least) (?!of\b)\w"
)
_NOT_SUPERLATIVES = _set("forest harvest contest interest")

_PLURALS = _set("""people ppl men women children kids geese mice feet teeth guys everyone everybody cattle folks""")
_NOT_PLURALS = _set("""pants shorts jeans glasses sunglasses scissors trousers overalls tights leggings goggles
    canvas tennis lens this always series news mans womans sideways""")
_COUNTS = _set("two three four five six 2 3 4 5 6 both all several many few couple pair group")

_PLACE = re.compile(
    "(?:left|lft|right|rt|top|bottom|bottem|botom|upper|lower|middle|mid|center|centre|central|front|rear|back|far|side"
    "|edge|corner|end|inner|outer)(?:most|est|ish|side|hand)?|forefront|foreground|background|closest|nearest|farthest"
    "|furthest|highest|lowest|higher|north|south|east|west|distance|distant|oclock"
)
_PLACE_OF = re.compile(  # "left of the car" is a relation, "left of the picture" and "left of the two" are places
    r"\b(?:(?:in|on|at|to|from|of) )?(?:the )?(?:far |very )?(?:left|right|top|bottom|side|front|back|middle|center"
    r"|centre|edge|end|corner)(?: ?hand)?(?: side)? of (?:(?:the|a|an|this|that|his|her|its) )*(?=(?P<anchor>\w+))"
)
_PICTURE = _set("picture pic photo image screen frame scene shot page view camera us me you viewer photographer")
_GROUP = _PICTURE | _set("row line group pair bunch two three four 2 3 4 all both them")
_TURNED = re.compile(  # left and right of these are no places in the image
    r"\b(?:facing|faces|looking|looks|turned|turning|pointing|leaning|headed|heading"
    r"|backs? (?:is |are )?(?:turned|facing|to|towards?))"
    r"(?: to| towards?| at)?(?: the| its| his| her| our)?"
    r" (?:left|right|up|down|away|forward|backwards?|side|sideways|camera|us|me|viewer)\b"
)
_OWN_SIDE = re.compile(r"\b(?:left|right) (?:hand|arm|leg|foot|shoulder|eye|ear)s?\b(?! (?:side|corner))")
_STRESS = re.compile(
    r"(?<!the )(?<!on )(?<!to )\bright (?=above|next|behind|beside|below|under|near|in front|by|on top)"
)
_FUSED = (
    (re.compile(r"\b(left|right|top|bottom|front|back) most\b|\bmost (?=left|right|front|back|top)"), r"\1"),
    (re.compile(r"\bnext to last\b"), "last"),
    (re.compile(r"\bin front of\b"), "before"),
    (re.compile(r"\bon top of\b"), "atop"),
    (re.compile(r"\b(?:next|close|closer|closest|nearest|nearer|adjacent|attached|connected) to\b"), "beside"),
    (re.compile(r"\balong side\b"), "alongside"),
    (re.compile(r"\boff ?-? ?white\b"), "white"),
    (re.compile(r"\b(left|right) hand (?=side|corner)"), r"\1 "),
    (re.compile(r"\b(?:out of|off) (?:the )?(?:picture|pic|photo|frame|image|screen)\b"), "edge"),
    (re.compile(r"\b\d+ ?o? ?'? ?clock\b"), "oclock"),
)
_AROUND = _set("""behind beside besides beneath below underneath under above over between among amongst near by
    against inside within around along alongside across towards toward opposite through onto into off atop
    before adjacent""")
_HANDLING = _set("""holding holds riding rides carrying pushing pulling touching hugging petting feeding facing
    using driving leading chasing biting licking throwing catching hitting kicking watching brushing washing""")
_PHRASE_BEGINS = _AROUND | _HANDLING | _set("in on at from with without w/ w/o has have having of")
_ENDS = _PHRASE_BEGINS | _set("""that thats who whos which whose is are was shes hes sits stands lies lays looks
    wears eats walks runs plays and but not . , ; ( )""")
_DETERMINERS = _set("the a an it its his her their this that these those another other some no")
_FILLING = _set("very most extreme one ones part just all")
_MEASURES = _set("""glass cup mug bowl plate bottle can jar slice slices piece pieces pair bunch group row
    couple lot stack pile box bag set kind type loaf""")
_TOKEN = re.compile(r"\bw/o?|[\w#]+(?:'\w+)?|[.,;()]")

_COLOURS = _set("""red green blue yellow orange purple pink brown black white grey gray beige tan gold golden
    silver maroon teal navy cream blk wht blu dark light bright colored coloured plaid""")
_LOOKS = _COLOURS | _set("""big large huge giant little small tiny tall short long wide narrow thick thin skinny
    fat chubby round square flat curved straight full empty whole broken old older elderly young younger new
    male female bald blond blonde bearded furry fluffy curly bushy dirty clean shiny clear blurry visible wooden
    wood metal plastic brick stone leather open wet bare naked shirtless plain solid pretty upright alone tabby""")
_CLOTHES = _set("""shirt shirts tshirt tee top sweater sweatshirt hoodie jacket coat suit tux vest dress skirt
    pants jeans shorts uniform jersey robe apron hat cap helmet beanie hood visor headband scarf tie glasses
    sunglasses shades mask glove gloves shoes boots sneakers socks belt bikini costume outfit clothes clothing
    shrt gear""")
_BODY = _set("""hair head face beard mustache eyes ear ears nose mouth arm arms hand hands leg legs foot feet
    knee knees shoulder shoulders belly chest neck tail tusks horns fur wings skin ponytail braids tattoo
    stripes spots dots pattern print design writing letters words number numbers logo label handle lid""")
_OWN = _CLOTHES | _BODY | _set("adult child baby")
_DESCRIBING = _LOOKS | _OWN
_BEFORE_NOUNS = _LOOKS | _COUNTS | _DETERMINERS | _RANKS
_NOT_ACTIONS = _set("""thing something anything everything building ceiling railing string painting morning
    evening topping icing frosting stuffing dressing pudding awning covering bedding during spring living dining
    clothing being swing siding opening landing""")
