"""Closed lists of words that mean something to the reader; the others are nouns, or are judged by a region scorer."""

from collections.abc import Iterator

Tagged = tuple[str, str]
"""Tag and value of a word."""


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields name and words of each line "name: word word"; lines without a name go on with the one before."""
    name = ""
    for line in text.strip().splitlines():
        head, colon, words = line.rpartition(":")
        name = head.strip() if colon else name
        yield name, words.split()


_SIDES = """
left: left lft lefthand leftside leftish leftward leftwards l
right: right rt rght rite righthand rightside rightish rightward rightwards r
top: top upper up
bottom: bottom lower down btm low bottem botom
middle: middle center centre central mid ctr centered midle
front: front foreground forefront frontal fore frnt
back: back background rear backround bkgd bckgrnd backgroud backgrnd behind distance distant
corner: corner
edge: edge border
"""
_SUPERLATIVES = """
left: leftmost leftest furthestleft farleft
right: rightmost rightest farright
top: topmost uppermost highest higher
bottom: bottommost lowermost lowest bottommost
front: frontmost
back: backmost rearmost
large: largest biggest bigger larger hugest main fattest fatter widest wider full whole entire complete
small: smallest tiniest smaller littlest tinier youngest younger
tall: tallest taller
short: shortest shorter
thin: thinnest thinner skinniest skinnier
light: lightest lighter brightest brighter
dark: darkest darker
middle: middlemost centermost
"""
_SIZES = """
small: small little tiny mini lil miniature petite
medium: medium medium-sized mediumsized
large: large big huge giant enormous massive lg gigantic
"""
_COLOURS = """
red: red maroon crimson scarlet burgundy reddish redish
green: green lime olive greenish grn teal
blue: blue navy blu bluish denim
yellow: yellow gold golden yello yellowish mustard
purple: purple violet lavender lilac plum purplish
orange: orange rust
pink: pink magenta fuchsia pinkish rose salmon
brown: brown bronze brwn brownish chocolate copper
beige: beige tan khaki khakis cream creme
white: white wht offwhite ivory whitish whte
black: black blk blck dark
grey: grey gray silver gry greyish grayish
cyan: cyan turquoise aqua
"""
_PATTERNS = """
striped: striped stripey stripy stripes stripe
dotted: dotted spotted dots spots polka pokodots polkadot polkadots polkadotted
plain: plain solid patternless
checked: checked checkered plaid
"""
_ORDERS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
_COUNTS = "one two three four five six seven eight nine ten".split()

_TAGS = """
STRESS: far very extreme extremely most way furthest farthest all-the-way just directly closer further farther almost
    slightly more
PREPOSITION: at to toward towards from frm fron form fom
CAMERA: us camera me viewer photographer cam you
PICTURE: picture pic photo image screen frame scene shot page view photograph pics
GROUP: row line group bunch stack pile
REGION: side hand sided sides part portion area section end
HALF: half
FILL: find segment show please select pick click a the an this these those his her their its my your who which
    whose whom
    is are was were be being been am it he she they theyre hes shes thats there theres here where has have had having
    also kind sort type only lol and/or i so as over than other another
    bit that same
NOT: not non isnt arent doesnt dont didnt wasnt aint cant cannot never
WITHOUT: without w/o no wo minus
EXCEPT: except excluding
WITH: with w/ wth wit wearing wears w sporting
AND: and & n plus+
BUT: but ,
ALL: all every each both any
OF: of
IN: in inside within into
ON: on onto atop upon
"""

_RELATIONS = """
near: next_to beside besides near by adjacent_to alongside along_side nearby next against with_next_to
    beside_of around across_from standing_by
