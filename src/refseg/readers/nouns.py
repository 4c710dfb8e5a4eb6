"""Nouns and the classes that they name: COCO's 80 classes, hypernyms of them, and the shapes of drawn scenes.

The lists are written by hand from what people call these things; a noun outside of them has no class, and a finder
that knows classes only says so.
"""

from refseg.datasets.drawn_scenes.objects import SHAPES

PERSON = "person"

_SYNONYMS = """
person: person man woman boy girl kid child baby guy gy mna dude lady gentleman fellow chap bloke female male
    girlie chick
    adult teen teenager toddler infant human figure someone somebody individual folk gal mom mum mother dad father
    parent grandma grandpa grandmother grandfather bride groom couple brother sister son daughter husband wife friend
    batter catcher pitcher umpire umpire ump ref referee player hitter baseman fielder runner athlete goalie goalkeeper
    skier snowboarder surfer skater skateboarder rider cyclist biker bicyclist motorcyclist jockey driver pilot coach
    swimmer golfer tennisplayer chef cook waiter waitress bartender server vendor worker fireman firefighter cop
    policeman policewoman officer police soldier guard doctor nurse teacher student cowboy clown santa spectator fan
    pedestrian passenger audience photographer cameraman musician singer dancer hipster pervert dork homie bro
    president king queen princess elf hero serviceman businessman customer shopper crowd everyone everybody snowman
    blonde brunette redhead asian youngster oldman grandson granddaughter mechanic farmer trainer handler bowler
bicycle: bicycle bike cycle pushbike
car: car sedan suv taxi cab auto automobile hatchback minivan convertible jeep mercedes bmw
motorcycle: motorcycle motorbike moped scooter vespa moto harley chopper dirtbike motorcylce
airplane: airplane plane aeroplane jet aircraft airliner biplane
bus: bus coach trolley doubledecker schoolbus
train: train tram locomotive streetcar railcar subway
truck: truck lorry pickup van semi firetruck trailer rv camper
boat: boat ship canoe kayak raft sailboat yacht ferry vessel rowboat gondola
traffic light: traffic_light stoplight trafficlight signal traffic_signal stop_light
fire hydrant: fire_hydrant hydrant fireplug
stop sign: stop_sign stopsign
parking meter: parking_meter meter
bench: bench pew
bird: bird pigeon seagull gull duck goose swan parrot crow eagle owl sparrow penguin flamingo chicken rooster hen
    peacock
    heron ostrich parakeet duckling
cat: cat kitten kitty feline tabby
dog: dog puppy pup doggy doggie pooch hound poodle labrador terrier beagle retriever collie
horse: horse pony mare stallion colt foal mule donkey steed
sheep: sheep lamb ewe ram goat
cow: cow bull ox calf cattle steer bison buffalo heifer
elephant: elephant
bear: bear grizzly cub panda
zebra: zebra
giraffe: giraffe
backpack: backpack rucksack knapsack bookbag back_pack
umbrella: umbrella parasol brolly
handbag: handbag purse bag pocketbook hand_bag tote
tie: tie necktie bowtie bow_tie neck_tie
suitcase: suitcase luggage briefcase baggage trunk suit_case
frisbee: frisbee disc
skis: skis ski
snowboard: snowboard
sports ball: sports_ball ball baseball basketball football soccerball tennis_ball soccer_ball
kite: kite parasail
baseball bat: baseball_bat bat
baseball glove: baseball_glove mitt glove baseball_mitt
skateboard: skateboard longboard skate_board
surfboard: surfboard surf_board boogieboard
tennis racket: tennis_racket racket racquet tennis_racquet
bottle: bottle flask
wine glass: wine_glass wineglass goblet glass stemware champagne wine
cup: cup mug glass tumbler teacup coffee tea beverage drink coffee_cup tea_cup beer
fork: fork
knife: knife blade
spoon: spoon ladle spatula
bowl: bowl dish soup
banana: banana plantain
apple: apple
sandwich: sandwich burger hamburger sub panini toast wrap burrito sammich taco
orange: orange tangerine clementine mandarin citrus
broccoli: broccoli brocoli floret piece_broccoli brocc
carrot: carrot
hot dog: hot_dog hotdog sausage wiener frank
pizza: pizza pie slice
donut: donut doughnut bagel pastry eclair
cake: cake cupcake dessert cheesecake muffin
chair: chair stool armchair seat recliner
couch: couch sofa loveseat settee futon
potted plant: potted_plant plant houseplant flowerpot pot shrub fern
bed: bed mattress bunk cot
dining table: dining_table table desk counter
toilet: toilet urinal commode
tv: tv television monitor screen telly
laptop: laptop computer notebook macbook
mouse: mouse
remote: remote controller remote_control clicker wiimote
keyboard: keyboard
cell phone: cell_phone phone cellphone smartphone mobile iphone telephone
microwave: microwave
oven: oven stove range
toaster: toaster
sink: sink basin washbasin
refrigerator: refrigerator fridge freezer
book: book novel magazine textbook
clock: clock watch
vase: vase urn jar
scissors: scissors scissor shears pair_scissors
teddy bear: teddy_bear teddy bear plush stuffed_animal stuff_animal teddybear stuffed_bear
hair drier: hair_drier hairdryer hair_dryer blowdryer dryer hairdrier
toothbrush: toothbrush tooth_brush
circle: circle disc disk
square: square box
ring: ring donut hoop
cross: cross plus
triangle: triangle
star: star
pentagon: pentagon
heart: heart
animal: animal critter creature beast
vehicle: vehicle
food: food meal snack
fruit: fruit
vegetable: vegetable veggie
furniture: furniture
"""