above: above over higher_than
below: below under underneath beneath lower_than
front: in_front_of infront_of infront front_of before ahead_of
behind: behind in_back_of
covering: partly_covering covering
hidden: partly_hidden_by hidden_by behind_partly blocked_by covered_by
touching: overlapping touching leaning_on leaning_against
on: on_top_of sitting_on standing_on lying_on laying_on sitting_at
in: sitting_in standing_in inside_of
same colour: of_same_colour_as of_same_color_as with_same_color_as with_same_colour_as same_colour_as same_color_as
same pattern: of_same_pattern_as with_same_pattern_as same_pattern_as
same shape: of_same_shape_as with_same_shape_as same_shape_as
between: between in_between inbetween btwn betwen
"""
_HANDLING = """holding holds riding rides carrying carries pushing pushes pulling hugging petting feeding eating eats
    drinking using driving chasing biting licking throwing catching hitting kicking brushing reaching playing wating
    holdin walking leading cutting swinging"""

PARTS = frozenset(
    """shirt shirts tshirt t-shirt tee sweater sweatshirt hoodie hoody jacket coat suit tux tuxedo vest dress skirt
    pants
    jeans shorts uniform jersey robe apron hat cap helmet beanie hood visor headband scarf sunglasses shades mask
    gloves
    shoes shoe boots boot sneakers socks belt bikini costume outfit clothes clothing shrt gear blouse cardigan pullover
    camisole tanktop tank turtleneck overalls hoddie helmut goggles bracelet earrings necklace headphones
    hair head face beard mustache moustache goatee eyes eye ear ears nose mouth arm arms hand hands leg legs foot feet
    knee knees shoulder shoulders belly chest neck tail tusks horns fur wings skin ponytail braids tattoo butt torso
    finger fingers elbow back+ smile afro""".split()
)
"""Clothes and parts of a body: alone they stand for who has them."""
LOWER_CLOTHES = frozenset("skirt pants jeans shorts shoes shoe boots boot sneakers socks legs leg".split())
HEAD_PARTS = frozenset("hair hat cap helmet beanie head hood visor headband helmut afro".split())
LOOKS = frozenset(
    """long wide narrow thick fat chubby skinny round flat curved straight empty broken old older oldest elderly
    young new
    male bald blond bearded furry fluffy curly bushy dirty clean shiny clear blurry visible wooden wood metal plastic
    brick stone leather open wet bare naked shirtless upright alone tall short thin bright light partial cut colored
    coloured happy facing smiling standing sitting""".split()
)
TALL_WORDS = {"tall": "tall", "short": "short"}


def _words() -> dict[str, Tagged]:
    found: dict[str, Tagged] = {}
    for tag, text in (
        ("SIDE", _SIDES),
        ("SUPERLATIVE", _SUPERLATIVES),
        ("SIZE", _SIZES),
        ("COLOUR", _COLOURS),
        ("PATTERN", _PATTERNS),
    ):
        for value, words in _entries(text):
            found.update((word, (tag, value)) for word in words)
    for n, (order, count) in enumerate(zip(_ORDERS, _COUNTS, strict=True), start=1):
        found[order] = "ORDER", str(n)
        found[count] = "COUNT", str(n)
        for ending in ("st", "nd", "rd", "th"):
            found[f"{n}{ending}"] = "ORDER", str(n)
        found[str(n)] = "COUNT", str(n)
    found["last"] = "ORDER", "-1"
    for tag, words in _entries(_TAGS):
        found.update((word, (tag, word)) for word in words)
    for kind, phrases in _entries(_RELATIONS):
        found.update((phrase, ("RELATION", kind)) for phrase in phrases if "_" not in phrase)
    found.update((word, ("HANDLING", word)) for word in _HANDLING.split())
    found.update({"closest": ("NEAREST", "front"), "nearest": ("NEAREST", "front"), "close": ("NEAREST", "front")})
    found.update({"closer": ("NEAREST", "front"), "nearer": ("NEAREST", "front"), "closes": ("NEAREST", "front")})
    found.update({word: ("FARTHEST", "back") for word in "farthest furthest further farther furtherest".split()})
    return found


WORDS = _words()
"""Word -> tag and value."""

PHRASES: dict[tuple[str, ...], Tagged] = {
    tuple(phrase.split("_")): ("RELATION", kind)
    for kind, phrases in _entries(_RELATIONS)
    for phrase in phrases
    if "_" in phrase
}
PHRASES |= {
    tuple(text.split()): tag
    for text, tag in {
        "left most": ("SUPERLATIVE", "left"),
        "right most": ("SUPERLATIVE", "right"),
        "top most": ("SUPERLATIVE", "top"),
        "bottom most": ("SUPERLATIVE", "bottom"),
        "front most": ("SUPERLATIVE", "front"),
        "back most": ("SUPERLATIVE", "back"),
        "most left": ("SUPERLATIVE", "left"),
        "most right": ("SUPERLATIVE", "right"),
        "second to last": ("ORDER", "-2"),
        "next to last": ("ORDER", "-2"),
        "second last": ("ORDER", "-2"),
        "last but one": ("ORDER", "-2"),
        "pair of": ("COUNT", "2"),
        "couple of": ("COUNT", "2"),
        "trio of": ("COUNT", "3"),
        "every one of": ("ALL", "all"),
        "all of": ("ALL", "all"),
        "both of": ("ALL", "both"),
        "without pattern": ("PATTERN", "plain"),
        "with stripes": ("PATTERN", "striped"),
        "with dots": ("PATTERN", "dotted"),
        "with spots": ("PATTERN", "dotted"),
        "all way": ("STRESS", "way"),
        "polka dots": ("PATTERN", "dotted"),
        "polka dot": ("PATTERN", "dotted"),
        "polka dotted": ("PATTERN", "dotted"),
        "off white": ("COLOUR", "white"),
        "other than": ("EXCEPT", "except"),
        "but not": ("NOT", "not"),
        "apart from": ("EXCEPT", "except"),
        "show me": ("FILL", "show"),
        "one who": ("ANY", "one"),
        "hand side": ("REGION", "side"),
        "hand corner": ("SIDE", "corner"),
        "in front": ("SIDE", "front"),
        "up front": ("SIDE", "front"),
        "in back": ("SIDE", "back"),
        "way back": ("SIDE", "back"),
        "far away": ("SIDE", "back"),
        "in distance": ("SIDE", "back"),
        "back to": ("OTHER", "back to"),
        "backs to": ("OTHER", "back to"),
        "back turned": ("OTHER", "back turned"),
        "back facing": ("OTHER", "back facing"),
        "showing back": ("OTHER", "showing back"),
        "cut off": ("OTHER", "cut off"),
        "tank top": ("PART", "tank top"),
        "t shirt": ("PART", "t-shirt"),
        "at table": ("RELATION", "near"),
    }.items()
}
LONGEST_PHRASE = max(map(len, PHRASES))

AMBIGUOUS_COLOURS = frozenset({"orange", "chocolate", "rose", "salmon"})
"""Colours that are also things."""

REAL_WORDS = frozenset(
    """able about above across action ale all aloe ample and apart apple area arena baby back bad bag bake baker baking
    ball ban banana band bandana bank bar barge bark base bat batch bath battle bay beach bead bean bear beat beaten
    beating bed beef bees beg begin behind being bellow below belt bench bend beside besides best between bib bid
    big bigfoot bin bird bit bite black blank blanket blend blind block blow blue blues blur board boarder boat body
    bold bolt boo boobs book boom boot booth border both bottle bow bowl bowls bows box boy brain branch brand brass
    bray breast brew bride bright bring bronze brow brown brush bud bug building bunch burst bus bush bust but buy
    cable cake calf call caller came can cane cap cape car card care carried cart case cast cat cattle cave center
    chain chair chairs charge chat check chef chest chic chief chose circle circus clack class clear click cloak
    clock close closed closest closet closets cloth clothes cloths clue coach coat cock cold completed cook cooper
    cop copper cork corned corner cornet cost cot cots couch cough counter country county cover cow creak cream
    crops cross crow crown crust cub cup cut cute dad daring dark dart dead deal dear desert dig dime dine dive
    diving does dog done donut dose dot dots doughnut dove downs drain dream drown duck dude dug dust each eat
    eating edge eight encounter end enders enter ever every fair fall fan far farm farther farthest fast fat father
    fear feather fed fellow felt fiddle fifth fifty fig fight fine fire firs first fist fit five fix flame flight
    flock flour flow flower flue fog foggy fold folding font for forearm foremost fork form fort four fours free
    from front fronts frost frown fully fur further gain gear getting gill gird girl give glass globe glove glue
    goat gold goldy golf good goy grain grass gray greed greek green grey greys grill gross ground grow grown guest
    gun gus gut guy hail hair hairs half hall halt hand handle handles hands hard hark hat head heading hear heard
    heart hearts heating hedge height hid hide hiding hit hitting hive hog hold holding home hoodie hook horn horner
    horse hose host hot hour house how howl hug huge ill image images ink inside jar jean jelly jerry jog joy kerry
    kettle kid kinda king kit knife knight know label lack lad lady lake lame land lane large lass last layer laying
    lazy lead leaning led ledge leery leg lend lest let lid life lift light lighted lights like lime line link linus
    list litter little live log longest look lose loss lost lot love lover low lower lunch mad mage maid mail main
    make mall man maple mark mast mat meal mean melt melted mend merge middle might mine mini mix mixture moan moat
    monkey moon moose moss most moth mouse mouth move mow mower must mute near nearly neat neck nest next nice night
    nike nine no nod nook noon nor nose not now nude nurse nut obey office old olive olives orange order others our
    oven over owl pack paddle pain paints pair pale pan pants paper park part party past patch peach pear people
    pepper person persons pest phase phone phones photo photos piazza pick picture pictures pig pillow pine pink
    pint pit pith pizza placer plan plane planet plant plants plat plate plated player plaza pledge plug plum plump
    plus pole pork port post pot potted pouch pour power pray prison puddle pup purple put putting rack rain rake
    range rank rat rattle reach read reading real rear red reed remote remove renter reside rest rice rid riddle
    ride ridges riding right rights riling ring rink rite road rod rolls rope rose roses rover row rows rude rust
    rusty sable sack sad saddle sand sat scar scary scene scent scream screen seal seating section seen send sense
    setting shall shape sheep sheer sheet shirt shirts shit shone shop shore short shorts shorty shot shots show
    shown shrimp side siding sight sign sing sink sit site sitting six sixth size skid sleep sliced slide sliver
    slow slower smack small smaller smell smile snow soft sold some soon sorry sort soup sow soy spice spin spoon
    sport sports spot spots spread squad square squares stair stall stand star start stay steam steep stick stole
    stone store stove strip stripe strips struck stuck sup super supper sweep table tables take talking tall taller
    tallest tan tank tanks tanned tap tar task tats tea teach teal team tear tears teeth tend tenth test text thee
    them then there these they third thirst those three threw thunder tide tidy tight time tin tine tiny tip title
    tittle titty toe toes told ton took tooth top touch tour tow tower toy track trail train tray tree trick truck
    true trunk trust twain two tyre udder under upper us vain van vase vast very vest vine wall wand wants war wart
    watch watching water waving wear wed wedge wee weight west whats while whit white whites wide width wife wig
    willow wind wine wing wink winner winter wire wish wit witch with within without wonder word work write wrote
    year yellow your zebra
    """.split()
)
"""English words at distance one from a closed word: they are left as they are."""