_FURTHER = {  # hypernyms -> classes
    "animal": "bird cat dog horse sheep cow elephant bear zebra giraffe",
    "vehicle": "bicycle car motorcycle airplane bus train truck boat",
    "food": "banana apple sandwich orange broccoli carrot hot_dog pizza donut cake",
    "fruit": "banana apple orange",
    "vegetable": "broccoli carrot",
    "furniture": "bench chair couch bed dining_table",
}
_IRREGULAR = """people:person ppl:person peeps:person men:man women:woman children:child kids:kid geese:goose
    mice:mouse
    knives:knife sheep:sheep feet:foot teeth:tooth buses:bus busses:bus calves:calf oxen:ox wolves:wolf benches:bench
    couches:couch sandwiches:sandwich glasses:glass boxes:box crosses:cross dishes:dish toothbrushes:toothbrush
    ladies:lady babies:baby puppies:puppy ponies:pony kitties:kitty doggies:doggy bunnies:bunny guys:guy
    folks:folk wine_glasses:wine_glass traffic_lights:traffic_light mens:man womens:woman boyz:boy
    pieces_broccoli:piece_broccoli leaves:leaf shelves:shelf matches:match pluses:plus octopuses:octopus
    hot_dogs:hot_dog pairs_scissors:pair_scissors surfboards:surfboard toothbrushes:toothbrush""".split()

ALWAYS_ONE = frozenset({"scissors", "skis", "glasses", "pants", "shorts", "jeans", "tennis", "bus", "dress", "glass"})
"""Words with an s at the end that name one object."""
MANY = frozenset(
    {"people", "everyone", "everybody", "ppl", "cattle", "crowd", "audience", "couple", "police", "luggage"}
)
ANYTHING = frozenset(
    "object objects thing things thingy shape shapes item items stuff one ones something anything whatever".split()
)


def _classes() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    entry = ""
    for line in _SYNONYMS.strip().splitlines():
        name, colon, words = line.rpartition(":")
        entry = name if colon else entry
        names = [other.replace("_", " ") for other in _FURTHER.get(entry, entry.replace(" ", "_")).split()]
        for word in words.split():
            known = found.setdefault(word, [])
            known += [other for other in names if other not in known]
    return {word: tuple(names) for word, names in found.items()}


CLASSES = _classes()
"""Singular noun, words joined by "_", -> classes."""
COMPOUNDS = frozenset(word for word in CLASSES if "_" in word)
SINGULARS = dict(pair.split(":") for pair in _IRREGULAR)
COCO_CLASSES = frozenset(name for names in CLASSES.values() for name in names) - frozenset(SHAPES) | {"donut"}
"""Names of COCO's 80 classes."""


def singular(word: str) -> str:
    """Returns the singular of a noun, the word itself if it is none.

    >>> singular("buses"), singular("wine_glasses"), singular("boats"), singular("glass")
    ('bus', 'wine_glass', 'boat', 'glass')
    """
    if word in SINGULARS:
        return SINGULARS[word]
    if word in CLASSES or word in ALWAYS_ONE or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    for ending in ("es", "s"):
        if word.removesuffix(ending) in CLASSES and word.endswith(ending):
            return word.removesuffix(ending)
    return word[:-1] if len(word) > 3 else word


def is_plural(word: str) -> bool:
    """Whether a noun names several objects.

    >>> is_plural("cars"), is_plural("people"), is_plural("bus"), is_plural("scissors")
    (True, True, False, False)
    """
    return word in MANY or (word not in ALWAYS_ONE and singular(word) != word)


def classes_of(word: str) -> tuple[str, ...]:
    """Returns the classes that a noun may name, singular or plural; () if it is in no list.

    >>> classes_of("chef"), classes_of("glasses"), classes_of("window")
    (('person',), ('wine glass', 'cup'), ())
    """
    return CLASSES.get(singular(word), CLASSES.get(word, ()))
