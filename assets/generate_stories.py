#!/usr/bin/env python3
"""Write the training text of Resident's embedded model.

Every story comes from the grammar in this file; no outside text is read.  Story number ``i`` of seed ``s`` depends on
``(s, i)`` alone, so the corpus is the same on every machine and with any number of processes.

The grammar
-----------
A template is plain text with three kinds of markup:

``[a|b|c]``   one of the alternatives, chosen at random (they nest, and an alternative may be empty);
``{h.his}``   a form of something in the story (``h`` the hero, ``f`` the friend, ``e`` the elder, ``o`` the object,
              ``p`` a place, or a field of the row that the schema drew from its tables);
``<happy>``   a macro, that is, a template shared by many schemas.

A blank line starts a new paragraph.  Sentences and quotations are capitalised, and "a" becomes "an", after expansion;
a ``^`` forces a capital letter where the rules cannot know (after ``?"`` and ``!"``).

Usage
-----
    python generate_stories.py --count 10                  # print ten stories
    python generate_stories.py --count 400000 --out c.txt  # one story per line, paragraphs joined by a literal \\n
    python generate_stories.py --count 20000 --check       # look for slips of grammar and report the variety
"""

from __future__ import annotations

import argparse
import collections
import functools
import hashlib
import multiprocessing
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

MIN_WORDS = 60
MAX_WORDS = 200

# ---------------------------------------------------------------------------------------------------------------------
# The template engine
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ref:
    """A reference such as ``{h.his}``: the form ``his`` of the entity ``h``."""

    name: str
    form: str


@dataclass(frozen=True)
class Macro:
    """A macro such as ``<happy>``."""

    name: str


@dataclass(frozen=True)
class Choice:
    """Alternatives, each a sequence of nodes."""

    options: tuple[tuple[Node, ...], ...]


Node = str | Ref | Macro | Choice
Forms = Mapping[str, str]

_TOKEN = re.compile(r"[\[\]|]|\{[^{}]*\}|<[a-z_]+>|[^\[\]|{}<>]+")


@functools.cache
def parse(template: str) -> tuple[Node, ...]:
    """Parse a template into nodes; raises ``ValueError`` when its brackets do not balance."""
    stack: list[list[list[Node]]] = [[[]]]
    consumed = 0
    for match in _TOKEN.finditer(template):
        if match.start() != consumed:
            raise ValueError(f"stray markup at {consumed} in: {template}")
        consumed = match.end()
        token = match.group()
        if token == "[":
            stack.append([[]])
        elif token == "|":
            if len(stack) == 1:
                raise ValueError(f"'|' outside brackets in: {template}")
            stack[-1].append([])
        elif token == "]":
            options = stack.pop()
            if not stack:
                raise ValueError(f"unbalanced ']' in: {template}")
            stack[-1][-1].append(Choice(tuple(tuple(option) for option in options)))
        elif token[0] == "{":
            name, _, form = token[1:-1].partition(".")
            stack[-1][-1].append(Ref(name, form))
        elif token[0] == "<":
            stack[-1][-1].append(Macro(token[1:-1]))
        else:
            stack[-1][-1].append(token)
    if len(stack) != 1 or consumed != len(template):
        raise ValueError(f"unbalanced template: {template}")
    return tuple(stack[0][0])


class Scene:
    """What one story knows: its random numbers, its characters and its things."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.entities: dict[str, Forms] = {}

    def expand(self, template: str) -> str:
        """Expand a template with this scene's choices and entities."""
        out: list[str] = []
        self._walk(parse(template), out)
        return "".join(out)

    def _walk(self, nodes: Sequence[Node], out: list[str]) -> None:
        for node in nodes:
            if isinstance(node, str):
                out.append(node)
            elif isinstance(node, Ref):
                out.append(self.entities[node.name][node.form])
            elif isinstance(node, Macro):
                self._walk(parse(MACROS[node.name]), out)
            else:
                options = node.options
                self._walk(options[int(self.rng.random() * len(options))], out)

    def put(self, name: str, template: str) -> None:
        """Expand a template once; ``{name}`` is the text, ``{name.the}`` the same with a leading "a" turned to "the"."""
        text = self.expand(template).strip()
        self.entities[name] = {"": text, "the": re.sub(r"^(?:a|an|some) ", "the ", text)}


_CONSONANT_VOWEL = re.compile(r"(?:uni|use|usu|one\b|once|eu)", re.IGNORECASE)
_SILENT_H = re.compile(r"(?:hour|honest|honor)", re.IGNORECASE)
_ARTICLE = re.compile(r"\b([Aa])n? (?=(\w+))")
_SENTENCE_START = re.compile(r"(^|[.!?] |[.]\" )([a-z])")


def _fix_article(match: re.Match[str]) -> str:
    word = match.group(2)
    vowel = word[0].lower() in "aeiou" and not _CONSONANT_VOWEL.match(word)
    return match.group(1) + ("n " if vowel or _SILENT_H.match(word) else " ")


def polish(raw: str) -> str:
    """Turn an expanded template into finished text: spaces, articles, capital letters."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", raw):
        text = " ".join(block.split())
        if not text:
            continue
        text = re.sub(r" ([,.!?])", r"\1", text)
        text = _ARTICLE.sub(_fix_article, text)
        text = _SENTENCE_START.sub(lambda m: m.group(1) + m.group(2).upper(), text)
        pieces = text.split('"')
        for index in range(1, len(pieces), 2):
            piece = pieces[index]
            pieces[index] = _SENTENCE_START.sub(lambda m: m.group(1) + m.group(2).upper(), piece)
        text = '"'.join(pieces)
        text = re.sub(r"\^(.)", lambda m: m.group(1).upper(), text)
        paragraphs.append(text)
    return "\n\n".join(paragraphs)


# ---------------------------------------------------------------------------------------------------------------------
# Characters
# ---------------------------------------------------------------------------------------------------------------------

PRONOUNS = {
    "m": ("he", "him", "his", "himself"),
    "f": ("she", "her", "her", "herself"),
    "n": ("it", "it", "its", "itself"),
}

GIRLS = (
    "Lily Mia Anna Rose Clara Ella Ruby Nora Lucy Emma Ivy Maya Zoe Sara Tess Hana Leila Amara Nina Olive Alice Poppy "
    "Daisy Hazel Molly Sofia Elsa Ada Bella Greta Ines Juno Kira Lena Maria Priya Rosa Tara Willa Yuki"
).split()
BOYS = (
    "Tom Ben Max Sam Leo Jack Finn Noah Theo Hugo Oscar Milo Adam Eli Felix Omar Ravi Kenji Luca Peter Henry Jasper "
    "Otto Toby Will Arlo Caleb Dylan Ethan Gus Ivan Jonah Kofi Liam Mateo Nico Owen Rory Simon Victor"
).split()
ANIMAL_NAMES = {
    "m": (
        "Pip Bruno Rusty Bramble Barley Nutmeg Chester Dusty Fergus Pepper Rocket Basil Button Oakley Scout Tumble "
        "Waffle Biscuit Bumble Acorn".split()
    ),
    "f": (
        "Luna Hazel Clover Maple Willow Honey Fern Daisy Pearl Ginger Dot Pippa Cocoa Misty Plum Snowy Tansy Velvet "
        "Berry Juniper".split()
    ),
}
NAME_STARTS = "Bo Da El Fa Go Ja Ka Li Mo Na Or Pe Ra Sa Ti Ul Va Wi Yo Zu Bri Cla Dri Fro Gra Pla Sho Tri".split()
NAME_MIDDLES = "la mi ro ne du ba li ve ta so ki ma ri".split()
NAME_ENDS = {"m": "ko to rin don bo nik rum vo lan mer".split(), "f": "na la ra mia li sha tta va nea lin".split()}


@dataclass(frozen=True)
class Animal:
    """A kind of animal that can be a character."""

    kind: str
    coat: str
    went: str
    homes: tuple[str, ...]


def _animals(spec: str) -> tuple[Animal, ...]:
    rows = []
    for line in spec.strip().splitlines():
        kind, coat, went, homes = (part.strip() for part in line.split(";"))
        rows.append(Animal(kind, coat, went, tuple(home.strip() for home in homes.split(","))))
    return tuple(rows)


ANIMALS = _animals("""
fox; fur; trotted; in a cozy den under the hill, in a den at the edge of the forest
rabbit; fur; hopped; in a burrow under the meadow, in a warm burrow by the old fence
bear; fur; walked; in a cave in the mountains, in a big cave near the river
mouse; fur; scurried; in a tiny house under the stairs, in a hole behind the mill
squirrel; fur; scampered; in a tall oak tree, in a hollow tree in the park
hedgehog; spines; walked; under a pile of leaves in the garden, under the roots of an old tree
owl; feathers; flew; in a hollow oak tree, in the old barn
duck; feathers; waddled; on a quiet pond, beside a wide lake
frog; skin; hopped; on a green lily pad, beside a quiet pond
turtle; skin; walked; beside a blue lake, near a slow river
cat; fur; walked; in a little house by the harbor, above the bakery
puppy; fur; ran; on a farm in the valley, in a yellow house with a garden
kitten; fur; padded; in a bookshop, in a small red house
pig; skin; trotted; on a farm near the village, in a clean little barn
lamb; wool; trotted; on a green hill, in a field beside the farm
goat; hair; trotted; high in the mountains, on a rocky hill
pony; hair; trotted; in a stable behind the farm, in a wide green field
deer; fur; walked; in the quiet forest, at the edge of the woods
beaver; fur; walked; in a dam on the river, beside a busy stream
otter; fur; ran; beside the river, near a bright stream
badger; fur; walked; in a deep burrow in the woods, under a grassy hill
raccoon; fur; scampered; in a hollow log, in a tree near the village
sparrow; feathers; flew; in a nest in the apple tree, under the roof of the school
robin; feathers; flew; in a nest near the garden wall, in a small nest in the hedge
crow; feathers; flew; at the top of a tall pine tree, in the old church tower
snail; skin; crawled; under a big green leaf, in the vegetable garden
ant; skin; marched; in a busy nest under a stone, in a hill of sand
bee; fur; flew; in a hive at the end of the garden, in a hollow tree full of honey
elephant; skin; walked; near a great river, in a land of tall yellow grass
lion; fur; walked; in a land of tall yellow grass, on a sunny rock
monkey; fur; swung; in the tall trees of the jungle, in a banana tree
giraffe; fur; walked; in a land of tall trees, on a wide sunny plain
penguin; feathers; waddled; on an island of ice, by the cold blue sea
mole; fur; walked; in a long tunnel under the field, under the garden
goose; feathers; waddled; on a farm by the lake, near the mill pond
hen; feathers; walked; in a red barn, on a small farm
donkey; hair; walked; in a field beside the road, on a farm near the hills
parrot; feathers; flew; in the tall trees of the jungle, in a bright shop by the sea
koala; fur; climbed; in a tall gum tree, in a quiet green forest
bat; fur; flew; in a cave behind the waterfall, under the roof of the old barn
""")

ANIMAL_ADJECTIVES = (
    "little small young tiny curious shy cheerful gentle brave clever playful friendly quiet kind".split()
)
CHILD_ADJECTIVES = "little young kind curious brave clever cheerful quiet shy bright gentle friendly thoughtful".split()
ADULT_ADJECTIVES = "kind old young clever patient cheerful quiet gentle hardworking careful".split()
FAIRY_ADJECTIVES = "young kind lonely brave gentle clever quiet proud shy".split()

CHILD_HOMES = (
    "in a small village by the sea",
    "in a little town near the mountains",
    "in a house at the edge of the forest",
    "on a farm in a green valley",
    "in a yellow house on a hill",
    "in a busy town beside a river",
    "in a cottage near the lake",
    "in a tall house in the city",
    "in a stone house beside the mill",
    "in a small house with a blue door",
    "in a village where everyone knew everyone",
    "near the harbor",
    "above a little bakery",
    "on an island with a lighthouse",
    "at the end of a long, quiet road",
    "in a village called {village}",
    "in a town named {village}",
    "near the village of {village}",
)
VILLAGES = (
    "Greenhill Oakby Willowbrook Stonebridge Appledale Riverton Sunnyvale Fernley Mapleton Birchwood Clearwater"
    " Honeyfield Larkhill Meadowby Pinecroft Rosedale Thornbury Westbrook Foxley Millford"
).split()

ADULTS = (
    ("baker", "in a warm house above the bakery"),
    ("farmer", "on a small farm outside the village"),
    ("gardener", "in a cottage full of flowers"),
    ("shoemaker", "in a narrow house on the main street"),
    ("sailor", "in a blue house by the harbor"),
    ("painter", "in a bright room at the top of a tower"),
    ("clockmaker", "in a little shop full of clocks"),
    ("potter", "beside a river with good clay"),
    ("weaver", "in a quiet house on the hill"),
    ("miller", "in the old mill by the stream"),
    ("carpenter", "in a wooden house that smelled of pine"),
    ("shepherd", "in a hut high in the hills"),
    ("tailor", "above a small shop in the village"),
    ("teacher", "in a small house next to the school"),
    ("beekeeper", "at the end of a lane full of clover"),
    ("toymaker", "in a shop with a green door"),
)

FAIRY_FOLK = (
    ("princess", "f", "in a castle with seven towers"),
    ("prince", "m", "in a castle beside a silver lake"),
    ("king", "m", "in a castle on a high hill"),
    ("queen", "f", "in a palace with a hundred windows"),
    ("knight", "m", "in a stone tower near the castle"),
    ("knight", "f", "in a stone tower near the castle"),
    ("wizard", "m", "in a crooked house in the forest"),
    ("giant", "m", "in a huge house above the clouds"),
    ("fairy", "f", "inside a purple flower"),
    ("witch", "f", "in a small hut full of jars"),
    ("dragon", "m", "in a warm cave in the mountains"),
    ("dragon", "f", "in a deep cave by the sea"),
)

ELDERS = (
    ("{h.his} mother", "f"),
    ("{h.his} father", "m"),
    ("{h.his} grandmother", "f"),
    ("{h.his} grandfather", "m"),
    ("{h.his} aunt", "f"),
    ("{h.his} uncle", "m"),
)
CHILD_ELDERS = (("{h.his} teacher", "f"), ("the old gardener", "m"), ("the librarian", "f"))
ANIMAL_ELDERS = (("the wise old owl", "f"), ("the old tortoise", "m"), ("the grey heron", "f"))

NEIGHBORS = (
    ("the baker", "m"),
    ("the farmer", "m"),
    ("the miller", "m"),
    ("the carpenter", "m"),
    ("the gardener", "f"),
    ("the shopkeeper", "f"),
    ("the librarian", "f"),
    ("the tailor", "m"),
    ("the blacksmith", "m"),
    ("the weaver", "f"),
    ("the old sailor", "m"),
    ("the beekeeper", "f"),
    ("the mail carrier", "f"),
)

MAKERS = (
    ("the carpenter", "m"),
    ("the clockmaker", "f"),
    ("the blacksmith", "m"),
    ("the toymaker", "m"),
    ("the boat builder", "f"),
    ("the old sailor", "m"),
    ("the wheelmaker", "f"),
)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def pronoun_forms(gender: str) -> dict[str, str]:
    """The pronoun forms of a gender, with their capitalised twins."""
    he, him, his, himself = PRONOUNS[gender]
    forms = {"he": he, "him": him, "his": his, "self": himself}
    forms.update({"He": _capital(he), "His": _capital(his)})
    return forms


def new_name(rng: random.Random, gender: str, names: Sequence[str]) -> str:
    """A name from the list or, now and then, one made from syllables, so that the model learns to copy any name."""
    if rng.random() < 0.06:
        middle = rng.choice(NAME_MIDDLES) if rng.random() < 0.4 else ""
        return rng.choice(NAME_STARTS) + middle + rng.choice(NAME_ENDS[gender])
    return rng.choice(names)


def make_character(rng: random.Random, cast: str, gender: str, avoid: Sequence[str]) -> dict[str, str]:
    """Draw a character of a cast (``child``, ``animal``, ``adult``, ``fairy``); name and kind are not in ``avoid``."""
    while True:
        coat, went = "hair", "walked"
        if cast == "animal":
            animal = rng.choice(ANIMALS)
            kind, coat, went, home = animal.kind, animal.coat, animal.went, rng.choice(animal.homes)
            adjective, names = rng.choice(ANIMAL_ADJECTIVES), ANIMAL_NAMES[gender]
        elif cast == "adult":
            kind, home = rng.choice(ADULTS)
            adjective, names = rng.choice(ADULT_ADJECTIVES), GIRLS if gender == "f" else BOYS
        elif cast == "fairy":
            kind, gender, home = rng.choice(FAIRY_FOLK)
            adjective, names = rng.choice(FAIRY_ADJECTIVES), GIRLS if gender == "f" else BOYS
        else:
            kind = "girl" if gender == "f" else "boy"
            home = rng.choice(CHILD_HOMES).replace("{village}", rng.choice(VILLAGES))
            adjective, names = rng.choice(CHILD_ADJECTIVES), GIRLS if gender == "f" else BOYS
        name = new_name(rng, gender, names)
        if name in avoid or (cast != "child" and kind in avoid):
            continue
        forms = pronoun_forms(gender)
        forms.update(
            {
                "": name,
                "kind": kind,
                "adj": adjective,
                "a": f"a {adjective} {kind}",
                "the": f"the {kind}",
                "full": f"{name} the {kind}" if cast in ("animal", "fairy") else name,
                "coat": coat,
                "went": went,
                "home": home,
                "gender": gender,
                "cast": cast,
                "sibling": "sister" if gender == "f" else "brother",
                "small": "little" if cast in ("child", "animal") else adjective,
            }
        )
        return forms


# ---------------------------------------------------------------------------------------------------------------------
# Things and places
# ---------------------------------------------------------------------------------------------------------------------

THINGS: dict[str, tuple[tuple[str, str], ...]] = {
    # category: (adjectives, nouns)
    "treasure": (
        ("red blue green yellow tiny shiny old little lucky", "button whistle marble pencil yoyo"),
        ("silver golden shiny tiny old little lucky", "key ring coin bell spoon compass locket"),
        ("white pink smooth tiny shiny round lucky little", "shell stone pebble"),
        ("red blue green yellow white purple soft", "ribbon feather scarf hat"),
    ),
    "toy": (
        ("red blue green yellow orange wooden little new", "boat train drum wagon puzzle top"),
        ("red blue green yellow striped bright new big", "ball kite balloon"),
        ("soft brown little old favorite", "teddy bear doll puppet"),
        ("new shiny red blue", "bicycle scooter sled"),
    ),
    "treat": (
        ("big warm sweet fresh round", "honey cake apple pie berry tart cinnamon roll cherry pie"),
        ("big red ripe sweet juicy", "apple pear peach plum strawberry"),
        ("warm fresh crusty golden", "loaf of bread bun pancake biscuit"),
    ),
    "machine": (
        ("red blue green yellow wooden old little painted", "boat train wagon windmill tractor truck"),
        ("little old favorite wooden", "clock robot"),
        ("new shiny red blue", "bicycle scooter sled"),
    ),
    "gift": (
        ("red blue green yellow warm soft woolen", "scarf hat blanket pillow"),
        ("small wooden painted", "box spoon bowl flute bird"),
        ("little simple handmade painted", "card book picture necklace kite"),
    ),
    "fragile": (
        ("blue white green painted old tall favorite", "vase bowl teapot plate cup"),
        ("blue green old painted", "flowerpot lamp jar"),
    ),
    "instrument": (("small old wooden silver shiny little", "flute drum violin trumpet guitar whistle harp banjo"),),
}
TWO_WORD_NOUNS = ("teddy bear", "honey cake", "apple pie", "berry tart", "cinnamon roll", "cherry pie", "loaf of bread")

PLACES = (
    # noun, where, direction
    ("the forest", "in the forest", "into the forest"),
    ("the meadow", "in the meadow", "to the meadow"),
    ("the river", "by the river", "to the river"),
    ("the pond", "near the pond", "to the pond"),
    ("the lake", "beside the lake", "to the lake"),
    ("the green hill", "on the green hill", "up the green hill"),
    ("the garden", "in the garden", "into the garden"),
    ("the park", "in the park", "to the park"),
    ("the beach", "on the beach", "to the beach"),
    ("the village square", "in the village square", "to the village square"),
    ("the orchard", "in the orchard", "to the orchard"),
    ("the old bridge", "near the old bridge", "to the old bridge"),
    ("the mill", "near the mill", "to the mill"),
    ("the big field", "in the big field", "to the big field"),
    ("the stream", "by the stream", "to the stream"),
    ("the valley", "in the valley", "down to the valley"),
    ("the old oak tree", "under the old oak tree", "to the old oak tree"),
    ("the barn", "near the barn", "to the barn"),
    ("the woods", "in the woods", "into the woods"),
    ("the old well", "beside the old well", "to the old well"),
)


def make_thing(rng: random.Random, category: str) -> dict[str, str]:
    """Draw a thing of a category, with its adjective."""
    adjectives, nouns = rng.choice(THINGS[category])
    choices = [noun for noun in TWO_WORD_NOUNS if noun in nouns]
    rest = nouns
    for noun in choices:
        rest = rest.replace(noun, "")
    noun = rng.choice(choices + rest.split())
    phrase = f"{rng.choice(adjectives.split())} {noun}"
    return {"": phrase, "n": noun, "a": f"a {phrase}", "the": f"the {phrase}"}


def make_place(rng: random.Random, home: str) -> dict[str, str]:
    """Draw a place that is not the hero's ``home``."""
    noun, where, to = rng.choice([place for place in PLACES if place[0].rsplit(" ", 1)[-1] not in home])
    return {"": noun, "in": where, "to": to}


# ---------------------------------------------------------------------------------------------------------------------
# Shared phrases
# ---------------------------------------------------------------------------------------------------------------------

MACROS: dict[str, str] = {
    "happy": "[happy|glad|very happy|so happy|full of joy|delighted|very pleased|happier than ever]",
    "sad": "[sad|unhappy|very sad|upset|sad and quiet|heavy with worry]",
    "scared": "[afraid|scared|frightened|nervous|a little afraid|very scared]",
    "proud": "[proud|very proud|proud and happy|full of pride]",
    "tired": "[tired|very tired|sleepy|tired but happy]",
    "soon": "[soon|before long|after a while|a little later|in no time]",
    "fair": "[sunny|bright|warm|clear|cool|quiet|breezy|fine|golden|lovely]",
    "season": "[spring|summer|autumn]",
    "smiled": "[smiled|grinned|laughed|beamed|gave a big smile|smiled warmly|nodded happily]",
    "said": "[said|said|replied|answered]",
    "cried": "[cried|shouted|called|said]",
    "looked_around": "[looked around|looked left and right|looked everywhere|looked up and down]",
    "thought": "[thought for a moment|thought hard|thought about it|sat down and thought|scratched {h.his} head]",
    "oh_no": "[Oh no!|Oh dear!|What a pity!|This is terrible!]",
    "thanks": "[Thank you|Thank you so much|Thank you very much|Thanks]",
    "welcome": "[You are welcome|You are very welcome|I was glad to help|That is what friends are for|It was nothing]",
    "yes": "[Yes|Of course|Yes, of course|I would love to|That sounds fun]",
    "good_idea": "[That is a good idea|What a good idea|That is a wonderful idea|I like that idea]",
    "dont_worry": "[Do not worry|Do not be sad|Please do not cry|It will be all right]",
    "from_then": "[From that day on|After that day|Ever since that day|From then on]",
    "learned": (
        "[{h} learned that|That day, {h} learned that|{h} never forgot that|{h} understood that|{h.He} knew now that]"
    ),
    "aside": (
        "[Birds sang in the trees.|The grass was soft and green.|A light wind moved the leaves.|"
        "White clouds drifted across the sky.|The air smelled of flowers.|Bees hummed over the clover.|"
        "The sky was wide and blue.|Somewhere, a dog barked.|Butterflies danced over the grass.|"
        "Far away, a bell was ringing.|The path was dusty and warm.|Everything was peaceful.]"
    ),
    "close_day": (
        "[It had been a [wonderful|very good|lovely|long but happy] day.|"
        "That night, {h} slept [very well|with a smile|deeply and dreamed of the day].|"
        "When the sun went down, {h} was <tired>.|"
        "That evening, {h} [thought about the day again|was almost too happy to sleep].|"
        "And {h} [smiled|sang|whistled] all the way home.|"
        "It was a day that {h} would [never forget|always remember].|"
        "At bedtime, {h} was still smiling.]"
    ),
    "close_any": (
        "[And {h} was <happy>.|And that made everyone <happy>.|{h} had never been so proud.|"
        "And every time {h} thought about it, {h.he} smiled.|It was one of the happiest times of {h.his} life.|"
        "{h} still tells that story today.|And so everything ended well.]"
    ),
    "close_pair": (
        "[And the two friends [laughed|smiled|danced with joy|walked home together].|"
        "{h} and {f} were <happy>.|{h} and {f} have been good friends ever since.|"
        "<from_then>, {h} and {f} [did everything together|always helped each other|shared everything|"
        "met every day].|And so {h} and {f} [became|were] the best of friends.]"
    ),
    "trait": (
        "[{h.He} was always [kind to others|ready to help|asking questions|full of ideas|in a good mood|polite]."
        "|{h.He} had [a warm smile|a big heart|a quick mind|many dreams|bright eyes|a soft voice|a good memory]."
        "|Everyone [liked|loved] {h}.|{h} loved to {hobby}.|{h.He} liked to {hobby}."
        "|Every day, {h} liked to {hobby}.|{h.His} favorite thing was to {hobby}."
        "|More than anything, {h.he} loved to {hobby}.|On most days, {h} liked to {hobby} and {hobby2}."
        "|{h} liked to {hobby}, but most of all {h.he} loved to {hobby2}.]"
    ),
    "life": "[{h.He} lived {h.home}. [|<trait>]|<trait>]",
}

HOBBIES = (
    "sing songs",
    "climb trees",
    "paint pictures",
    "collect shiny stones",
    "watch the clouds",
    "read old books",
    "watch the birds",
    "dance in the rain",
    "tell jokes",
    "dig in the garden",
    "look for shells",
    "chase butterflies",
    "listen to stories",
    "make soup",
    "play hide and seek",
    "draw maps",
    "splash in puddles",
    "whistle tunes",
    "count the stars",
    "fly kites",
    "fix old things",
    "ask questions",
    "help the neighbors",
    "explore new places",
    "pick flowers",
    "bake cookies",
    "roll down the hill",
    "run in the tall grass",
    "play with a ball",
    "make up stories",
    "write letters",
    "build little boats",
    "jump over puddles",
    "play games",
    "take long walks",
    "look at the moon",
    "learn new words",
    "drum on old pots",
    "plant seeds",
    "swim in the cool water",
)

LANDS = {
    "child": (
        "in a small village by the sea",
        "in a quiet valley",
        "in a little town near the mountains",
        "on an island far away",
        "in a land of green hills",
        "at the edge of a great forest",
        "in a village called {village}",
        "in the town of {village}",
        "in a house by the river",
    ),
    "animal": (
        "deep in the forest",
        "in a sunny meadow",
        "on the side of a green hill",
        "not far from here",
        "at the edge of a quiet wood",
        "near a bright blue lake",
        "in a valley full of flowers",
        "beside a winding river",
    ),
    "adult": (
        "in a small village",
        "in a town beside the sea",
        "in the village of {village}",
        "in a busy market town",
        "in a valley between two mountains",
        "on a street with tall houses",
    ),
    "fairy": (
        "in a faraway land",
        "in a kingdom by the sea",
        "in the kingdom of {village}",
        "far beyond the mountains",
        "in a land of rivers and hills",
        "at the edge of the world",
    ),
}

# Openings that describe the hero; the plot then begins with a link such as "One day,".
ONCE_INTROS = (
    "Once upon a time, there was {h.a} named {h}. <life>",
    "Once upon a time, there was {h.a} named {h} who lived {h.home}. [|<trait>]",
    "Once upon a time, there lived {h.a} named {h}. <life>",
    "Once upon a time, {land}, there lived {h.a} named {h}. <trait>",
    "Once upon a time, {land}, there was {h.a} called {h}. [|<trait>]",
    "Once upon a time, {h.a} named {h} lived {h.home}. <trait>",
    "Once upon a time, there was {h.a}. {h.His} name was {h}, and {h.he} lived {h.home}. [|<trait>]",
    "Once upon a time, {h.a} [called|named] {h} loved to {hobby}. [|{h.He} lived {h.home}.]",
)
STATE_INTROS = (
    "There was a {h.small} {h.kind} named {h}. <life>",
    "There was once {h.a} named {h} who lived {h.home}. [|<trait>]",
    "There once was {h.a} [called|named] {h}. <life>",
    "There lived {h.a} named {h} {land}. <trait>",
    "Long ago, {land}, there lived {h.a} named {h}. <trait>",
    "Many years ago, there was {h.a} named {h} who loved to {hobby}. [|{h.He} lived {h.home}.]",
    "{land}, there lived {h.a} named {h}. <trait>",
    "{h} was {h.a} who lived {h.home}. [|<trait>]",
    "{h} was {h.a}. <life>",
    "{h} loved to {hobby}. {h.He} was {h.a} who lived {h.home}.",
    "A {h.kind} named {h} lived {h.home}. <trait>",
    "A {h.small} {h.kind} named {h} lived {h.home}. [|<trait>]",
    "The [{h.small}|{h.small}|{h.adj}] {h.kind} who lived {h.home} was called {h}. [|<trait>]",
    "Every morning, {h.a} named {h} liked to {hobby}. [|{h.He} lived {h.home}.]",
    "In the village of {village}, everyone knew {h}, {h.a} who loved to {hobby}.",
    "This is the story of {h}, {h.a} who lived {h.home}. [|<trait>]",
    "Far away, {h.a} named {h} lived {h.home}. <trait>",
    "My friend {h} is {h.a}. This is what happened to {h.him}.",
    "Do you know {h}? {h} was {h.a} who lived {h.home}. [|<trait>]",
    "Not so long ago, there was {h.a} who loved to {hobby}. {h.His} name was {h}.",
)
# Openings that are already an event; the plot goes on with a link such as "After breakfast,".
EVENT_INTROS = (
    "One day, {h.a} named {h} woke up [early|with the sun|in a good mood|full of energy]. [|<trait>]",
    "One day, {h.a} named {h} was [on {h.his} way home|looking for something to do|sitting in the sun]. [|<trait>]",
    "One <fair> morning, {h.a} named {h} woke up [early|to the sound of birds|with a smile]. [|<trait>]",
    "One <fair> <season> day, {h.a} named {h} was [looking for something to do|playing outside|resting in the shade].",
    "It was a <fair> <season> morning. {h}, {h.a}, was [full of energy|ready for something new|in a good mood].",
    "It was a <fair> day in {village}. {h}, {h.a}, [looked out of the window|was already awake|felt happy].",
    "The sun was [shining|rising|bright and warm] when {h.a} named {h} woke up. [|<trait>]",
    "The morning was <fair>, and {h.a} named {h} was already awake. [|<trait>]",
    "The birds were singing when {h}, {h.a}, opened {h.his} eyes. [|<trait>]",
    "The wind was soft and the sky was blue. {h}, {h.a}, was [happy to be outside|ready to play].",
    "On a <fair> morning in <season>, {h.a} named {h} [woke up early|opened the door and smiled]. [|<trait>]",
    "Early one morning, {h.a} named {h} [looked out at the blue sky|heard the birds singing]. [|<trait>]",
    "Today was a special day for {h}. {h.He} was {h.a}, and {h.he} lived {h.home}.",
    "It was the first day of <season>. {h}, {h.a}, could not wait to go outside.",
    "When {h}, {h.a}, woke up, [the sun was already shining|it was still quiet outside|the birds were singing].",
    "{h} woke up early. {h.He} was {h.a}, and {h.he} lived {h.home}. [|<trait>]",
    "Last <season>, something [special|funny|wonderful|surprising] happened to {h.a} named {h}. [|<trait>]",
)
# Openings that introduce the hero together with a friend.
PAIR_INTROS = (
    "{h} and {f} were [good friends|best friends|neighbors]. {h} was {h.a}, and {f} was {f.a}.",
    "Once upon a time, there were two friends, {h} and {f}. {h} was {h.a} who loved to {hobby}.",
    "{h} and {f} [did everything together|saw each other every day]. {h} lived {h.home}. [|<trait>]",
    "Two friends, {h} and {f}, liked to {hobby} together. {h} lived {h.home}.",
    "{h} and {f} were two friends who loved to {hobby}. [|{h} lived {h.home}.]",
    "{h} and {f} lived next to each other. {h} was {h.a}, and {f} was {f.a}.",
)
# Now and then, a story answers a request.
REQUESTS = (
    (
        "[Tell me|Write|Write me|Please tell me] a [story|short story|little story] about [{h.a}|a {h.kind}|a"
        " {h.kind}][| named {h}]."
    ),
    "A story about [{h.a}|a {h.kind}][| named {h}].",
)
EXPLAIN_REQUEST = "[Explain|Please explain|Tell me] {indirect}.\n\n"
REQUEST_SHARE = 0.05
STATE_LINKS = (
    "One day,",
    "One day,",
    "One day,",
    "One <fair> morning,",
    "One <fair> day,",
    "One <season> day,",
    "Then, one day,",
    "One afternoon,",
    "One Saturday,",
    "On the first day of <season>,",
)
EVENT_LINKS = ("After breakfast,", "A little later,", "Later that day,", "Soon,", "That afternoon,", "Before lunch,")
NIGHT_LINKS = (
    "One night,",
    "One evening,",
    "Late one night,",
    "One quiet night,",
    "One <season> night,",
    "One dark night,",
)


# ---------------------------------------------------------------------------------------------------------------------
# Schemas: what can happen
# ---------------------------------------------------------------------------------------------------------------------

Row = Mapping[str, str]


@dataclass(frozen=True)
class Schema:
    """A plot: who plays in it, which tables its rows come from, and its text.

    ``link`` says how the plot joins the opening: ``day`` and ``night`` fill ``{link}``; ``state`` asks for an opening that
    describes the hero and leaves the beginning to the text; ``none`` has no opening at all.
    """

    name: str
    text: str
    tables: tuple[tuple[Row, ...], ...] = ()
    casts: tuple[str, ...] = ("child", "child", "animal", "animal")
    needs: tuple[str, ...] = ()
    link: str = "day"
    weight: float = 1.0


def table(fields: str, rows: str) -> tuple[Row, ...]:
    """Read a table: the field names, then one row per line with its cells separated by ``;``."""
    names = fields.split()
    result = []
    for line in rows.strip().splitlines():
        cells = [cell.strip() for cell in line.split(";")]
        if len(cells) != len(names):
            raise ValueError(f"expected {len(names)} cells in: {line}")
        result.append(dict(zip(names, cells, strict=True)))
    return tuple(result)


SEARCH = table(
    "s1 s2 s3",
    """
under the bed; behind the door; inside the old cupboard
under the table; behind the chairs; in the kitchen pot
in the garden; under the bench; behind the water barrel
on every shelf; under every pillow; inside {h.his} boots
beside the path; under the bushes; between the flowers
in the basket; under the blanket; behind the curtain
under the stairs; in the big box; on top of the cupboard
""",
)
LOST_SPOTS = table(
    "doing spot why",
    """
I was resting under the old oak tree; under the old oak tree; It had fallen into the grass when {h} stopped to rest
I was drinking water at the well; beside the well; {h} had put it down to drink and had forgotten it
I was climbing over the stone wall; on top of the stone wall; It had slipped out while {h} was climbing
I was walking through the tall grass; in the tall grass; It had dropped without a sound while {h} was running
I was helping at the mill; behind the flour sacks; It had fallen there while {h} was working
I was jumping in the hay; in the hay inside the barn; It had come loose when {h} jumped
I was picking berries; under a berry bush; A thorn had pulled it away while {h} was picking berries
I was watching the boats; at the end of the pier; {h} had left it there while counting the boats
I was crossing the bridge; in the middle of the bridge; It had been lying there all day, waiting
I was playing by the stream; on a flat stone by the stream; {h} had put it there to keep it dry
I was sleeping in my bed; under the pillow; It had been there all the time
I was reading in the library; between two big books; {h} had used it to mark a page
I was feeding the ducks; beside the duck pond; A little duck was sitting next to it, like a guard
I was on the swing in the park; under the swing; It had fallen down when {h} was swinging high
""",
)
LESSON_LOST = table(
    "lesson",
    """
a friend makes every search easier
it is good to stay calm and think
it is wise to put precious things in a safe place
two pairs of eyes see more than one
it always helps to go back and look again
""",
)

LOST_AND_FOUND = Schema(
    "lost_and_found",
    """
    [{h} had {o.a} that {h.he} loved more than anything.|{h.His} favorite thing in the world was {o.a}.|{e} had
    given {h} {o.a}, and {h} [took it everywhere|kept it close every day].]

    {link} {h} [reached into {h.his} pocket|looked in {h.his} bag|opened {h.his} little box|reached for {o.the}],
    but {o.the} was [gone|not there|missing]. "<oh_no> Where is my {o.n}?" [cried {h}|{h} cried|said {h}]. {h.He}
    looked {s1}. {h.He} looked {s2}. [|{h.He} even looked {s3}.] But {o.the} was [nowhere to be found|not there],
    and {h} [felt|was] <sad>.

    [{f.intro} saw {h} and asked, "What is wrong?"|Then {f.intro} came by. "Why do you look so sad?" asked {f}.] "I
    lost my {o.n}," <said> {h}. "<dont_worry>," said {f}. "[Let us look together.|I will help you look.] [Where did
    you have it last|Where were you when you last saw it]?" {h} <thought>. "{doing}," {h.he} said. So they
    [ran|hurried|went] back to look.

    And there, {spot}, was {o.the}! {why}. "[Hooray!|There it is!|We found it!]" <cried> {h}. {h.He} [hugged
    {f}|jumped for joy|held it tight]. [|"<thanks>, {f}," said {h}. "<welcome>," <said> {f}.] [<learned>
    {lesson}.|<close_day>|<close_pair>|<from_then>, {h} always [kept {o.the} in a safe place|took good care of
    {o.the}].]
    """,
    (SEARCH, LOST_SPOTS, LESSON_LOST),
    needs=("o:treasure", "f", "e"),
    weight=1.3,
    casts=("child", "child", "animal", "animal", "fairy"),
)

SHY_GAMES = table(
    "playing invite game gamepast",
    """
drawing pictures in the sand; draw with me; draw; drew a big castle, a whale, and a smiling sun
building a tower of stones; build with me; build; built the tallest tower that anyone had ever seen
throwing leaves into the air; throw leaves with me; play; threw leaves until both of them were covered
playing with a ball; play ball with me; play; threw the ball back and forth until the sun was low
sailing a little paper boat; sail my boat with me; sail boats; made a second boat and raced the two across the water
singing a little song; sing with me; sing; sang every song they knew and made up three new ones
looking for round stones; look for stones with me; look for stones; found twelve round stones and one shaped like a heart
making a crown of flowers; make a crown with me; make crowns; made two fine crowns and pretended to be kings
jumping over puddles; jump with me; jump; jumped over every puddle on the road
flying a kite; fly my kite with me; fly the kite; flew the kite so high that it looked like a tiny bird
""",
)
SHY_REASONS = table(
    "reason",
    """
I am new here, and I do not know anyone
I did not know if you would like me
I am shy, and I never know what to say
My family moved here yesterday
I have never had a friend before
I was afraid you would say no
""",
)
NEW_FRIEND = Schema(
    "new_friend",
    """
    [But {h} had no one to play with, and sometimes {h.he} felt lonely.|There was only one problem. {h} did not have
    a friend.|Still, {h} wished for a friend more than anything.]

    {link} {h} went {p.to} and began {playing}. [|<aside>] <soon>, {h.he} noticed someone [watching|standing]
    [behind a tree|at the edge of the path|behind a bush|not far away]. It was {f.a}. "Hello," said {h}. "[What is
    your name?|Who are you?]" The {f.kind} looked at the ground. "I am {f}," {f.he} whispered.

    "[Why are you standing there all alone|Why do you hide|Why do you not come closer]?" asked {h}. "{reason}," said
    {f}. {h} <smiled>. "[Come and|You can] {invite}," {h.he} said. [At first, {f} was shy, but soon {f.he} was
    laughing.|{f}'s eyes grew bright.|{f} took one small step, and then another.] Together, they {gamepast}.

    When [it was time to go home|the sun began to set], {f} asked, "[Can we {game} again tomorrow|Will you come back
    tomorrow]?" "<yes>!" <said> {h}. [<close_pair>|<from_then>, {h} was never lonely again.|<learned> a kind word is
    all it takes to make a friend.|{h} went home with a [light|happy] heart, because now {h.he} had a friend.]
    """,
    (SHY_GAMES, SHY_REASONS),
    needs=("f", "p"),
    weight=1.3,
    casts=("child", "animal", "fairy"),
)

SHARING = Schema(
    "sharing",
    """
    {link} {e} gave {h} {o.a}. [It smelled wonderful.|It looked delicious.|{h} could not wait to eat it.] {h}
    [took|carried] it {p.to} and sat down in the shade. [|<aside>]

    [Just then|At that moment|Before the first bite], {f.intro} came by. "[That looks good|That smells so good],"
    said {f}. "[May I have a little piece|Could I try a bit]? I have not eaten [today|since morning]." But {h} [held
    {o.the} tight|turned away]. "No," {h.he} said. "It is mine." {f} [lowered {f.his} head and|said nothing and]
    walked away.

    {h} took a bite, but it did not taste as good as {h.he} had hoped. [It is no fun to eat alone, {h.he}
    thought.|{h.He} kept thinking of {f}'s sad face.|Something felt wrong.] So {h} jumped up and ran after {f}.
    "[Wait|Please wait], {f}! I am sorry," {h.he} <cried>. "[Let us share it|Half of it is for you]."

    They sat down together and [ate|shared] {o.the}. [Now it tasted better than anything in the world.|Every bite
    was sweet, and they told funny stories until it was gone.|They laughed and talked until every crumb was gone.]
    [<learned> [sharing makes everything better|good things are even better when they are shared|a shared treat is
    twice as sweet].|<close_pair>|"<thanks>, {h}," said {f}. "Next time, I will share with you."]
    """,
    needs=("o:treat", "f", "e", "p"),
    weight=1.1,
)

BREAK_CAUSES = table(
    "cause fixing",
    """
{h} was running in the house, and {h.his} elbow hit the shelf; glued the pieces together
{h} threw a ball inside, and the ball flew the wrong way; put the pieces back together, one by one
{h} reached up to touch it, but it was too heavy; glued it together with great care
{h} was dancing around the table and did not look where {h.he} was going; mended it together on the kitchen table
{h} spun around with {h.his} arms out like a bird; spent the evening mending it together
{h} pulled the tablecloth a little too hard; cleaned up together and mended what they could
""",
)
HIDING = table(
    "hiding",
    """
under the rug
behind the curtain
in a box under the bed
in the bottom of a drawer
behind the woodpile
""",
)
HONESTY = Schema(
    "honesty",
    """
    {e} had {o.a} that stood near the window. [It was very old.|It was a gift from long ago.|Everyone was careful
    with it.]

    {link} {cause}. [Crash!|Bang!|Smash!] {o.the} fell to the floor and broke. {h} [stood very still|felt cold all
    over|did not know what to do]. {h.He} was <scared>, so {h.he} hid the pieces {hiding}.

    But {h} could not [play|eat|think of anything else]. {h.His} stomach [hurt|felt heavy], and every time {e}
    smiled at {h.him}, it felt worse. [At last|Finally|In the evening], {h} took a deep breath. "I have to tell you
    something," {h.he} said. "I broke {o.the}, and then I hid it. I am so sorry."

    {e} was quiet for a moment and then [hugged {h}|put an arm around {h}|took {h.his} hand]. "[I am sad about the
    {o.n}, but I am glad that you told me the truth|Things can break, and things can be mended|Thank you for being
    honest. That was brave]," {e.he} said. Together, they {fixing}. [The {o.n} was never perfect again, but {h}
    liked it even more.|<learned> [the truth may be hard to say, but it makes the heart light|it is always better to
    tell the truth|a mistake is smaller when you do not hide it].|<from_then>, {h} always told the truth.]
    """,
    (BREAK_CAUSES, HIDING),
    casts=("child", "child", "child", "animal"),
    needs=("o:fragile", "e"),
)

SEEDS = table(
    "seed plant fruit use",
    """
a tiny round seed; a tall sunflower; a bright yellow face that turned toward the sun; The birds ate the seeds all winter
a flat white seed; a green vine; three big orange pumpkins; They made a huge pot of pumpkin soup
a hard brown seed; a little apple tree; one small white flower, and then another; Years later, there were apples for everyone
a wrinkled seed; a row of pea plants; fat green pods, full of sweet peas; They ate the peas right there in the garden
a red bean; a strong bean plant; long green beans; There were enough beans for the whole street
a small black seed; a rose bush; a red rose that smelled like summer; Everyone who passed stopped to smell it
a striped seed; a crawling vine; a round green melon; It was so sweet that everyone asked for more
a seed as thin as a hair; a row of carrots; orange carrots hidden under the ground; The carrots were crisp and sweet
""",
)
PATIENCE = Schema(
    "patience",
    """
    {link} {e} gave {h} {seed}. "[Plant it and take care of it|Put it in the ground and wait], and you will see
    something [wonderful|special]," {e.he} said. {h} dug a small hole {where}, dropped in the seed, and gave it some
    water.

    The next morning, {h} ran outside. [Nothing had happened.|There was only brown earth.] "[It does not work|Maybe
    it is asleep|Why does it not grow]," said {h}. "Be patient," said {e}. "Good things [take time|grow slowly]." So
    {h} watered the seed every day. {h.He} pulled out the weeds, [sang to it|talked to it], and waited. One week
    passed, and then two.

    Then, one [bright|quiet|rainy] morning, {h} saw a small green [leaf|shoot] coming out of the ground. "[It is
    alive!|Look, it is growing!|It is here!]" {h.he} <cried>. Day by day it grew, until it was {plant}. At the end
    of the summer, it had {fruit}. {use}.

    [<learned> [patience brings sweet rewards|small things need time to become big|waiting is easier when you take
    good care of something].|"You gave it water, and you gave it time," said {e}.|{h} kept one seed for the next
    year.|<close_any>]
    """,
    (
        SEEDS,
        table(
            "where",
            """
in the garden
near the garden wall
beside the front door
in a clay pot by the window
in a sunny spot behind the house
""",
        ),
    ),
    needs=("e:any",),
)

ANIMAL_TROUBLES = table(
    "animal trouble act cure thanks",
    """
sparrow; had fallen out of its nest; wrapped it in a soft cloth and lifted it up; put it back into the nest with the others; sang at the window every morning
kitten; was stuck in a tree and could not get down; climbed up slowly and held out a hand; carried it down, safe and warm; followed along like a little shadow
rabbit; had its foot caught in an old net; spoke in a soft voice and untied the knots; let it rest until its foot was better; came to the garden every evening
hedgehog; was cold and shivering under a bush; made a bed of straw in a box; gave it food and kept it warm until it was strong; ate all the slugs in the garden
duckling; had lost its mother; picked it up and walked along the water; found the mother duck near the reeds; swam over every morning to say hello
puppy; was wet, hungry, and alone in the rain; dried it with a towel and gave it warm food; looked all over the village until its family was found; wagged its tail at every visit
turtle; was lying on its back and could not turn over; knelt down and turned it over; carried it to the edge of the water; came back each summer to the same spot
butterfly; was caught in a spider web; freed its wings with a thin stick; let it rest on a flower in the sun; flew three circles in the air before it left
lamb; had fallen into a ditch; tied a rope and pulled with care; washed off the mud and brought it back to the flock; ran to the fence whenever it heard that voice
fawn; was hiding in the grass with a thorn in its foot; sat down very quietly and pulled out the thorn; gave it water and waited until it could walk; looked back once before it ran into the trees
bee; was too tired to fly; mixed a drop of honey with water; watched it drink until its wings began to hum; never stung anyone in that garden
owl; had hurt its wing in the storm; made a nest in an old basket; fed it every evening until the wing was strong; sat on the roof and kept watch every night
""",
)
HELP_ANIMAL = Schema(
    "help_animal",
    """
    {link} {h} was walking {p.in} when {h.he} heard a [small|soft|strange|sad] sound. {h.He} stopped and listened.
    [There it was again!|It came from behind a stone.|It came from very close by.] {h} went closer and found a
    little {animal}. It {trouble}.

    "[You poor little thing|Do not be afraid|Poor little {animal}]," said {h}. "I will help you." The {animal}
    [looked up with big eyes|trembled a little|was too weak to run]. {h} {act}. [{h.He} was very gentle.|It was not
    easy, but {h.he} did not give up.|{h.He} moved slowly, so that it would not be scared.] [Then {h.he}|After that,
    {h.he}] {cure}.

    [{e} watched and said, "You have a kind heart."|"Well done," said {e}. "You were gentle and brave."|When {e}
    heard about it, {e.he} was very proud.] [The little {animal} never forgot {h}.|The {animal} knew who had helped
    it.|And the {animal} was thankful.] It {thanks}. [<learned> [even small creatures need a friend|it feels good to
    help someone who is small|being gentle is a kind of strength].|<close_any>|And {h} felt warm inside.]
    """,
    (ANIMAL_TROUBLES,),
    casts=("child", "child", "fairy"),
    needs=("e", "p"),
    weight=1.2,
)

BUILDS = table(
    "thing purpose mats fail reason fix result",
    """
treehouse; read and watch the birds; boards, nails, and a long rope; the floor began to shake; The boards are too thin; used thick, strong boards; It stood as firm as the tree itself
little boat; cross the pond; wood, glue, and an old shirt for a sail; it began to sink; There is a small hole in the bottom; closed the hole with wax; It floated like a duck
kite; see it dance in the sky; paper, thin sticks, and string; it fell to the ground; It has no tail to keep it steady; tied on a long tail of ribbons; It climbed higher than the trees
birdhouse; give the sparrows a home; a wooden box, nails, and blue paint; no bird came; The door is much too small; cut a bigger door; A family of sparrows moved in the same day
bridge; cross the stream with dry feet; two logs and many flat stones; it fell into the water; The logs are too short; found two longer logs; Even {e} walked across it
snow fort; hide from the winter wind; snow, buckets, and wooden shovels; one wall fell down; The snow is too dry; mixed the snow with a little water; It froze and became as hard as stone
wagon; carry apples to the market; old wheels, boards, and a rope; it rolled in circles; One wheel is smaller than the others; found a wheel of the right size; It rolled straight down the road
tent; sleep under the stars; three poles and a big blanket; the wind blew it over; The poles are not deep enough; pushed the poles deep into the ground; It stood firm all night long
sandcastle; have a castle by the sea; sand, shells, and buckets of water; a wave washed it away; It is too close to the water; built it higher up on the beach; It stood until the evening, with a feather as its flag
swing; swing under the apple tree; a board and two ropes; it hung to one side; One rope is longer than the other; made the two ropes the same length; It swung high and smooth
scarecrow; keep the crows away from the corn; straw, an old coat, and a pumpkin; the crows only laughed and sat on its arms; It does not move at all; hung small bells on its sleeves; When the wind blew, the bells rang and the crows flew away
raft; float down the river; logs and strong rope; the logs drifted apart; The knots are loose; learned a better knot and tied the logs again; It carried both of them down the river
""",
)
BUILDING = Schema(
    "building",
    """
    {link} {h} had an idea. "[Let us build|I want to build|We could build] a {thing}, [so that we can|and then we
    can] {purpose}," {h.he} said to {f.intro}. "<good_idea>!" <said> {f}. They [collected|gathered|found] {mats},
    and they [began|started] to work. [|<aside>]

    [It was hard work, but it was fun.|They worked all morning.|They measured, carried, and tied.] At last, the
    {thing} was ready. But when they tried it, {fail}. "<oh_no>" said {f}. "[All that work for nothing|Now what do
    we do|Should we give up]?"

    {h} <thought>. [{h.He} looked at the {thing} from every side.|{h.He} walked around the {thing} twice.] "I know
    what is wrong," {h.he} said. "{reason}." [So they|They did not give up. They] {fix}. Then they tried again.
    {result}.

    "[We did it!|It works!|Hooray!]" they <cried>. [<learned> [a mistake is the first step to something better|when
    something fails, you can find out why|it is worth trying again].|<close_pair>|<close_day>|{e} came to look and
    said, "[That is fine work|You should both be proud]."]
    """,
    (BUILDS,),
    needs=("f", "e:any"),
    weight=1.3,
    casts=("child", "child", "animal", "animal", "fairy"),
)

GOALS = table(
    "goal seen",
    """
the sea; It was bigger and bluer than anything in the stories, and the waves whispered on the sand
the top of the mountain; From there, the houses looked like toys and the river looked like a silver thread
the great waterfall; It roared like a lion, and a rainbow hung in its mist
the old lighthouse; Its lamp turned slowly and sent a golden beam far over the water
the end of the rainbow; There was no gold there, only a quiet meadow full of flowers, and that was even better
the garden of a thousand roses; There were red roses, white roses, and even roses as yellow as butter
the biggest tree in the world; It was so wide that ten friends could not reach around it
the city with the golden clock; When the clock struck twelve, little wooden birds came out and sang
the lake that never freezes; Warm steam rose from it, and white swans swam across the middle
the cave of crystals; The walls sparkled like a sky full of stars
the house of {h.his} grandmother; There was hot soup on the table and a soft bed by the fire
the valley of butterflies; There were so many wings that the whole valley seemed to move
""",
)
OBSTACLES = table(
    "obstacle1 solve1",
    """
a river with no bridge; They jumped from stone to stone until they reached the other side
a dark wood; They held on to each other and sang until they saw the light again
a steep hill; They climbed slowly and rested at every big rock
a muddy path; They laid branches on the ground and walked across them
a fork in the road; They asked a wise old crow, and the crow pointed to the left with its wing
a closed gate; They knocked politely, and a gatekeeper with a long beard let them through
a thick fog; They tied themselves together with a rope and followed the sound of a bell
a wall of thorns; They found a small tunnel and crawled under it
""",
)
OBSTACLES2 = table(
    "obstacle2 solve2",
    """
it began to rain; They waited under a big leaf until the rain was over
{f} was too tired to walk; {h} told a funny story, and soon {f} was laughing and walking again
they had nothing left to eat; A kind farmer gave them bread and cheese
the sun went down; They made a small fire and slept under the stars
they lost the map; They remembered that the sun sets in the west, and they found the way
a strong wind blew; They hid behind a rock until it was calm
an old woman asked for help with her heavy bag; They carried it for her, and she showed them a short way
""",
)
JOURNEY = Schema(
    "journey",
    """
    {h} had [always wanted|wanted for a long time|hoped all year] to see {goal}. {link} {h.he} packed [some bread|a
    little food], [a warm blanket|a bottle of water|a map], and {o.a}. "[May I come with you|Can I come too]?" asked
    {f.intro}. "<yes>," said {h}. "[A long road is shorter with a friend|It will be more fun together]." So they set
    off.

    [First|Soon|On the first day], they came to {obstacle1}. {solve1}. [Then|A little later|After that],
    {obstacle2}. {solve2}. "[Are we nearly there|Is it much farther]?" asked {f}. "[It cannot be far now|Just a
    little more]," <said> {h}.

    At last, they [arrived|saw it]. It was {goal}! {seen}. [{h} and {f} stood still and looked for a long time.|For
    a while, nobody said a word.|"It is even more beautiful than I dreamed," whispered {h}.]

    [When they came home, they told everyone about it.|They stayed until evening, and then they went home with many
    stories to tell.] [<learned> [the way there was as good as the place itself|every long journey begins with one
    small step|a friend makes every road shorter].|<close_pair>|{h} put a small stone from that place on the shelf
    and smiled each time {h.he} saw it.]
    """,
    (GOALS, OBSTACLES, OBSTACLES2),
    needs=("f", "o:treasure"),
    weight=1.3,
    casts=("child", "child", "animal", "animal", "fairy"),
)

STORM = Schema(
    "storm",
    """
    [One afternoon|One summer day|One autumn evening|One day], [dark clouds came over the hills|the sky turned
    grey|the wind grew strong]. <soon>, [big drops of rain began to fall|rain was beating on the roof]. There was a
    flash of lightning, and then a loud boom of thunder. {h} [hid under a blanket|jumped|ran inside|covered {h.his}
    ears]. {h.He} was <scared>.

    "[What was that|Is the sky angry|Will it ever stop]?" {h.he} asked. {e} sat down beside {h.him}. "It is only [a
    storm|the thunder]," {e.he} said. "[The rain gives water to the trees and the flowers|Thunder is just the sound
    that lightning makes|The clouds are heavy, and now they let their water go]. [Let us count the seconds between
    the light and the sound|Let us sing until it is over|Let us drink something warm and listen]."

    So they {together}. [One, two, three, boom! One, two, three, four, five, boom!|Slowly, {h} began to feel
    safe.|The thunder became softer and softer.] [The storm was moving away.|After some time, it was quiet outside.]
    Then the sun came out, and [a big rainbow stretched over the hills|a rainbow shone over the wet roofs|every leaf
    was shining].

    "[Look how beautiful it is|Without the rain, there would be no rainbow]," said {e}. {h} ran outside and [jumped
    in the puddles|took a deep breath of fresh air|looked up at the sky]. [The next time it thundered, {h} was not
    so scared.|<learned> [every storm comes to an end|things are less scary when you understand them].|{h} was not
    afraid of storms anymore.]
    """,
    (
        table(
            "together",
            """
sat by the window and counted
held hands and sang an old song
made hot chocolate and listened to the rain
lit a candle and told stories
built a little tent out of blankets
""",
        ),
    ),
    needs=("e",),
    link="state",
)

NOISES = table(
    "noise truth",
    """
scratching; a branch was moving in the wind and touching the window
tapping; drops of water were falling from the roof into a bucket
rustling; a little mouse was carrying leaves to its nest
squeaking; the old gate was swinging in the wind
humming; {e} was sewing in the next room and singing softly
knocking; a loose shutter was hitting the wall
whistling; the wind was blowing across an empty bottle
thumping; the cat was playing with a ball of wool
creaking; the old house was cooling down after the warm day
""",
)
NIGHT_FEAR = Schema(
    "night_fear",
    """
    But there was one thing that {h} did not like. {h.He} was afraid of the dark. {link} {h} was lying in bed when
    {h.he} heard a strange {noise} sound. [It came from the window.|It came from somewhere in the dark.|There it was
    again.] "[What could it be|Is it a monster|Who is there]?" {h.he} whispered. {h.He} pulled the blanket up to
    {h.his} [nose|chin|eyes].

    {h.His} heart was beating fast. [Then {h.he} called out, and {e} came with a small lamp.|Then {e} came in with a
    candle.] "[I heard something|There is something out there]," said {h}. "[Then let us find out what it is|Let us
    look together]," said {e}. {h} was <scared>, but {h.he} [held {e.his} hand|took a deep breath] and went along.

    They [looked and listened|walked on quiet feet|followed the sound]. And what did they find? It was no monster at
    all. It was only that {truth}. {h} began to laugh. "[That was all|So it was nothing bad]," {h.he} said. "[The
    dark hides things, but it does not change them|In the dark, small sounds seem big]," said {e}.

    {h} went back to bed. [Outside, the moon was shining like a lamp.|The stars looked in through the window.|The
    room felt safe and warm again.] [{h.He} listened to the {noise} sound, smiled, and fell asleep.|Soon {h.he} was
    fast asleep.|<from_then>, {h} was not afraid of the dark.]
    """,
    (NOISES,),
    casts=("child", "child", "child", "animal"),
    needs=("e",),
    link="night",
)

SECRETS = table(
    "secret1 secret2",
    """
{f} was hiding something behind {f.his} back; everyone stopped talking when {h} came in
{f} was too busy to play; {e} quickly closed the kitchen door
{f} ran away with a big box; {e} was whispering with the neighbors
there were colored ribbons on the floor; nobody wanted to say why
{f} only smiled and said nothing; the kitchen smelled of sugar
""",
)
SURPRISE = Schema(
    "surprise",
    """
    It was {h}'s birthday, but nobody [had said a word about it|seemed to remember it]. [In the morning|At
    breakfast], {h} waited and waited. [Nobody sang.|There was no cake.] {h} went to see {f.intro}, but {secret1}.
    Then {h.he} went back home, and {secret2}. "[They have all forgotten|Nobody remembers my birthday]," thought
    {h}, and {h.he} felt <sad>.

    {h} went {p.to} and sat down alone. [|<aside>] [||{h.He} threw little stones and watched them roll.|{h.He}
    looked at the clouds and sighed.] When the sun was low, {h.he} walked home slowly. The house was dark and quiet.
    [That is strange, {h.he} thought.|{h} opened the door.]

    "Surprise!" [shouted many voices|everyone shouted]. The lamps were lit, and there stood {f}, {e}, and all
    {h.his} friends. There were [paper stars|colored ribbons|bright balloons] on the walls and a big cake on the
    table. "[Happy birthday, {h}|We did not forget you, {h}]!" said {f}, and gave {h.him} {o.a}.

    {h} [laughed and cried at the same time|did not know what to say|was <happy>]. "[And I thought you had
    forgotten|This is the best birthday of my life]," {h.he} said. They [danced, sang, and ate cake|played games and
    told stories] until the moon was high. [<close_day>|<learned> good friends do not forget.|<close_pair>]
    """,
    (SECRETS,),
    needs=("f", "e", "p", "o:gift"),
    link="state",
)

DISHES = table(
    "dish missing none lender steps",
    """
vegetable soup; salt; There was no salt left; the fisherman; washed the carrots, cut the potatoes, and stirred the big pot
apple pie; sugar; The sugar jar was empty; the baker; peeled the apples, rolled out the dough, and put the pie in the oven
pancakes; eggs; There were no eggs; the farmer; mixed flour and milk, and turned each pancake in the air
bread; flour; There was no flour in the bag; the miller; mixed the dough, pushed it with both hands, and let it rise under a cloth
honey cookies; honey; The honey pot was empty; the beekeeper; cut out stars and moons and put them on a tray
cheese rolls; cheese; There was no cheese at all; the shepherd; made little round rolls and baked them until they were golden
berry jam; berries; There were no berries in the basket; the gardener; cooked the berries slowly and filled ten small jars
noodles; butter; There was no butter; the milkman; rolled the dough thin and cut it into long ribbons
rice pudding; milk; There was no milk; the farmer; stirred the pot slowly and added a little cinnamon
pumpkin soup; a pumpkin; There was no pumpkin; the gardener; cut everything into pieces and cooked it until it was soft
""",
)
COOKING = Schema(
    "cooking",
    """
    {link} {h} wanted to make {dish} for {e}. {h.He} [put on an apron|washed {h.his} hands] and [looked into the
    cupboard|took out the big bowl]. But something was missing. {none}! [|"What shall I do now?" said {h}.]

    So {h} went to {lender} and asked politely, "Please, could you help me? [I want to make {dish}, but I need
    {missing}.|I need {missing} to make {dish}.]" "[Of course|Gladly|With pleasure]," said {lender}. "But please
    [bring me a little when it is ready|save a little for me]." {h} promised and ran home.

    Then the work began. {h} {steps}. [{f.intro} came to help.|{f.intro} smelled it and came in to help.] <soon>,
    the whole house smelled [wonderful|so good]. [||There was flour on {h.his} nose, but {h.he} did not care.|The
    kitchen was warm, and the windows were full of steam.|{h} tasted a little and nodded.]

    When {e} came in, the table was ready. "[Did you make this all by yourself|What is that wonderful smell]?"
    {e.he} asked. "[{f} and {lender} helped me|I made {dish} for you]," <said> {h} <proudly>. Everyone ate until
    they were full, and {h} took the first plate to {lender}, just as {h.he} had promised. [<close_day>|<learned> [a
    meal tastes best when many hands help|a promise should be kept].|It was the best {dish} that anyone had ever
    tasted.]
    """,
    (
        DISHES,
        table(
            "proudly",
            """
proudly
happily
with a smile
with red cheeks
""",
        ),
    ),
    needs=("f", "e"),
)
MACROS["proudly"] = "{proudly}"

RACE = Schema(
    "race",
    """
    {link} there was a big race {p.in}. [Everyone in the village came to watch.|There were flags and music.] {h}
    wanted to win more than anything. {f.intro} wanted to win too. "[I am the fastest|Nobody can beat me]," said
    {f}. {h} said nothing. {h.He} had practiced every day.

    "Ready, steady, go!" [They ran past the trees and over the hill.|They all ran as fast as they could.|Dust flew
    up from the road.] At first, {f} was in front. [Then {h} came closer and closer.|{h} ran at a steady pace and
    did not give up.] [Just before the end|Near the finish line|At the last turn], {f} [fell over a root|slipped on
    the wet grass|stepped in a hole] and cried out.

    {h} could see the finish line. It would be so easy to win now! But {h.he} [stopped|turned around]. "[Are you
    hurt|Can you stand up]?" {h.he} asked. "[My foot hurts|I think I hurt my knee]," said {f}. {h} helped {f.him}
    up, and the two of them [went on slowly|walked to the finish line], side by side. [They came in last, but
    everyone cheered.|Others won the race, but the loudest cheer was for them.]

    "[You could have won! Why did you stop|Why did you turn around]?" asked {f}. "[A friend is better than a
    prize|Winning is not so much fun if a friend is hurt]," <said> {h}. [<close_pair>|<learned> being kind is better
    than being first.|{f} never [bragged|said that {f.he} was the best] again, and the two became good friends.]
    """,
    needs=("f", "p"),
)

SKILLS = table(
    "skill skilling fail1 tip success",
    """
swim; swimming; {h.he} swallowed water and had to cough; Move your arms slowly, and breathe; {h.he} swam all the way across the pond
whistle; whistling; only air came out; Make your mouth small and round; a clear, high note filled the air
ride a bicycle; riding; {h.he} fell into a bush; Look ahead, not at your feet; {h.he} rode down the road without falling
skate on the ice; skating; {h.he} slipped and sat down hard; Bend your knees a little; {h.he} glided over the ice like a swan
read; reading; the letters looked like little bugs; Say each sound, and then put the sounds together; {h.he} read a whole page out loud
bake bread; baking; the bread was as hard as a stone; Let the dough rest before you bake it; the bread came out soft and golden
juggle; juggling; all three balls fell on {h.his} head; Start with two balls, and add one later; three balls flew in a perfect circle
play the flute; playing; it sounded like a sick goose; Blow gently, as if you were cooling soup; a sweet little tune came out
paint a horse; painting; it looked like a potato with legs; Look at it for a long time before you begin; the horse looked ready to run off the page
tie a good knot; tying knots; the rope came loose at once; Over, under, and through; the knot held even when {h.he} pulled hard
dance; dancing; {h.he} stepped on everyone's feet; Listen to the drum, and let your feet follow; {h.he} danced the whole song without a mistake
climb a rope; climbing; {h.he} slid right back down; Hold the rope with your feet as well; {h.he} touched the very top
tell a story; telling stories; {h.he} forgot the ending; Close your eyes and see it like a picture; everyone listened until the last word
row a boat; rowing; the boat went around in circles; Pull both oars at the same time; the boat went straight across the lake
""",
)
LEARNING = Schema(
    "learning",
    """
    [There was one thing that {h} could not do.|{h} had a big wish.|All of {h.his} friends could do something that
    {h} could not.] {h.He} wanted to learn how to {skill}. {link} {h} tried it for the first time, but {fail1}.
    {h.He} tried again, and it was [no better|even worse]. "[I will never learn it|I cannot do it|It is too hard],"
    said {h}.

    {e} saw this and sat down next to {h.him}. "[Nobody can do it the first time|I could not do it at first
    either|Everyone falls before they fly]," said {e}. "[Here is a secret|Let me tell you a trick|Listen]. {tip}."
    {h} nodded. [The next day, {h.he} tried again.|So {h.he} got up and tried once more.] It was a little better.

    {h} practiced [every day|in the morning and in the evening|in the sun and in the rain]. [Some days went well,
    and some days did not.|Sometimes {h.he} wanted to give up, but {h.he} did not.|{h.He} made many mistakes, but
    each day there were fewer.] And then, [one day|at the end of the week|one morning], it happened: {success}! "[I
    can do it!|Look at me!|I did it!]" <cried> {h}.

    {e} clapped and [cheered|smiled]. "[I knew that you could do it|You did not give up]," {e.he} said. [<learned>
    [practice makes hard things easy|every master was once a beginner|you only fail when you stop
    trying].|<close_any>|Now {skilling} was {h}'s favorite thing in the world.]
    """,
    (SKILLS,),
    needs=("e:any",),
    weight=1.2,
    casts=("child", "child", "animal", "animal", "fairy"),
)

HOMING = table(
    "wander clue clue2",
    """
followed a blue butterfly; the smell of fresh bread; It must come from the bakery in the village
was picking berries and did not look up; the sound of a bell; That must be the bell of the school
chased a rolling ball; a little stream; The stream runs past my home
was looking for mushrooms; a line of smoke above the trees; Where there is smoke, there is a chimney
wanted to see where the path ended; small footprints in the mud; Those are my own footprints from this morning
followed the song of a bird; the light of the evening star; I was once told that it hangs above our roof
ran after a rabbit; the sound of the sea; If I walk along the shore, I will come to the harbor
was dreaming while walking; a row of white stones; I remember those stones from the way here
""",
)
WAY_HOME = Schema(
    "way_home",
    """
    {link} {h} went {p.to}. {h.He} {wander}, and went farther and farther. When {h.he} stopped and <looked_around>,
    nothing looked familiar. [The trees were tall and strange.|There was no path.|Everything was quiet.] "<oh_no>"
    said {h}. "I am lost."

    {h} [felt a tear on {h.his} cheek|was <scared>|wanted to run, but did not know where]. Then {h.he} remembered
    what {e} always said: "[When you are lost, stop, breathe, and think|If you lose your way, be calm and use your
    eyes and ears]." So {h} [sat down on a stone|took three deep breaths|stood very still]. And then {h.he} noticed
    something. It was {clue}. "{clue2}," said {h}.

    {h.He} [walked|went] that way, step by step. [The sky was turning orange.|It was getting late.|The shadows were
    growing long.] [{h.He} went around a pond and over a hill.|{h.He} climbed over a log and under a fence.] And
    there, at last, was {h.his} home, with a light in the window.

    {e} ran out and [hugged {h}|held {h} close]. "[I was so worried|I looked for you everywhere]," said {e}. "[I was
    lost, but I remembered your words|I got lost, but I stayed calm]," <said> {h}. [That night, {h.his} bed felt
    softer than ever.|<learned> a calm head finds the way.|"I am proud of you," said {e}, and they went inside for
    [supper|some warm soup].]
    """,
    (HOMING,),
    needs=("e", "p"),
)

MYSTERIES = table(
    "gone clue3 culprit excuse",
    """
the cookies on the window; a line of crumbs; some mice; Our children were so hungry
the left shoe by the door; small tooth marks on the step; a puppy; I only wanted something to play with
the carrots in the garden; holes in the ground; a young rabbit; I thought that they were for everyone
the wool from the basket; a long red thread; a robin; It is so soft, and my nest is so cold
the milk in the bowl; white footprints; a thin grey cat; I have not eaten for two days
the apples from the tree; a trail of apple seeds; a hedgehog; They fell on the ground, so I rolled them home
the shiny spoon from the table; a black feather; a crow; I love things that shine
the berries in the basket; purple spots on the grass; a small bear; They smelled so sweet that I could not stop
the socks on the clothes line; a sock hanging on a bush; a goat; They tasted a bit like hay
the hat on the chair; straw all the way to the barn; a hen; It is the best nest that I ever had
""",
)
MYSTERY = Schema(
    "mystery",
    """
    {link} something strange happened. {gone} [had disappeared|had vanished]! "[Who took|Who could have taken]
    {gone}?" asked {h}. "[Let us be detectives|We will solve this mystery]," said {f.intro}. So they began to look
    for clues.

    [First, they looked at the ground.|They looked high and low.|{h} took a magnifying glass, and {f} took a
    notebook.] "Look here!" said {f}. It was {clue3}. "[Now we only have to follow it|That is our first clue]," said
    {h}. [They followed it past the well and around the barn.|It led them across the yard and under a fence.|On
    quiet feet, they followed it.]

    And there, [behind a bush|behind a big stone|in a quiet corner], they found {culprit}. "[So it was you|We have
    found you]!" said {h}. {culprit.the} looked down. "I am sorry," said {culprit.the}. "{excuse}." {h} looked at
    {f}, and {f} looked at {h}. They were not angry anymore.

    "[You should have asked|Next time, please ask first]," said {h}. "[If you ask, we will gladly share|Friends ask,
    and friends share]." [So they found a way to share.|And so {culprit.the} gave back what was left, and they
    shared it.] The mystery was solved, and they had a new friend. [<close_pair>|<learned> it is good to ask before
    you take.|<learned> there is a reason behind everything, if you look for it.|<close_day>]
    """,
    (MYSTERIES,),
    needs=("f",),
    casts=("child",),
)

GIFT = Schema(
    "gift",
    """
    It was almost {e}'s birthday, and {h} wanted to give {e.him} [something special|a present]. {link} {h} went to
    the [market| shop] and looked at all the [beautiful|fine] things. But {h.he} had only [two small coins|one
    little coin|three coins]. "[That is not enough|Everything costs too much]," {h.he} thought, and {h.he} walked
    home with empty hands.

    On the way, {h.he} met {f.intro}. "[Why do you look so sad|What is the matter]?" asked {f}. "I cannot buy a
    present," said {h}. {f} <smiled>. "[Then make one|You do not have to buy one]," {f.he} said. "[A thing made with
    love is worth more than gold|The best gifts are made by hand]."

    So {h} sat down and began to work. [It took three evenings.|It was not easy.|{h.He} worked until late.] [It was
    a little crooked, but it was made with love.|One corner was not straight, but the colors were bright.|When it
    was done, {h.he} was <proud>.] It was {o.a}.

    On the birthday, {h} gave it to {e}. [It was quiet for a moment.|{h.His} heart was beating fast.] Then {e}
    [smiled with wet eyes|hugged {h}|held it up to the light]. "[This is the most beautiful present of all|I will
    keep it forever]," {e.he} said. [<learned> a gift does not have to be big to be great.|And {e} used it every
    single day.|<close_any>]
    """,
    needs=("f", "e", "o:gift"),
    casts=("child", "child", "animal", "animal", "adult"),
)

SNOW = Schema(
    "snow",
    """
    [One winter morning|One cold morning|On the first day of winter], {h} woke up and looked outside. Everything was
    white! Snow [covered the roofs and the trees|lay on every branch]. "[It snowed!|Snow! Snow!]" <cried> {h}.
    {h.He} [put on a warm scarf|grabbed {h.his} mittens] and ran to get {f.intro}.

    They [made round snowballs|slid down the hill|left long lines of footprints]. Then {f} said, "Let us make a
    {figure}." They rolled [one big ball and one small ball|the snow into big, heavy balls] and put them together.
    They used {eyes} for the eyes and {nose} for the nose. [{h} put {h.his} own scarf around its neck.|It wore an
    old hat and looked very funny.]

    [Their fingers were cold, but their hearts were warm.|They laughed so much that their faces hurt.] When [the sky
    grew dark|their feet were cold], {e} called them in. There was [hot chocolate|warm soup|hot tea with honey] on
    the table. They sat by the fire and looked out at the {figure}. "[Is it not too cold out there|Will it stay
    forever]?" asked {f}. "[It likes the cold, and it will stay until the spring|It will be there until the spring
    comes]," <said> {e}.

    [Weeks later, the sun melted the {figure}, but {h} was not sad. "Next winter, it will come back," {h.he}
    said.|That night, it snowed again, and the {figure} got a new white coat.|<close_day>|<close_pair>]
    """,
    (
        table(
            "figure eyes nose",
            """
snowman; two black stones; a long carrot
snow bear; two dark buttons; a round potato
snow queen; two blue marbles; a small red apple
snow cat; two green leaves; a brown nut
snow owl; two shiny coins; a yellow leaf
""",
        ),
    ),
    needs=("f", "e"),
    link="state",
)

MARKET = Schema(
    "market",
    """
    {link} {e} gave {h} three coins and said, "[Please go to the market and buy|Run to the market and bring me]
    {buy}." {h} took the basket and set off. [|<aside>] [The market was full of people and voices.|The market was
    full of colors and smells.|There were red apples, fresh bread, and golden honey.|There were baskets of fruit and
    rolls of cloth.]

    At the gate sat {poor}. {h} stopped. {h.He} thought of {e}, who was waiting for {buy}. Then {h.he} [gave one of
    the coins away|took one coin and gave it away]. "[Thank you, kind one|You have a good heart]," said a soft
    voice.

    But {buy} cost three coins. {h} counted again. "I have only two," {h.he} said [quietly|sadly]. {n} smiled. "I
    saw what you did at the gate," {n.he} said. "[For someone like you, two coins are enough|A kind heart is worth
    one coin]." And {n.he} gave {h.him} {buy}[, with a ripe plum on top|].

    {h} ran home and told {e} everything. {e} [nodded slowly|kissed {h} on the cheek]. "[You did the right
    thing|Kindness always finds its way back]," {e.he} said. [<learned> what you give away comes back to
    you.|<close_day>|<close_any>]
    """,
    (
        table(
            "buy",
            """
a loaf of bread
a piece of cheese
a jar of honey
a bag of flour
a basket of eggs
a bunch of carrots
a pound of butter
a bag of apples
""",
        ),
        table(
            "poor",
            """
an old man who had no shoes
a young mother with a hungry child
a musician with an empty hat
an old woman in a thin coat
a boy who had lost his money
a tired traveler
""",
        ),
    ),
    needs=("e", "n"),
    casts=("child",),
)

QUARREL = Schema(
    "quarrel",
    """
    {h} and {f.intro} [did everything together|were good friends]. {link} they found {o.a} {p.in}. "[It is mine!|I
    saw it first!]" said {h}. "[No, it is mine!|No, I saw it first!]" said {f}. They both pulled. [They pulled
    harder and harder.|Neither of them let go.] Then [{h} said something unkind|{f} shouted|both of them turned
    their backs], and {f} went away.

    {h} kept {o.the}, but [it was no fun to play alone|playing with it was boring]. [{h.He} looked at the path, but
    nobody came.|The afternoon was long and quiet.] {f} sat at home and felt <sad> too. {e} saw {h}'s face and asked
    what was wrong. {h} told {e.him} the whole story. "[What is worth more, the {o.n} or your friend|Would you
    rather have a {o.n} or a friend]?" asked {e}.

    {h} [did not have to think for long|knew the answer]. {h.He} ran to {f}. "I am sorry," {h.he} said. "You can
    have {o.the}." "I am sorry too," said {f}. "[Let us take turns|We can share it]. [You can have it today, and I
    will have it tomorrow|You can have it in the morning, and I will have it in the afternoon|One day it is yours,
    and one day it is mine]."

    [And so they did.|That worked very well.] [<learned> no toy is worth more than a friend.|After that, they often
    laughed about the silly quarrel.|<close_pair>|Most of the time, they played with it together anyway.]
    """,
    needs=("f", "e", "p", "o:toy"),
)

CLOUD_HEROES = table(
    "thing2 where2 wish problem turn",
    """
cloud; in the wide blue sky; be useful; It was so small that nobody looked at it; One hot day, a field of thirsty flowers called for help. The little cloud took a deep breath and let all its rain fall. The flowers lifted their heads
star; near the edge of the night; shine for someone; The other stars were much brighter; One night, a sailor lost his way at sea. Clouds hid all the big stars, and only the little star could be seen. The sailor followed its light all the way home
snowflake; high up in a cold cloud; see the world; It was afraid of falling; One morning, a gentle wind said that it was time to go. The snowflake danced down through the air and landed on the nose of a laughing child
raindrop; in a big grey cloud; find a home; It did not know where to go; One day, it fell from the sky, ran down a leaf, and rolled into a stream. The stream carried it to the sea, where a million drops were waiting
candle; on a dusty shelf; give light; Nobody had lit it for years; One night, the wind blew out all the lamps in the house. A child found the candle and lit it, and the whole room became warm and bright
leaf; at the top of a tall tree; fly like a bird; It was tied to its branch; When autumn came, it turned red and gold. Then the wind picked it up, and it flew over the roofs, all the way to the river
lighthouse; on a lonely rock; have a friend; Only the waves came to visit; One stormy night, a boat came out of the dark, and the lighthouse showed it the way. The captain came back every Sunday with his children
clock; in a quiet hall; hear people laugh; Everyone just looked at it and hurried on; One day, it stopped. Then the family sat down, forgot the time, and laughed all evening. The clock was so happy that it began to tick again
boat; in a small harbor; see the open sea; It was old, and its paint was gone; One spring, a girl with a brush painted it bright blue and gave it a new sail. The next morning, they sailed out together
bell; in an old tower; ring again; Its rope had broken long ago; One night, a boy saw smoke above the mill. He climbed the tower and pushed the bell with both hands. It rang so loudly that everyone woke up and saved the mill
umbrella; in a dark corner; feel the rain; It had been forgotten since the summer; One autumn day, big drops began to fall. A small hand took the umbrella and opened it wide, and together they walked through the rain
teapot; at the back of a cupboard; be filled with tea; It had a crack near the top; One winter evening, many guests came to the house, and every other pot was in use. The little teapot was filled with hot tea, and it did not lose a single drop
pencil; in an old school desk; draw something beautiful; It was short and had been chewed at one end; One day, a quiet boy needed a pencil. With it, he drew his whole family, and the picture hung on the wall for years
street lamp; at the end of a quiet road; be noticed; Nobody ever looked up at it; One foggy evening, a lost puppy sat down under its light and waited there. That is how its family found it
""",
)
THING_HERO = Schema(
    "thing_hero",
    """
    [Once upon a time,|Once upon a time,|Long ago,|Once,] there was a little {thing2} {where2}. [Its greatest wish
    was|More than anything, it wanted] to {wish}. But there was a problem. {problem}. "[I am too small|Nobody needs
    me|I am not good enough]," [the {thing2} thought|sighed the {thing2}].

    ["Be patient," said {wise}. "Your day will come."|{wise} heard this. "Everyone is needed one day," said
    {wise}.|Every day, {wise} came by and said, "Do not give up hope."] [The {thing2} wanted to believe it.|The
    {thing2} was not so sure, but it waited.|So the {thing2} waited, and the days went by.]

    {turn}. [Now the {thing2} was full of joy.|The little {thing2} had never been so happy.|At last, its wish had
    come true.]

    ["Even the smallest one can do something great," said {wise}.|"I told you so," said {wise}.] [And from that day
    on, the {thing2} never [felt small|felt lonely|doubted itself] again.|It is still there today, and if you look
    closely, you can see it smile.|And that is how the little {thing2} learned that everyone has a place in the
    world.]
    """,
    (
        CLOUD_HEROES,
        table(
            "wise",
            """
the moon
the wind
the old owl
the friendly spider

the sun
the grey mouse
the old crow
""",
        ),
    ),
    link="none",
    weight=1.4,
)

WISHES = table(
    "finds giver wish1 trouble back",
    """
a dusty lamp; a blue spirit; that everything {h.he} touched would turn into cake; Soon the chair was cake, the bed was cake, and even the door was cake; wished for everything to be normal again
a golden fish; the fish; to be as tall as a tree; But {h.his} house was too small now, and the birds were afraid of {h.him}; asked to be small again
an old silver ring; a tiny fairy; that it would always be summer; But the flowers became dry, and nobody could play in the snow; asked for the autumn to come back
a white stone that glowed; a voice from the stone; that {h.he} could fly; But the clouds were cold, and {h.his} friends could not come along; wished to stand on the ground again
a little green bottle; a cloud of green smoke; to have more toys than anyone; Soon there was no room to sit, and no one to play with; gave the toys to all the children in the village
a magic feather; an old wizard; that everyone would do what {h.he} said; But when nobody says no, nobody is a real friend; asked for the spell to be broken
a singing shell; a mermaid; that the day would never end; But everyone grew tired, and the stars could not come out; wished for the night to return
""",
)
WISH = Schema(
    "wish",
    """
    {link} {h} was walking {p.in} when {h.he} found {finds}. [It was half hidden in the grass.|It was shining in the
    sun.] When {h} picked it up, {giver} spoke to {h.him}. "[You may make one wish|I will give you one wish]," said
    {giver.the}. "[But think before you speak|Choose it well]."

    {h} did not think for long. {h.He} wished {wish1}. [Whoosh!|There was a bright light.|The wind blew three
    times.] And the wish came true! At first, it was [wonderful|great fun]. {h} [laughed and danced|could not
    believe {h.his} luck]. {trouble}. {h} felt <sad>.

    "[What have I done|This is not what I wanted]," said {h}. {h.He} went back and called, "[Please help me|Please,
    I made a mistake]!" And {giver.the} came again. "[Have you learned something|What do you want now]?" asked
    {giver.the}. {h} nodded and {back}.

    [In the blink of an eye|At once], everything was [right|good] again. {h} ran home [to {e}|and hugged {e}].
    [<learned> [a small, happy life is better than a big wish|it is wise to think before you wish|what you have can
    be better than what you want].|{h} looked at {h.his} old bed, {h.his} old toys, and {h.his} own two feet, and
    was <happy>.|<close_any>]
    """,
    (WISHES,),
    needs=("e", "p"),
    casts=("child", "child", "adult"),
)

DRAGONS = table(
    "dproblem daid dresult",
    """
it had a thorn in its foot; pulled out the thorn with both hands; sighed and stopped roaring
it had a bad cough and could not stop spitting fire; made a big pot of honey tea; drank it all, and the cough was gone
it was lonely and did not know how to make friends; sat down and told it a story; listened and began to smile
it could not sleep because of the cold wind; sewed a huge blanket out of old sails; fell asleep with a happy sigh
it had lost its egg; searched until the egg was found behind the waterfall; cried tears of joy
it was hungry and ate only soup; brought a wagon full of vegetables; cooked soup for the whole village with its own fire
it had something in its eye; washed the eye with clean water; blinked and could see again
""",
)
DRAGON = Schema(
    "dragon",
    """
    {link} everyone was afraid, because a dragon had come to [the mountain|the hills|the old tower]. [At night, it
    roared so loudly that nobody could sleep.|Smoke rose into the sky.|The ground shook when it walked.] "[We must
    chase it away|Somebody must fight it]," said the people. But nobody was brave enough to go.

    "[I will talk to it|Maybe it only needs help|I will go and ask what it wants]," said {h}. [Everyone shook their
    heads.|The people were surprised.] {h} climbed up the stony path. {h.His} knees were shaking, but {h.he} did not
    stop. There lay the dragon, as big as a house. "[Who are you|Why are you not afraid of me]?" it asked. "[I am
    {h}|My name is {h}]," said {h}. "[Why do you roar|What is wrong]?"

    The dragon looked [surprised|sad]. Nobody had ever asked it that. Then it told {h} that {dproblem}. "[I can help
    you|Let me help you]," said {h}. {h.He} {daid}. The dragon {dresult}. "[Thank you, little friend|You are the
    bravest person I have met]," said the dragon.

    Together, they went down to the village. [|At first, the people were scared, but soon the children were riding
    on the dragon's back.|When the people heard the story, they were ashamed, and then they cheered.] [<from_then>,
    the dragon [lit the lamps in the streets|kept the village warm in winter|watched over the village].|<learned> a
    kind question can be stronger than a sword.|And they all lived happily ever after.]
    """,
    (DRAGONS,),
    casts=("child", "fairy"),
    weight=1.2,
)

PET_TALE = Schema(
    "pet",
    """
    {link} {e} came home with a [box|basket]. Something inside was moving. "[Open it|Look inside]," said {e}. {h}
    lifted the lid and saw {pet}. "[Is it really for me|Can we keep it]?" asked {h}. "Yes, but you must take good
    care of it," said {e}. {h} [promised| nodded many times] and called it {petname}.

    But {petname} was not easy. On the first day, it {mess1}. On the second day, it {mess2}. {h} [was tired|did not
    know what to do|sighed]. "[It does not listen to me|Why does it do that]?" asked {h}. "[It is little, and it has
    to learn|It does not know our house yet]," said {e}. "[Be gentle, and teach it one thing at a time|Be patient,
    and it will trust you]."

    So {h} taught {petname} a little every day. [{h.He} never shouted.|When it did something right, {h} gave it a
    treat.|{h} fed it, brushed it, and played with it.] Slowly, {petname} learned. [It learned to come when {h}
    called.|It learned where to sleep and where to play.] And when {h} was sad one day, {petname} came, sat down,
    and {comfort}.

    [Then {h} knew that {petname} was a true friend.|"You are the best pet in the world," said {h}.]
    [<close_any>|<from_then>, the two of them were always together.|<learned> love and patience go together.]
    """,
    (
        table(
            "pet petname comfort",
            """
a brown puppy; Biscuit; put its head on {h.his} knee
a grey kitten; Smoky; purred until {h} smiled
a spotted puppy; Dots; licked {h.his} hand
a white rabbit; Cotton; sat very close
a small black cat; Ink; curled up in {h.his} lap
a fluffy yellow duckling; Sunny; quacked softly
a little goat; Bells; rubbed its nose on {h.his} arm
""",
        ),
        table(
            "mess1 mess2",
            """
chewed on a shoe; ran away with a sock
knocked over a cup of milk; slept on the clean clothes
hid under the bed and would not come out; jumped onto the table
ate the flowers in the vase; pulled down the curtain
made a puddle on the rug; dug a hole in the garden
woke everyone at four in the morning; ate {h}'s breakfast
""",
        ),
    ),
    casts=("child",),
    needs=("e",),
)

REPAIR = Schema(
    "repair",
    """
    {link} {h}'s favorite toy broke. It was {o.a}, and [now it did not work anymore|one part had come off]. "[I
    should throw it away|It is no good now]," {h} thought [sadly|with a sigh]. But {f.intro} [shook {f.his} head|had
    another idea]. "[Many broken things can be fixed|Do not throw it away]," {f.he} said. "Let us ask {n}."

    So they went to see {n}. [The workshop was full of tools.|{n} put on {n.his} glasses.] "[Let me see|Let me have
    a look at it]," said {n}. "Hmm. [A small part is loose|This piece is bent|One screw is missing]. I can show you
    how to fix it, but you must do it yourself." {h} was [surprised|a little nervous], but {h.he} [nodded|rolled up
    {h.his} sleeves].

    {n} [showed {h} how to hold the tools|explained each step]. {h} worked slowly, and {f} held the lamp. [Once,
    {h.he} made a mistake and had to start again.|It took a long time.|{h.His} hands were not quite steady.] And
    then, [with a little click|at last], {o.the} was [as good as new|whole again].

    "[You have clever hands|Well done]," said {n}. {h} [thanked {n} and ran outside to play|was <proud>]. [<learned>
    it is better to mend a thing than to throw it away.|<from_then>, whenever something broke, {h} tried to fix it
    first.|<close_pair>|<close_day>]
    """,
    needs=("f", "n:maker", "o:machine"),
)

TEAMWORK = Schema(
    "teamwork",
    """
    {link} {h} found {heavy}. {h.He} wanted to {movewhy}. {h.He} pulled and pulled, but it did not move. [{h.He}
    pushed from the other side.|{h.He} tried with a stick.] It still did not move. "[It is too heavy for me|I am not
    strong enough]," said {h}, and sat down.

    [Then|After a while,] {f.intro} came by. "I will help you," said {f}. They pulled together, but it moved only a
    little. Then {helper1} came and pulled too. It moved a bit more. Last of all came {helper2}. Everyone laughed.
    "[You are much too small!|How could you help us?]" they said. "[Every little bit helps|Let me try]," said
    {helper2b}.

    So they all pulled at the same time. "One, two, three!" <cried> {h}. [And then, with a loud pop,|And then, all
    at once,] it moved! [Everyone fell over backward and laughed.|They fell on top of each other in a big heap.]
    "[The smallest one made the difference|We needed every one of us]," said {h}.

    Together, they {movedone}. [<learned> many small hands can do a great thing.|<learned> together we are
    strong.|And nobody ever laughed at {helper2b} again.|<close_day>]
    """,
    (
        table(
            "heavy movewhy movedone",
            """
a huge turnip in the garden; pull it out of the ground; made soup for everyone
a big log on the path; clear the way; rolled the log away and made a bench out of it
a wagon stuck in the mud; get it back on the road; pushed the wagon home, singing all the way
an old boat on the sand; bring it back to the water; pushed it into the waves and went for a ride
a large pumpkin in the field; bring it to the fair; brought it to the fair and won first prize
a round stone in front of the well; open the well again; drank the cool, clear water
a heavy chest under a tree; see what was inside; opened it and found old books full of stories
""",
        ),
        table(
            "helper1 helper2 helper2b",
            """
a strong dog; a tiny ant; the ant
a brown goat; a little mouse; the mouse
a fat pig; a small ladybug; the ladybug
the neighbor's donkey; a young sparrow; the sparrow
a gray goose; a green frog; the frog
a woolly sheep; a small beetle; the beetle
""",
        ),
    ),
    needs=("f",),
)

KINDNESS = Schema(
    "kindness",
    """
    {link} {h} set out to {errand}. On the way, {h.he} met {k1}. "Please help me," it said. "{k1need}." {h} was in a
    hurry, but {h.he} stopped and {k1help}. A little later, {h.he} met {k2}. "Please help me," it said. "{k2need}."
    So {h} {k2help}. "[I will remember you|Thank you, friend]," it said.

    {h} walked on. But then {h.he} came to a wide river. There was no bridge, and the water was [deep|fast|cold].
    "[How will I get across|Now I will be too late]," said {h} with a sigh.

    Suddenly, {h.he} heard a voice. It was {k1.the}! "[You helped me, and now I will help you|It is my turn to
    help]," it said. {k2.the} came too. They [pulled branches and stones together|pushed an old log across the
    water] until there was a bridge. {h} [could not believe {h.his} eyes|laughed with joy] and walked across.

    So {h} was able to {errand} after all. [<learned> [kindness comes back like an echo|those who help others are
    never alone].|"[A good deed is never lost|It is always worth stopping to help]," {h} said later.|<close_any>]
    """,
    (
        table(
            "errand",
            """
bring soup to {h.his} sick grandmother
bring a letter to the next village
visit a friend on the other side of the valley
get medicine for {h.his} little brother
bring flowers to {h.his} aunt
take a lost sheep back to its farm
""",
        ),
        table(
            "k1 k1need k1help",
            """
a beaver; my tail is stuck under a stone; lifted the stone
an ant; the wind blew my house away; built a little wall of sand
a mole; I have lost my glasses; found the glasses in the grass
a squirrel; my nuts have rolled down the hill; picked up every single nut
a hedgehog; there is an apple stuck on my back; took the apple off
""",
        ),
        table(
            "k2 k2need k2help",
            """
a goose; I am thirsty, and I cannot reach the well; filled a bowl with water
a deer; my horns are caught in a bush; bent the branches aside
a badger; there is a thorn in my paw; pulled it out gently
a donkey; my bag has fallen down; tied it on again
an otter; a net is wrapped around my foot; cut the net with care
""",
        ),
    ),
    casts=("child", "child", "animal", "animal", "fairy"),
)

MUSIC = Schema(
    "music",
    """
    {h} had {o.a}. {h.He} played it every day, but {h.he} was too shy to play in front of others. {link} {h} went
    {p.to}, where nobody could hear. [|<aside>] {h.He} closed {h.his} eyes and played [a slow, sweet song|a happy
    little tune|a song about the sea].

    But somebody was listening. {f.intro} stood [behind a tree|on the path] and did not make a sound. When the song
    was over, {f} clapped. "[That was beautiful|I have never heard anything so lovely]," said {f}. {h}'s face turned
    red. "[There is a festival on Sunday|The village is having a party tomorrow]. You must play there!"

    {h} was <scared>. [That night, {h.he} could not sleep.|{h.His} stomach felt full of butterflies.] But {f} said,
    "[Just look at me and play as you did for the birds|Close your eyes and think of the trees]." So {h} stepped in
    front of the crowd. Then {h.he} closed {h.his} eyes and began to play.

    The music [floated over the roofs|filled the whole square]. [Old people smiled, and children began to
    dance.|Even the dogs stopped barking to listen.] When it was over, everyone clapped and cheered. [<learned> a
    gift grows when you share it.|<from_then>, {h} was not shy about {h.his} music anymore.|<close_pair>|{e} was
    very proud.]
    """,
    needs=("f", "e", "p", "o:instrument"),
    casts=("child", "child", "animal", "animal", "fairy"),
)

CRAFT = Schema(
    "craft",
    """
    {h} worked hard every day, and everyone liked {h.his} work. But {h} had one trouble: {craftproblem}. {link} [a
    stranger|an old woman|a traveler] came to the door. It was raining, and the visitor had [no coat|wet
    feet|nothing to eat]. "[Come in and sit by the fire|Please come in and rest]," said {h}. {h.He} gave the visitor
    [warm soup|bread and cheese|hot tea] and a place to sleep.

    In the morning, the visitor was gone. But on the table lay {o.a} and a note. "[Use it well|Kindness should be
    repaid]," it said. {h} did not know what it meant, but {h.he} put {o.the} on the shelf and went to work. And
    from that hour on, {craftluck}.

    Soon people came from [near and far|the next village and the next]. {h} could have become rich, but {h.he} [kept
    {h.his} prices low|shared with those who had little]. And each winter, {h} left a lamp in the window, so that
    every [stranger|traveler] would know [where to knock|that the door was open].

    [Years later, people still told the story of {h} the {h.kind}.|Some say that the visitor was magic. {h} only
    smiled and said that it was kindness.|And {o.the} stayed on the shelf, shining in the light of the
    fire.|<close_any>]
    """,
    (
        table(
            "craftproblem craftluck",
            """
there were too few customers; the bell above the door did not stop ringing
{h.his} hands were often tired; the work went twice as fast, and it was a joy
there was never enough money for the winter; there was always one more coin in the jar than {h.he} expected
nobody came to talk to {h.him}; there was always someone at the door with a story to tell
{h.he} had no more new ideas; every morning brought a new idea, each one better than the last
""",
        ),
    ),
    casts=("adult",),
    needs=("o:treasure",),
)

DAY = Schema(
    "day",
    """
    {link} {h} did not know what to do. "[I am bored|There is nothing to do]," {h.he} said. {e} <smiled>. "[Go
    outside and find three wonderful things|Every day hides three small wonders. Go and find them]," {e.he} said. So
    {h} went {p.to}.

    [|{h} <looked_around>.] Soon {h.he} saw the first one: {won1}. A little farther on, {h.he} found the second one:
    {won2}. But the third one was not easy to find.

    Just then, {f.intro} came along. "What are you looking for?" asked {f}. "[I need one more wonderful thing|I have
    to find something wonderful]," said {h}. So they searched together, and they talked and laughed the whole
    time.[| Soon the sky was pink and gold.]

    When {h} came home, {e} asked, "What did you find?" {h} told {e.him} about {won1b} and {won2b}. "And the third?"
    asked {e}. {h} thought of {f} and smiled. "[The third one was a friend|I found someone to look with me]," {h.he}
    said. [<close_day>|"That is the best one of all," said {e}.]
    """,
    (
        table(
            "won1 won1b",
            """
a spider web full of shining drops; the web
a snail carrying its house up a wall; the snail
a blue egg in a hidden nest; the egg
a line of ants carrying a leaf; the ants
a stone that looked like a sleeping cat; the stone
""",
        ),
        table(
            "won2 won2b",
            """
a feather with three colors; the feather
a tree with a heart cut into its bark; the tree
a cloud shaped like a whale; the cloud
a frog that could jump over a log; the frog
a flower growing out of a crack in the wall; the flower
""",
        ),
    ),
    needs=("e:any", "f", "p"),
    casts=("child", "child", "animal", "animal", "fairy"),
)

STARS = Schema(
    "stars",
    """
    {link} {h} could not sleep. {h.He} [got up and looked out of the window|went outside in {h.his} slippers]. The
    sky was full of stars. {e} was sitting [on the step|on the bench] in front of the house. "[Come and sit with
    me|If you cannot sleep, come and look at the stars]," said {e}.

    {h} leaned against {e.him} and looked up. "[How many stars are there|Can anyone count them]?" asked {h}. "[More
    than all the grains of sand on the beach|More than anyone can count]," said {e}. "[Do you see those seven|Look
    at those bright ones]? They look like {shape}. Long ago, {people} used them to find their way."

    {h} looked until {h.he} could see it too. [Then a star fell across the sky.|A star fell, quick and bright.]
    "[Make a wish|Quick, make a wish]," whispered {e}. {h} closed {h.his} eyes. "[What did you wish for|Was it a
    good wish]?" asked {e}. "[It is a secret|If I tell you, it will not come true]," <said> {h}.

    They sat there for a long time. [An owl called in the dark.|The grass smelled sweet.|The night was warm and
    still.] At last, {h}'s eyes closed, and {e} carried {h.him} back to bed. [{h.He} dreamed that {h.he} was flying
    from star to star.|And the stars kept shining above the quiet house.|In the morning, {h} still remembered
    {shape} in the sky.]
    """,
    (
        table(
            "shape",
            """
a big spoon
a bear
a kite with a long tail
a swan
a hunter with a belt
a crown
a little horse
""",
        ),
        table(
            "people",
            """
sailors
shepherds
travelers
fishermen
""",
        ),
    ),
    needs=("e",),
    link="night",
    casts=("child", "child", "animal"),
)

GRUMPY = Schema(
    "grumpy",
    """
    At the end of the road lived {grump}, who never smiled. [Nobody liked to go near that house.|The children always
    ran past the gate.] {link} {h}'s {o.n} [rolled|flew|fell] over the fence and landed in the garden. "<oh_no>"
    said {f.intro}. "[We will never get it back|Now it is gone forever]."

    But {h} went to the door and knocked. [|{h.His} heart was beating fast.] The door opened. "What do you want?"
    [asked a deep voice|said a rough voice]. "[Excuse me, please|I am sorry]," said {h}. "My {o.n} is in your
    garden." {grump} looked at {h} for a long time. "Nobody has knocked on my door for years. Come in."

    Inside, it was [quiet and dusty|dark, but warm]. On the wall hung [pictures of a happy family|a picture of a
    young sailor|an old guitar]. "[Do you live here all alone|Are you never lonely]?" asked {h}. {grump} nodded.
    "[Everyone thinks that I am angry, but I am only sad|I forgot how to laugh, and it is hard to begin again],"
    said {grump}.

    The next day, {h} and {f} came back with [a cake|fresh bread|flowers]. They [swept the floor|sat in the kitchen]
    and told jokes until {grump} laughed out loud. [<from_then>, the gate was always open.|<learned> a grumpy face
    can hide a lonely heart.|And {grump} told the best stories in the whole village.]
    """,
    (
        table(
            "grump",
            """
old Mr. Gray
old Mrs. Thorn
old Mr. Winter
old Mrs. Flint
old Mr. Stone
old Mrs. Crane
old Captain Barrow
""",
        ),
    ),
    needs=("f", "o:toy"),
    casts=("child",),
)

BRAVE_SMALL = Schema(
    "brave_small",
    """
    {h} was the smallest of all {h.his} friends. [When they played, {h} could not reach the high branches.|They
    often forgot to wait for {h.him}.] "[I wish I were big|If only I were bigger]," {h.he} often said.

    {link} all the friends were playing {p.in} when {f.intro} began to cry. {f.His} {o.n} had fallen into a [narrow
    hole|crack between two rocks|hollow log]. [The others tried to reach it.|Everyone tried.] But their arms were
    too [big|thick], and the opening was too small. "[Nobody can reach it|It is lost forever]," said {f}.

    "Let me try," said {h}. [It was dark in there, and {h} was <scared>.|{h.He} took a deep breath.] {h.He}
    [squeezed through the opening|crawled inside], a little bit at a time. [It was cold, and it smelled of
    earth.|Something tickled {h.his} nose.] And then {h.he} felt something. It was {o.the}! {h} came out again with
    dust on {h.his} face and {o.the} in {h.his} hands.

    Everyone cheered. "[You are small, but you are brave|None of us could do that]," said {f}. {h} [stood up very
    straight|smiled from ear to ear]. [<from_then>, {h} never wished to be bigger.|<learned> being small can be a
    great thing.|<close_any>|After that, they always waited for {h.him}.]
    """,
    needs=("f", "p", "o:treasure"),
)

BOAST = Schema(
    "boast",
    """
    {h} was good at many things, and {h.he} knew it. "[I am the best at {boast}|Nobody is better at {boast} than I
    am]," {h.he} told everyone. [The others were tired of hearing it.|Soon nobody wanted to listen anymore.]

    {link} {f.intro} came to ask for help. "[Could you show me {boasthow}|Would you teach me {boasthow}]?" asked
    {f}. "[You will never be as good as I am|That is much too hard for you]," said {h}, and laughed. {f} went away
    without a word. [But {f} practiced quietly every day.|But every evening, {f} practiced alone.]

    Some time later, there was a contest. {h} did not practice at all. [{h.He} was sure that {h.he} would
    win.|{h.He} lay in the sun all week.] When the day came, {h} was [careless|too sure of {h.self}] and made [one
    mistake after another|many mistakes]. Then it was {f}'s turn. {f} was calm and careful, and did everything
    right. The prize went to {f}.

    {h} [turned red|looked at the ground]. Then {h.he} walked over to {f}. "[You earned it|You were better than I
    was]," {h.he} said. "[I am sorry that I laughed|I should have helped you]." {f} <smiled>. "[Let us practice
    together|Come and practice with me tomorrow]," {f.he} said. [<learned> proud words do not win a
    prize.|<from_then>, {h} talked less and practiced more.|<close_pair>]
    """,
    (
        table(
            "boast boasthow",
            """
running; how to run fast
singing; how to sing
jumping; how to jump high
painting; how to paint
dancing; how to dance
climbing; how to climb
baking; how to bake
swimming; how to swim
telling stories; how to tell a good story
""",
        ),
    ),
    needs=("f",),
)

LETTER = Schema(
    "letter",
    """
    {link} {h} found a [letter|bottle with a letter in it] {p.in}. It was [wet|dusty] and very old. "[To whoever
    finds this|Dear finder]," it said. "{message}." {h} read it [twice|three times]. Then {h.he} ran to show it to
    {f.intro}. "[We must do what it says|What an adventure]," said {f}.

    So the two of them set out. [They walked past the last houses.|They packed some bread and left at once.]
    [|<aside>] The letter told them to go {steps2}. [It was a long way.|More than once, they thought that they were
    lost.] "[There it is!|This must be the place!]" <cried> {f} at last.

    They found {lfound}. [{h} and {f} looked at each other.|For a moment, they were silent.] "[I wonder who wrote
    it|I wonder who left it here]," said {h}. "[Somebody who wanted to make a stranger happy|Somebody with a good
    heart]," <said> {f}.

    Before they went home, they [wrote a new letter|took a pencil and wrote a letter of their own]. They put it
    [into the bottle|in a safe place], so that one day somebody else would find it.
    [<close_pair>|<close_day>|<learned> the best secrets are the ones you pass on.]
    """,
    (
        table(
            "message lfound",
            """
I have hidden something sweet for you; a jar of golden honey with a blue ribbon
Look for the tree with two trunks; a swing with a beautiful view over the valley
The best view in the world is waiting for you; a bench at the top of the hill, and below it the whole wide land
I planted something here when I was a child; a tall cherry tree full of ripe cherries
There is a box under the flat stone; a box of painted marbles, one for each color of the rainbow
Please take care of my garden; a hidden garden full of roses and a small bench
""",
        ),
        table(
            "steps2",
            """
ten steps to the east and over the old wall
along the stream and around the big rock
up the hill and past the three pines
through the gate and to the end of the lane
across the bridge and into the little wood
""",
        ),
    ),
    needs=("f", "p"),
)

FIRST_PERSON_SEA = Schema(
    "first_person_sea",
    """
    [I still remember|I will never forget] the day when I {did}. I was [six|seven|eight|nine] years old, and my
    [grandmother|grandfather] lived {gplace}. [Every summer, we went there by train.|We visited every summer.] The
    house [smelled of apples|had a green door|was small and warm], and there was always [a cat on the chair|fresh
    bread on the table|music in the kitchen].

    [That morning|On the second day], I woke up before everyone else. I [put on my shoes and went outside|opened the
    door as quietly as I could]. [The grass was wet, and the air was cool.|The world was quiet.] At first, I was a
    little afraid to be alone. Then I heard [a bird|the water|the wind in the trees], and I felt [calm|brave] again.

    When I came back, I told [everyone|my family] that I {did}. [My brother did not believe me. "[Is it|Is that
    really] true?" he asked.|My sister did not believe me. "[Are you sure|Is that really true]?" she asked.|My
    cousin laughed. "I want to see that too," she said.] So the next morning, we went together, and it happened
    again. [We laughed until our stomachs hurt.|We stood there with wide eyes.|We held hands and did not say a
    word.]

    [Now I am older, but I often think of that summer.|That was many years ago.] [Whenever I am sad, I close my
    eyes, and I am there again.|I hope that you will have a summer like that one day.|Some days are small, but they
    stay with us forever.]
    """,
    (
        table(
            "did gplace",
            """
saw a deer drink from the river; at the edge of a great forest
watched the sun come up over the sea; in a white house by the sea
fed a wild bird from my hand; in a cottage near the mountains
saw a whale far out in the water; on a small island
found a nest with four blue eggs; on a farm in the hills
heard an owl answer my call; near a quiet wood
saw a fox play with her children; in a valley full of apple trees
""",
        ),
    ),
    link="none",
    weight=0.8,
)

RIDDLES = table(
    "riddle wrong answer answerwhy",
    """
What has a face and two hands, but no mouth; a monkey; a clock; It shows its face and its hands all day, but it never speaks
What gets wetter the more it dries; a river; a towel; It dries everyone else and becomes wet itself
What runs all day, but never gets tired; a horse; a river; It runs down to the sea by day and by night
What has teeth, but cannot bite; a baby; a comb; Its teeth only go through hair
What can you give away and still keep; a gold coin; your word; You give it to a friend, and you keep it
What follows you all day, but hides at night; a dog; your shadow; When the light goes away, the shadow goes too
What has roots that nobody sees and is taller than trees; a castle; a mountain; It stands higher than any tree, and its roots are deep stone
What can fill a whole room and weighs nothing; smoke; light; One small candle fills a room, and you cannot put it on a scale
What is full of holes and still holds water; a broken bucket; a sponge; It is full of holes, and yet it drinks up the water
What has one eye, but cannot see; a pirate; a needle; The thread goes through its eye
What belongs to you, but others use it more; my hat; your name; Everyone else says it all day long
""",
)
RIDDLE = Schema(
    "riddle",
    """
    {link} the [old king|old queen] of the land sent out a message. "[Whoever can solve my riddle may choose a gift
    from the castle|I will give a gift to anyone who can solve my riddle]." [Many people came, and all of them went
    home again.|Clever men and women came from far away.] {h} went there too, together with {f.intro}.

    They stood in the great hall. "{riddle}?" [a voice asked from the throne|came the question]. A proud man stepped
    forward. "It must be {wrong}," he said. "Wrong!" came the answer. "[And you, little one|And what do you say]?"

    {h} closed {h.his} eyes and [thought hard|thought for a long time]. {h.He} thought of all the things that {h.he}
    had seen [on the way|at home]. Then {h.he} smiled. "It is {answer}," {h.he} said. "{answerwhy}." Everyone began
    to clap. "[That is the answer|You are right]! What gift do you choose?" said the voice.

    {h} could have asked for gold. But {h.he} said, "[Please give every child in the land a book|I would like a warm
    coat for everyone who is cold|Please plant apple trees along the road, so that nobody is hungry]." And so it was
    done. [<learned> a quiet mind can solve hard things.|<close_any>|{f} was so proud that {f.he} told the story for
    years.]
    """,
    (RIDDLES,),
    needs=("f",),
    casts=("child", "animal"),
)

SCHOOL = Schema(
    "school",
    """
    It was the first day of school, and {h} did not want to go. "[What if nobody likes me|What if I do everything
    wrong|What if it is too hard]?" {h.he} asked. "[Everyone feels that way on the first day|Just be yourself, and
    be kind]," said {e}.

    The room was full of [strange faces|noise]. {h} found a seat [in the last row|near the window]. The teacher
    smiled and said, "Today, we will {lesson1}." {h} was <scared>. But then {h.he} saw that the child at the next
    table was crying.

    "[What is the matter|Are you all right]?" whispered {h}. "[I am afraid too|I want to go home]," the other child
    answered. "My name is {f}." "[I am {h}|My name is {h}]. [We can be afraid together|Let us help each other]." {f}
    smiled. They {lesson2}, and after a while, they forgot to be afraid.

    When the bell rang, {h} was surprised. {e} was waiting at the gate. "[How was it|Was it as bad as you thought]?"
    asked {e}. "[I want to go again tomorrow|I have a new friend, and tomorrow we will sit together]!" <said> {h}.
    [<close_day>|<learned> the first step is the hardest one.|<learned> almost everyone is a little afraid
    sometimes.]
    """,
    (
        table(
            "lesson1 lesson2",
            """
draw our houses; drew two houses, side by side
sing a song about the seasons; sang as loudly as they could
count to one hundred; counted all the pencils, all the windows, and all the shoes
learn the first three letters; wrote the letters in big, round lines
plant beans in little pots; planted two beans in one pot
""",
        ),
    ),
    casts=("child",),
    needs=("e", "f"),
    link="state",
)

SICK_FRIEND = Schema(
    "sick_friend",
    """
    {link} {h} wanted to play with {f.intro}, but {f} was sick in bed. [{f.His} nose was red, and {f.his} head was
    hot.|{f.He} coughed and could hardly speak.] "I cannot go out," said {f} sadly. "[I have an idea|Wait here],"
    said {h}, and ran off.

    If {f} could not go out, then [the outside had to come in|{h} would bring the world inside]. {h} went {p.to} and
    filled a basket. {h.He} put in {b1}, {b2}, and {b3}. [|On the way back, {h.he} took a jar of soup as well.|{n}
    gave {h.him} a warm bun to put on top.]

    One by one, {h.he} laid the things in front of {f}. {f} [smelled them, held them, and smiled|turned each one
    over and over]. "[It is almost as if I were outside|I can smell the wind]," said {f}. Then {h} told {f.him}
    everything that {h.he} had seen, and {f} [laughed for the first time that day|listened with bright eyes].

    [After three days|Before the week was over], {f} was well again. The first thing that {f.he} did was [run to
    {h}'s house|hug {h}]. "[You were my best medicine|You made me well]," {f.he} said. [<close_pair>|<learned> a
    visit can be the best medicine.]
    """,
    (
        table(
            "b1 b2 b3",
            """
three red leaves; a pine cone; a bottle of river water
a bunch of wild flowers; a smooth stone; a feather
a handful of berries; a snail shell; a piece of bark that smelled of the woods
a yellow daisy; a bit of green moss; an acorn with its cap
a sweet apple; a branch with white blossoms; a round pebble
""",
        ),
    ),
    needs=("f", "p", "n"),
)

BABY = Schema(
    "baby",
    """
    {h} had a new baby [brother|sister], and everything had changed. [The baby cried all night.|Everyone talked only
    about the baby.] "[Not now, the baby is sleeping|Please be quiet, {h}]," the grown-ups said. {h} felt
    [forgotten|alone]. "[Babies are boring|I wish it would go back to where it came from]," {h.he} thought.

    {link} the baby would not stop crying. {e} [rocked it|carried it up and down] and sang, but nothing helped. {e}
    looked very tired. {h} [came closer|stood on {h.his} toes] and looked at the little red face. Then, without
    thinking, {h.he} {babyact}.

    The baby stopped crying at once. It looked at {h} with big, round eyes. [It was silent for a moment.|It took
    hold of {h.his} finger.] And then it smiled! It was [the very first smile|a smile without a single tooth].
    "[Look at that|Did you see that]!" said {e}. "[It likes you best of all|Nobody else could do that]."

    {h} felt [warm inside|ten feet tall]. "[I am your big {h.sibling}|Do not worry, little one]," {h.he} whispered.
    "[I will show you everything|When you are bigger, I will teach you all I know]." [<from_then>, {h} was the one
    who could make the baby laugh.|<learned> love does not get smaller when you share it.|<close_any>]
    """,
    (
        table(
            "babyact",
            """
made a funny face
sang the song about the little duck
blew softly on its tiny hand
wiggled {h.his} ears
played a few notes on a wooden flute
hid {h.his} face and looked out again
""",
        ),
    ),
    casts=("child",),
    needs=("e",),
)

SEASONS = Schema(
    "seasons",
    """
    [There was an old {tree} on the hill.|On the top of the hill stood an old {tree}.|The old {tree} on the hill had
    seen a hundred winters.] In spring, [its buds opened, and the bees came to visit|small green leaves came out on
    every branch]. {springact}. [The air was soft, and everything seemed new.|The rain washed the dust from its
    bark.]

    In summer, the {tree} gave shade. [Children sat under it and ate plums.|Sheep rested in the cool grass.]
    {summeract}. [In the evening, the crickets sang.|The days were long, and the nights were warm.] In autumn, its
    leaves turned [red and gold|yellow and brown]. [The wind took them, one by one.|They fell slowly, like small
    letters from the sky.] {autumnact}.

    Then winter came. [Snow lay on the bare branches.|The branches were black, and the sky was white.] It was quiet
    on the hill. [Some people thought that the {tree} was dead.|It looked as if the {tree} was asleep.] But deep
    inside, it was only [resting|waiting]. It remembered the sun. {winteract}.

    [And one morning, the snow began to melt.|And then, one day, a warm wind came.] A tiny green bud opened, and
    then another. [Everything began again.|The old {tree} had woken up.] [That is how it has been for a hundred
    years, and that is how it will be tomorrow.|So it goes, year after year.|Every end is also a beginning.]
    """,
    (
        table(
            "tree",
            """
oak
apple tree
cherry tree
pear tree
maple
chestnut tree
walnut tree
""",
        ),
        table(
            "springact",
            """
A pair of robins built a nest in its arms
A boy came every day to look at the new leaves
A young squirrel climbed to the very top
Two friends sat down against its trunk and read a book
""",
        ),
        table(
            "summeract",
            """
A girl hung a swing from the strongest branch
A farmer slept in its shade at noon
A band of musicians played a concert below it
An owl taught her children to fly
""",
        ),
        table(
            "autumnact",
            """
A hedgehog gathered the leaves for a bed
The children jumped into the big heap of leaves
A mouse filled her house with seeds
The birds met in its branches before their long journey
""",
        ),
        table(
            "winteract",
            """
A small bird sat in a hole in its trunk and kept warm
A fox walked by and left a line of footprints
Someone had hung a little lamp on a branch
The children built a snowman beside it to keep it company
""",
        ),
    ),
    link="none",
    weight=0.7,
)

HARVEST = Schema(
    "harvest",
    """
    {link} it was harvest time, and everyone was busy. {h} wanted to help. "[You are too small for this work|This is
    heavy work]," said {n}. Then {n.he} <thoughtn>. "But there is one thing that you can do. {job}."

    {h} [ran off at once|was <proud>]. [It was not as easy as it looked.|At first, it was fun, but then it became
    hard.|The sun was hot, and {h.his} back began to hurt.] {f.intro} called, "[Come and swim with us|Leave that and
    come and play]!" {h} wanted to go. But {h.he} thought of {h.his} promise and went on.

    In the evening, {n} came to see. "[I did not think that you would finish|Nobody has ever done it so well],"
    {n.he} said. Then {n} lit the lamps, and there was a big feast with [bread, cheese, and sweet grapes|corn,
    pumpkin pie, and apple juice].

    "[This is for the one who kept a promise|To {h}, who did not give up]," said {n}, and everyone cheered. {f}
    looked a little [ashamed|sorry] and said, "[Tomorrow, I will help you|Next time, I will stay and help]."
    [<close_day>|<learned> work that is finished tastes sweeter than any cake.|<learned> a promise is worth more
    than a swim.|<close_pair>]
    """,
    (
        table(
            "job",
            """
Keep the birds away from the seeds until the evening
Carry water to everyone who is thirsty
Pick up every apple that has fallen into the grass
Watch the sheep, so that none of them gets lost
Sort the good nuts from the bad ones
Count the baskets, and make a mark for each one
""",
        ),
    ),
    needs=("n", "f"),
)
MACROS["thoughtn"] = "[thought for a moment|scratched {n.his} chin|looked around]"

ROBOT = Schema(
    "robot",
    """
    {link} {h} found an old robot [behind the barn|in a dusty shed|under a pile of boxes]. It was made of [tin|iron]
    and [had only one arm|did not move]. {h} [cleaned it with a cloth|gave it a drop of oil] and turned the key.
    [Click, click, buzz!|There was a soft hum.] The robot opened its eyes. "Hello," it said. "I am {robotname}. What
    can I do for you?"

    "[You can help me|I could use some help]," said {h}. "{robotjob}." So {robotname} {robotwrong}. [{h} had to
    laugh.|"Oh dear!" said {h}.] "[That is not what I meant|Not like that]," {h.he} said. "Look, I will show you."
    {h} showed it slowly, step by step. [The robot watched with its round eyes.|The robot made a note of
    everything.] The next time, {robotname} did it [well|without a single mistake].

    One evening, {robotname} asked, "What is {robotask}?" {h} <thought>. "{robotanswer}," {h.he} said. The robot was
    silent for a while. "[Then I think that I have that too|I would like to have that]," it said.

    [<from_then>, the two of them were always seen together.|<learned> it takes time and patience to teach
    someone.|And in its tin chest, something began to tick a little faster.|<close_any>]
    """,
    (
        table(
            "robotname robotjob robotwrong",
            """
Bolt; I want to water the flowers; poured a whole bucket of water over the cat
Zip; Please put the books away; put all the books into the oven
Tiktok; I have to sweep the floor; swept all the dust under the bed
Rusty; Please bring me some milk; came back with the whole cow
Beep; I want to set the table; put the plates on the chairs and the spoons on the floor
Cog; Please hang up the clothes; hung the clothes on the apple tree, and itself as well
""",
        ),
        table(
            "robotask robotanswer",
            """
a friend; A friend is someone who is glad when you come
home; Home is where somebody waits for you
a wish; A wish is something that you think of before you fall asleep
joy; Joy is when you want to jump for no reason
courage; Courage is when you are afraid and do it anyway
a song; A song is a thing that makes the work lighter
""",
        ),
    ),
    casts=("child", "child", "adult"),
    weight=1.2,
)

TREASURE_MAP = Schema(
    "treasure_map",
    """
    {link} {h} found an old map [in the attic|between two pages of a book|inside a bottle]. There was a red cross on
    it. "[A treasure map|This must be the way to a treasure]!" <cried> {h}. {h.He} showed it to {f.intro}. "[We must
    start right away|Let us go at once]!" said {f}. They took a shovel and a [bag of nuts|bottle of water] and set
    off.

    The map said, "Begin at {mapstart}." Then it said, "Take {mapsteps} steps toward the {mapdir}." They counted out
    loud. At last, they stood in front of {mapend}. "This is the place," said {h}, and they began to dig. [|They dug
    and dug.] Then the shovel hit something hard. It was a small wooden box! {h} opened it with shaking hands.
    [There was no gold inside.|There were no jewels in it.] There was only {mapfind}.

    "[I think that this is better than gold|Somebody loved this very much]," said {h}. {mapuse}.
    [<close_pair>|<learned> the search was the best part of the treasure.| And then they put something of their own
    into the box and hid it again.|<close_day>]
    """,
    (
        table(
            "mapstart mapend",
            """
the old well; a big grey rock
the church door; a crooked pine tree
the oak with two trunks; a wall of stones
the end of the bridge; a thorny bush
the broken gate; a little hill
""",
        ),
        table(
            "mapsteps mapdir",
            """
twenty; sun
thirty; river
fifty; mountains
forty; sea
one hundred; mill
""",
        ),
        table(
            "mapfind mapuse",
            """
a bundle of seeds; They planted the seeds, and in the summer there were flowers that nobody had ever seen before
a wooden flute; They learned to play it, and the whole village danced to its song
a book of recipes; That same evening, they made the first cake, and it was the best one of all
a letter to a friend; They found the old woman it was written to, and she cried for joy
a bag of marbles; They played with the marbles until it was too dark to see them
a picture of two children; The two children looked just like them, and they hung it on the wall
""",
        ),
    ),
    needs=("f",),
    weight=1.2,
)

DREAM = Schema(
    "dream",
    """
    {link} {h} went to bed early. {h.He} closed {h.his} eyes for a moment. When {h.he} opened them again, {ride} was
    standing beside the bed. "[Get in|Come with me|Hold on tight]," said a soft voice. "[We must be back before the
    morning|The night is short]."

    They flew out of the window and over the roofs. [||The houses became as small as shells.] They went higher and
    higher, until they came to {dreamland}. {dreamsee}. {h} [could not believe {h.his} eyes|laughed out loud]. "[May
    I take something home with me|Can I stay here forever]?" {h.he} asked. "[Only what you can carry in your
    heart|Nobody can stay, but you may come again]," said the voice.

    {h} [looked around one last time|wanted to say something more], but {h.his} eyes were already closing. When
    {h.he} woke up, the sun was shining, and {e} was calling {h.him} to breakfast. "[It was only a dream|What a
    strange dream]," thought {h}. But then {h.he} [put on {h.his} shoes|lifted {h.his} pillow] and found {token}.

    [{h} smiled and told nobody about it.|{h} put it into a box and kept it for a long time.|The next evening, {h}
    went to bed early again.|"Did you sleep well?" asked {e}. "I slept very far away," said {h}.]
    """,
    (
        table(
            "ride",
            """
a silver boat with white sails
a big white owl
a blue horse with a long mane
a little train with golden lamps
a cloud with a door in it
""",
        ),
        table(
            "dreamland dreamsee token",
            """
the moon; There were gardens of silver grass, and small round people were polishing the stars; a little silver dust
the land of the lost things; All the lost socks, keys, and balls in the world were living there, and they were having a party; a key that {h.he} had lost a year ago
the city in the clouds; The houses were made of mist, and the children were sliding down the rainbow; a tiny piece of cloud, no bigger than a pea
the bottom of the sea; Fish carried lamps through the streets, and a whale was singing in the church; a shell that was still wet
the garden of the winds; The four winds were sitting at a table and drinking tea; a leaf from a tree that does not grow here
the house of the night; An old woman was sewing the dark blue sky and putting on the stars like buttons; a small golden button
""",
        ),
    ),
    casts=("child", "child", "animal"),
    link="night",
    needs=("e",),
)

MOVING = Schema(
    "moving",
    """
    {link} {h} and {h.his} family had to move to a new house. {h} did not want to go. "[I will miss my friends|I
    will miss my room|Everything is strange there]," {h.he} said. {e} [put an arm around {h}|sat down on a box]. "[A
    new house is like a new book|Every friend was a stranger once]," {e.he} said.

    The new house was [tall and grey|small and yellow], and it smelled of [paint|dust]. {h} sat on the step and
    looked at the street. Then {h.he} found {movefind}. [{h} wondered who had put it there.|There was a note beside
    it, with only one word on it.|"Welcome," somebody had written next to it.]

    The next morning, there was another one. And on the third morning, {h} got up very early and waited behind the
    [door|curtain]. [Soon,|Then] {h.he} saw somebody come on quiet feet. It was {f.a}. "[So it was you|Hello]!" said
    {h}. The {f.kind} jumped. "[I wanted to say hello, but I did not know how|I hoped that you would come out],"
    said the {f.kind}. "My name is {f}."

    [{h} laughed. "You have said it very well," {h.he} said.|"Come in," said {h}. "I will show you my room."] [By
    the evening, the new house felt like home.|<close_pair>|<learned> every end is also a beginning.]
    """,
    (
        table(
            "movefind",
            """
a small bunch of flowers on the wall
a red apple on the step
a paper boat beside the door
a round white stone on the gate
a drawing of a smiling sun under the door
a jar of jam on the window
""",
        ),
    ),
    casts=("child", "child", "animal"),
    needs=("e", "f"),
)

TOOTH = Schema(
    "tooth",
    """
    {h} had a loose tooth. It [moved when {h.he} talked|wobbled all day long]. "[Will it hurt when it comes out|What
    if I swallow it]?" {h.he} asked. "[Tie it to the door|Bite into an apple]," said {f.intro}. But {h} was
    <scared>.

    {link} {h} was {toothdo}, and all at once, the tooth was gone. It had not hurt at all! But where was it? {h}
    looked {toothlook}. {f} helped to search. At last, {f} shouted, "Here it is!" It was {toothspot}, small and
    white like a [pearl|grain of rice].

    In the evening, {h} [washed the tooth|wrapped the tooth in a clean cloth] and put it under {h.his} pillow.
    "[Will somebody come|Is there a tooth fairy]?" {h.he} asked. {e} only smiled and blew out the candle.

    In the morning, the tooth was gone, and there was [a shiny coin|a little silver coin] in its place. And in
    {h.his} mouth, {h.he} could already feel the edge of a new tooth. [<close_any>|<learned> the fear was much
    bigger than the pain.|{h} smiled a big smile with a hole in it.]
    """,
    (
        table(
            "toothdo toothlook toothspot",
            """
eating a piece of bread; under the table and on the plate; in the middle of the bread
laughing at a joke; in the grass and between the flowers; on a green leaf
singing a very high note; on the floor and under the chairs; in a crack in the floor
jumping over a rope; in the sand and under the bench; next to a blue button
telling a long story; on the rug and in the cushions; on the tail of the cat
""",
        ),
    ),
    casts=("child",),
    link="state",
    needs=("e", "f"),
)

LIBRARY = Schema(
    "library",
    """
    {link} it was raining, and {h} went to the library to stay dry. "[I do not like to read|Books are boring],"
    {h.he} said. "[Then you have not met the right one yet|Let us see]," said the librarian. "What do you like?" "I
    like {booklike}," said {h}.

    The librarian came back with a thin [green|red|blue] book. It was about {bookabout}. {h} sat down [by the
    window|in a big chair] and opened it. {h.He} wanted to read only the first page. But then {h.he} had to know
    what happened next. {bookpart}. {h} read and read and forgot the [rain|time].

    "[We are closing|It is time to go home]," said the librarian at last. "May I take it with me?" asked {h}. "[Of
    course|That is what it is for]," said the librarian.

    [|That night, {h} read under the blanket until the very last page.] The next day, {h.he} was back. "[Do you have
    another one like this|May I have the next one]?" {h.he} asked. [<from_then>, rainy days were {h}'s favorite
    days.|<learned> a book is a door, and you only have to open it.|The librarian smiled. She had known it all
    along.]
    """,
    (
        table(
            "booklike bookabout bookpart",
            """
ships; a boy who sailed around the world in a barrel; A huge wave came, and the barrel turned over
horses; a wild horse that could not be caught; The horse stood at the edge of the cliff and had to jump
the stars; a girl who wanted to count the stars; She had come to the last number that she knew
dragons; a dragon who was afraid of fire; The castle was burning, and only the dragon could help
trees; a forest that could talk; The oldest tree was about to tell its secret
machines; a clockmaker who built a bird of gold; The golden bird opened its eyes and flew away
cooking; a soup that made everyone tell the truth; The king took the first spoon, and everyone held their breath
snow; a village that was lost under the snow; They heard somebody knocking from above
""",
        ),
    ),
    casts=("child",),
)


SCHEMAS: tuple[Schema, ...] = (
    LOST_AND_FOUND,
    NEW_FRIEND,
    SHARING,
    HONESTY,
    PATIENCE,
    HELP_ANIMAL,
    BUILDING,
    JOURNEY,
    STORM,
    NIGHT_FEAR,
    SURPRISE,
    COOKING,
    RACE,
    LEARNING,
    WAY_HOME,
    MYSTERY,
    GIFT,
    SNOW,
    MARKET,
    QUARREL,
    THING_HERO,
    WISH,
    DRAGON,
    PET_TALE,
    REPAIR,
    TEAMWORK,
    KINDNESS,
    MUSIC,
    CRAFT,
    DAY,
    STARS,
    GRUMPY,
    BRAVE_SMALL,
    BOAST,
    LETTER,
    FIRST_PERSON_SEA,
    RIDDLE,
    SCHOOL,
    SICK_FRIEND,
    BABY,
    SEASONS,
    HARVEST,
    ROBOT,
    TREASURE_MAP,
    DREAM,
    MOVING,
    TOOTH,
    LIBRARY,
)

# ---------------------------------------------------------------------------------------------------------------------
# Small explanations
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Topic:
    """Something to explain: a child's question, its indirect form, the explanation, and what the child does then."""

    question: str
    indirect: str
    body: str
    after: str


TOPICS: tuple[Topic, ...] = (
    Topic(
        "Why does it rain",
        "why it rains",
        "[Rain begins in the sea.|All rain begins with the sun.] The sun warms the water [of seas and lakes|in the"
        " rivers and the sea], and a little of it rises into the air. [You cannot see it, because it is as fine as"
        " breath.|We call this vapor, and it is too fine to see.] High in the sky, the air is cold. There, the vapor"
        " turns into tiny drops, and many tiny drops make a cloud. [The drops bump into each other and grow.|Slowly,"
        " the drops join and become heavy.] When they are too heavy to float, they fall, and we call it rain. [The rain"
        " fills the rivers, the rivers run to the sea, and everything begins again.|Then the water flows back to the"
        " sea, and the journey starts once more.]",
        "ran outside and caught a drop on {h.his} tongue",
    ),
    Topic(
        "How is bread made",
        "how bread is made",
        "Bread begins in a field. [The farmer cuts the wheat|When the wheat is yellow, it is cut], and the miller"
        " grinds the grains between two heavy stones. That is how we get flour. [The baker mixes flour with water,"
        " salt, and yeast.|Flour, water, salt, and yeast go into a big bowl.] Then the dough is pushed and folded,"
        " again and again. [Yeast is alive.|The yeast is very small, but it works hard.] It makes little bubbles, and"
        " the dough [grows until it is twice as big|rises under its cloth]. After that, it goes into the hot oven. [The"
        " outside becomes brown and hard, and the inside stays soft.|Soon the crust is golden, and the whole street"
        " smells good.]",
        "took a slice of warm bread and ate it very slowly",
    ),
    Topic(
        "Why do bridges not fall down",
        "why bridges do not fall down",
        "A bridge has to carry its own weight and everything that crosses it. [The secret is to send the weight to the"
        " ground.|A good bridge leads the weight down into the earth.] In a stone bridge, there is an arch. Every stone"
        " leans on the next one, so that no stone can fall. [The stone in the middle holds all the others in place.|The"
        " more you press on it, the tighter the stones sit.] Some bridges hang on strong ropes of steel. The ropes pull"
        " on tall towers, and the towers stand deep in the ground. [That is why a long bridge can cross a wide"
        " river.|So even a train can pass without any danger.]",
        "built a little bridge out of wooden blocks",
    ),
    Topic(
        "What are stars",
        "what stars are",
        "Every star is a sun. [Some are bigger than ours, and some are smaller.|Our own sun is a star too, and it is"
        " the nearest one.] Stars are huge balls of hot gas, and they shine with their own light. They look small"
        " because they are very, very far away. [A lamp on a far hill looks small as well.|Even a big ship looks tiny"
        " when it is far out at sea.] The light of a star travels for many years before it reaches us. [So when you"
        " look at a star, you look at the past.|The light that you see tonight may be older than your grandmother.] In"
        " the daytime, the stars are still there, but the sky is too bright to see them.",
        "waved at the brightest star",
    ),
    Topic(
        "What is a rainbow",
        "how a rainbow is made",
        "Sunlight looks white, but it is made of many colors. [They travel together, like children holding"
        " hands.|Usually, they are mixed, and we cannot see them one by one.] When the light goes into a drop of rain,"
        " it bends. Each color bends a little differently, and so they come out side by side. [Millions of drops do"
        " this at the same time.|Every drop in the sky helps a little.] That is how we get red, orange, yellow, green,"
        " blue, and violet. To see a rainbow, you need sun behind you and rain in front of you. [You can never walk up"
        " to it, because it moves when you move.|When the rain stops, the rainbow goes away.]",
        "painted a rainbow with every color in the box",
    ),
    Topic(
        "How do bees make honey",
        "how bees make honey",
        "A bee flies from flower to flower. With a long tongue, she drinks the sweet juice inside, [which is called"
        " nectar|and we call it nectar]. [A bee visits hundreds of flowers on one trip.|It takes many flowers to fill"
        " her little stomach.] When she comes home, she gives the nectar to the other bees. They pass it on from mouth"
        " to mouth, and it becomes thicker. Then they put it into small rooms of wax and [fan it with their wings|beat"
        " their wings until it is dry]. [Slowly, the water goes away, and golden honey is left.|When it is thick and"
        " golden, it is honey.] The bees eat it in the winter, when there are no flowers.",
        "watched the bees for a long time and did not disturb them",
    ),
    Topic(
        "How does a seed grow",
        "how a seed becomes a plant",
        "A seed is a tiny plant that is asleep. Inside, there is also a little food for the first days. [When the earth"
        " is warm and wet, the seed wakes up.|Water and warmth wake it up.] First, it sends a root down. The root"
        " [holds on to the earth and drinks|looks for water]. Then a small stem grows up toward the light. [As soon as"
        " the first leaves open, they begin to work.|It can feel where up is, even in the dark.] Leaves catch the light"
        " of the sun and turn air and water into food. [So the plant grows bigger every day.|With this food, the plant"
        " grows and grows.] One day, it has flowers, and the flowers make new seeds.",
        "put a bean in a glass of water and waited",
    ),
    Topic(
        "What is a shadow",
        "where shadows come from",
        "Light travels in straight lines. [It cannot go around a corner.|It cannot bend around you.] When you stand in"
        " the sun, your body stops the light. Behind you, there is a place where no light can come, and that dark place"
        " is your shadow. [In the morning and in the evening, the sun is low, and your shadow is long.|When the sun is"
        " low, the shadow is as long as a tree.] At noon, the sun is high, and your shadow is short. [If you move, it"
        " moves too.|That is why your shadow does everything that you do.] In the dark, there is no shadow at all,"
        " because there is no light to stop.",
        "made a rabbit on the wall with two hands and a candle",
    ),
    Topic(
        "Where does the wind come from",
        "where the wind comes from",
        "Wind is air that moves. The sun warms the land, and the land warms the air above it. [Warm air is light, so it"
        " rises.|Warm air goes up, just like the smoke of a fire.] Then cold air comes in to fill the empty place. That"
        " moving air is the wind. [By day, the wind often blows from the sea to the land.|The bigger the difference"
        " between warm and cold, the stronger the wind.] The wind carries seeds, pushes the clouds, and turns the"
        " mills. [You cannot see it, but you can see what it does.|You can feel it on your face, although you cannot"
        " hold it.]",
        "held up a ribbon and watched it dance",
    ),
    Topic(
        "Why do boats float",
        "why boats float",
        "When a boat sits in the water, it pushes some of the water away. [The water does not like that, so it pushes"
        " back.|The water pushes back with the same strength.] A stone is small and heavy, and the push is too weak to"
        " hold it. But a boat is wide and full of air. It pushes away a lot of water, and so the water holds it up."
        " [Even a ship of iron can float, because it is hollow.|That is why a bowl floats, while a coin sinks.] If"
        " there is a hole, water comes in and takes the place of the air. [Then the boat becomes too heavy and"
        " sinks.|So every sailor keeps a bucket and watches the floor.]",
        "put a bowl, a spoon, and an apple into the water to see what would float",
    ),
    Topic(
        "Why does the moon change its shape",
        "why the moon changes its shape",
        "The moon has no light of its own. It shines because the sun shines on it. [One half of the moon is always"
        " bright, and the other half is dark.|The sun can only light one side at a time.] As the moon travels around"
        " us, we see its bright side from different places. When we see all of it, there is a full moon. [When we see"
        " only a thin edge, it looks like a smile in the sky.|When we see a little of it, it looks like a silver boat.]"
        " When the bright side looks away from us, we see no moon at all. [It takes about a month, and then it begins"
        " again.|The moon itself stays round the whole time.]",
        "drew the moon every night for a month",
    ),
    Topic(
        "How is snow made",
        "how snow is made",
        "In winter, the clouds are very cold. [High up, the water in them freezes.|There, the tiny drops turn into"
        " ice.] Around a small grain of dust, a little crystal begins to grow. It always has six arms, because that is"
        " how ice likes to grow. [As it falls, it meets more water and becomes bigger.|On its way down, every arm grows"
        " a little more.] Each flake takes its own way through the cloud, and so no two flakes look just the same."
        " [When many of them fall together, the world turns white and quiet.|Snow is full of air, and that is why it is"
        " so soft and keeps the ground warm.]",
        "caught a snowflake on a dark sleeve and counted its arms",
    ),
    Topic(
        "Why do we have day and night",
        "why we have day and night",
        "The earth is a big ball, and it turns around like a top. [One full turn takes a day and a night.|It needs"
        " twenty-four hours to turn once.] The sun shines on one side only. On that side, it is day, and on the other"
        " side, it is night. [When our side turns toward the sun, we see it rise in the east.|In the morning, we turn"
        " into the light.] In the evening, we turn away, and the sun seems to sink in the west. [We do not feel it,"
        " because everything around us turns as well.|While you sleep, children on the other side of the world are"
        " playing in the sun.]",
        "turned an orange in front of a lamp and saw the morning come",
    ),
    Topic(
        "Why do we have seasons",
        "why there are seasons",
        "The earth travels around the sun, and one trip takes a year. But the earth does not stand up straight. [It"
        " leans a little to one side.|It leans, like a boy on a fence.] For half of the year, our part of the world"
        " leans toward the sun. Then the days are long and warm, and we have summer. [Half a year later, it leans"
        " away.|After six months, we lean the other way.] The sun stays low, the days are short, and winter comes."
        " Spring and autumn are the times between. [When it is winter here, it is summer on the other side of the"
        " world.|That is why birds fly south when the leaves fall.]",
        "marked the first day of spring on the wall",
    ),
    Topic(
        "What is an echo",
        "what an echo is",
        "Sound travels through the air like a wave in the water. When you shout, the wave runs away from you. [It runs"
        " until it meets something hard, like a wall or a mountain.|If there is a big rock in its way, it cannot go"
        " on.] Then it jumps back, just like a ball. [After a short time, it reaches your ears again.|A moment later,"
        " you hear your own voice.] That is the echo. If the mountain is far away, you have to wait longer. [In a small"
        " room, the sound comes back so fast that you do not notice it.|Soft things, like moss and curtains, swallow"
        " the sound, and then there is no echo.]",
        "shouted a friendly word to the mountain and got one back",
    ),
    Topic(
        "How does a windmill work",
        "how a windmill works",
        "A windmill has four big arms with cloth or boards on them. [The wind pushes against the arms, and they begin"
        " to turn.|When the wind blows, it pushes the arms around.] Inside the mill, there is a thick wooden pole, and"
        " wheels with teeth. One wheel turns the next. At last, they turn a heavy round stone. [Below it lies another"
        " stone that does not move.|It rolls on top of a second stone.] The grain falls between the two stones and"
        " becomes flour. [The miller can turn the roof, so that the arms always face the wind.|When there is no wind,"
        " the miller has to wait and can take a rest.]",
        "folded a small windmill out of paper",
    ),
    Topic(
        "How does a clock know the time",
        "how a clock knows the time",
        "A clock counts. Inside an old clock, there is a weight on a long stick, and it swings from side to side. [Each"
        " swing takes the same time.|It is never in a hurry, and it is never late.] With every swing, a little wheel"
        " moves on by one tooth. We hear it as a tick. [This wheel turns a bigger wheel, and that one turns the"
        " next.|Many wheels work together.] The fast wheels move the long hand, and the slow ones move the short hand."
        " [A spring or a weight gives the power.|If nobody winds it up, the clock grows tired and stops.] So the clock"
        " does not really know the time. It only counts very well.",
        "listened to the old clock and counted sixty ticks",
    ),
    Topic(
        "How is paper made",
        "how paper is made",
        "Paper comes from trees. The wood is cut into tiny pieces and cooked in water until it is soft. [It looks like"
        " grey porridge.|Then it is a thick soup of thin threads.] People spread it on a fine net, and the water drips"
        " away. What is left is a thin, wet sheet. [Heavy rollers press it flat.|It is pressed between rollers.] Then"
        " it is dried, [rolled up|cut into pieces], and ready to use. [Old paper can be cooked again and become new"
        " paper.|If we use old paper again, more trees can stay in the forest.] So a story book may have been a"
        " newspaper before.",
        "wrote on both sides of the page from then on",
    ),
    Topic(
        "How does a magnet work",
        "what a magnet does",
        "A magnet is a piece of metal that can pull other metal. [It pulls iron, but not wood or glass.|It likes iron"
        " and steel, but it does not care for paper or gold.] Every magnet has two ends, and we call them north and"
        " south. North and south pull each other. [But two north ends push each other away, as if they were angry.|Two"
        " ends of the same kind push each other apart.] The whole earth is a big magnet too. That is why the needle of"
        " a compass always points to the north. [Sailors use it to find their way on the wide sea.|With a compass, you"
        " can find your way even in fog.]",
        "found three lost needles with a magnet on a string",
    ),
    Topic(
        "Where does wool come from",
        "how wool becomes a sweater",
        "Wool grows on sheep. In spring, the shepherd cuts it off, and [it does not hurt|the sheep are glad, because"
        " summer is warm]. The wool is washed until it is clean and white. Then it is combed, so that all the hairs lie"
        " side by side. [After that, it is twisted into a long thread.|A spinning wheel twists it into yarn.] The yarn"
        " can be colored with plants. [Onions make it yellow, and berries make it red.|There are plants for yellow,"
        " red, and blue.] At last, someone takes two needles and knits, row after row, until there is a warm sweater.",
        "said thank you to every sheep on the hill",
    ),
    Topic(
        "How do birds fly",
        "how birds can fly",
        "A bird is light. Its bones are hollow, and its feathers weigh almost nothing. [Its wings are round on top and"
        " flat below.|The shape of its wings is very clever.] When the bird moves forward, the air flows over the wings"
        " and lifts them up. To go forward, it beats its wings and pushes the air back. [With its tail, it can turn and"
        " stop.|The tail works like the rudder of a boat.] Big birds can sail on warm air for hours without moving a"
        " feather. [Young birds have to practice, just like you.|A young bird falls many times before it can fly.]",
        "spread both arms and ran down the hill",
    ),
    Topic(
        "How is soap made",
        "how soap cleans",
        "Dirt often sticks to a bit of oil, and water alone cannot wash oil away. [Oil and water do not like each"
        " other.|Water just runs off.] Soap has two ends. One end holds on to the oil, and the other end holds on to"
        " the water. [When you rub your hands, the soap takes hold of the dirt.|So the soap builds a bridge between"
        " them.] Then the water carries everything away. Soap itself is made of oil and ash, [cooked slowly in a big"
        " pot|and people have made it for thousands of years]. [The bubbles are thin skins of soap with air inside.|And"
        " the bubbles are just for fun.]",
        "washed both hands until they smelled of flowers",
    ),
    Topic(
        "How does a candle burn",
        "how a candle burns",
        "In the middle of a candle, there is a thread, and around it, there is wax. When you light the thread, the"
        " flame makes the wax soft. [The wax turns into oil and climbs up the thread.|The thread drinks the melted"
        " wax.] At the top, it becomes so hot that it turns into a gas, and this gas burns. [So it is the wax that"
        " burns, and the thread only shows it the way.|The thread is only a ladder for the wax.] A flame also needs"
        " air. If you put a glass over it, it uses up the good air and goes out. [That is why nobody should leave a"
        " candle alone.|A flame is a good friend, but you must always watch it.]",
        "blew out the candle and watched the smoke climb",
    ),
    Topic(
        "Why does ice float",
        "why ice floats on water",
        "Most things become smaller when they get cold. Water is different. When it freezes, it needs more room. [So"
        " the same water becomes bigger, but not heavier.|The ice is bigger than the water it was made of.] That makes"
        " ice lighter than water, and so it floats. [This is very lucky for the fish.|The fish are happy about it.] In"
        " winter, the ice covers the pond like a blanket, and below it, the water stays warm enough. [If ice sank, the"
        " pond would freeze from the bottom to the top.|Down there, the frogs sleep in the mud until spring.] A bottle"
        " full of water can break when it freezes, because the ice pushes from inside.",
        "put a cup of water in the snow and came back in the morning",
    ),
    Topic(
        "Where do rivers come from",
        "where rivers come from",
        "A river begins small. High in the hills, rain and melted snow run into the ground. [Somewhere, the water comes"
        " out again, clear and cold.|Then it comes out between the stones as a spring.] It becomes a little stream that"
        " jumps from rock to rock. Other streams join it, and it grows wide and slow. [It turns mills, waters fields,"
        " and carries boats.|On its way, it gives water to fields and towns.] With time, a river can cut a valley into"
        " hard stone. [At last, it reaches the sea.|In the end, all its water flows into the sea.] There, the sun lifts"
        " the water into the clouds, and one day it falls on the hills again.",
        "let a little paper boat sail away on the stream",
    ),
    Topic(
        "How does a caterpillar become a butterfly",
        "how a caterpillar becomes a butterfly",
        "A butterfly lays tiny eggs on a leaf. Out of each egg comes a caterpillar, and it has only one plan, which is"
        " to eat. [It eats leaves all day long and grows out of its skin many times.|It eats and eats until its skin is"
        " too small.] When it is big enough, it finds a quiet place and makes a hard case around itself. [From the"
        " outside, nothing seems to happen.|It looks as if it were sleeping.] But inside, everything changes. It gets"
        " long legs, and wings with fine colors. After some weeks, the case opens. [The butterfly waits until its wings"
        " are dry, and then it flies.|At first, the wings are wet and folded, and then it spreads them in the sun.]",
        "looked under every leaf for tiny eggs",
    ),
    Topic(
        "How does a spider make its web",
        "how a spider builds its web",
        "A spider makes its own thread. It comes out of its body and becomes strong in the air. [For its size, it is"
        " stronger than steel.|It is thinner than a hair, but very strong.] First, the spider lets one thread fly in"
        " the wind until it sticks to a branch. That is the bridge. Then it pulls more threads from the middle to the"
        " outside, [like the wheel of a bicycle|like rays of the sun]. At last, it walks around and around and adds a"
        " sticky thread. [The spider knows where to step, so it does not stick to its own web.|It leaves some threads"
        " dry, so that it can walk on them.] When something shakes the web, dinner is ready.",
        "walked around the web with great care",
    ),
    Topic(
        "What is a lighthouse for",
        "what a lighthouse is for",
        "Near the shore, there are rocks under the water. In the dark, a sailor cannot see them. [So people build a"
        " tall tower and put a strong lamp on top.|That is why people build lighthouses.] The lamp shines far over the"
        " sea. Around it, there is a special glass that makes the light into a beam. [The beam turns, and from a ship"
        " it seems to blink.|Each lighthouse blinks in its own way, so that sailors know where they are.] In fog, when"
        " nobody can see the light, a loud horn calls instead. [Many ships have come home safely because of a"
        " lighthouse.|So the light says, be careful, and also, welcome home.]",
        "put a lamp in the window for all the ships",
    ),
    Topic(
        "How does a well work",
        "how a well works",
        "When rain falls, some of it sinks into the earth. It goes down between the grains of sand until it meets [hard"
        " stone|a layer of clay]. There it stays, like water in a sponge. [People dig a deep hole until they reach that"
        " water.|If you dig deep enough, you find it.] They build a wall of stones around the hole, so that it does not"
        " fall in. The water comes in from all sides and fills the bottom. [Then you let down a bucket on a rope and"
        " pull it up again.|With a bucket and a rope, you can lift it up.] The earth has cleaned the water on its way,"
        " and so it is clear and cool, even in summer.",
        "drank a cup of cold water in one go",
    ),
    Topic(
        "What is glass made of",
        "how glass is made",
        "Glass is made of sand. [It is hard to believe, but it is true.|Yes, the same sand that you play with.] The"
        " sand is mixed with ash and chalk and put into a very hot oven. It melts and becomes a thick, glowing honey."
        " [A glassmaker takes some of it on the end of a long pipe and blows.|Then someone blows into it through a long"
        " pipe.] It grows like a bubble and can become a bottle, a bowl, or a lamp. While it is hot, you can bend it"
        " and pull it. [When it is cold, it is hard and clear.|It has to cool down slowly, or it will crack.] Old glass"
        " can be melted and used again.",
        "looked at the window and thought of the beach",
    ),
    Topic(
        "How is cheese made",
        "how cheese is made",
        "Cheese is made from milk. The milk of a cow, a goat, or a sheep is warmed in a big pot. [Then something is"
        " added that makes it thick.|A little sour juice makes it thick.] Soon there are soft white lumps and a thin,"
        " yellow water. The lumps are put into a cloth, and the water runs out. [After that, they are pressed into a"
        " round form and salted.|They are salted and pressed until they are firm.] Some cheese is eaten at once, and"
        " some has to rest in a cool cellar for months. [There, somebody turns it and washes it every week.|The longer"
        " it rests, the stronger it tastes.] The holes come from little bubbles of gas.",
        "ate a piece of cheese and counted its holes",
    ),
    Topic(
        "What is thunder",
        "where thunder comes from",
        "In a big storm cloud, drops and bits of ice rub against each other. This makes electricity, [just like a"
        " sweater that you pull over your head|the same thing that runs in our wires]. When there is too much of it, it"
        " jumps to the ground as lightning. Lightning is very hot, and it heats the air in the blink of an eye. The air"
        " [grows so fast that it makes a loud bang|has to make room, and it does so with a bang]. That bang is thunder."
        " [Light is faster than sound, so you see the flash first.|The light reaches you at once, but the sound takes"
        " its time.] If you count to three, the storm is about one kilometer away.",
        "counted slowly between the flash and the boom",
    ),
    Topic(
        "Why does the sea go up and down",
        "why the sea has tides",
        "Twice a day, the sea comes up the beach, and twice a day, it goes back. [We call this the tide.|This is called"
        " the tide.] It is the moon that does it. The moon is far away, but it is big, and it pulls at the water. On"
        " the side that faces the moon, the water rises a little. [There is a second hill of water on the other side of"
        " the earth.|On the far side, the water rises too.] As the earth turns, the hills of water seem to travel"
        " around it. [When the water is low, you can find shells, crabs, and small fish in the pools.|Fishermen always"
        " know the tide, because their boats have to wait for it.]",
        "ran away from the first wave and laughed",
    ),
    Topic(
        "Why do we sleep",
        "why we need sleep",
        "During the day, your body works hard. You run, think, and grow tired. [At night, it has time to clean up and"
        " repair itself.|At night, it rests and mends what is worn.] While you sleep, your head puts the day in order."
        " It keeps what is important and throws away what is not. [Some of it turns into dreams.|Dreams are a part of"
        " this work.] Children also grow in their sleep. That is why they need more of it than their parents. [Cats"
        " sleep most of the day, and horses can sleep while standing.|Animals sleep too, and a dolphin sleeps with one"
        " half of its head at a time.] If you do not sleep enough, even small things seem hard the next day.",
        "yawned and fell asleep at once",
    ),
    Topic(
        "Why do leaves fall in autumn",
        "why leaves fall in autumn",
        "In summer, the leaves are the kitchen of the tree. They use light to make food, and the green color in them"
        " does the work. In autumn, there is less light, and the ground becomes cold. [The tree cannot drink enough"
        " water for all its leaves.|Leaves need a lot of water, and in winter it is hard to find.] So the tree takes"
        " the good things back and keeps them in its trunk. The green goes away, and the yellow and red can be seen."
        " [Then a little door closes between the leaf and the branch.|After that, the leaf is not needed anymore.] The"
        " wind does the rest. [On the ground, the leaves become new earth.|The fallen leaves keep the roots warm.] In"
        " spring, the buds open again.",
        "jumped into a heap of yellow leaves",
    ),
    Topic(
        "How does a tadpole become a frog",
        "how a tadpole becomes a frog",
        "In spring, a frog lays her eggs in the pond. They look like [a cloud of clear jelly with black dots|little"
        " black eyes in jelly]. After a week or two, tiny tadpoles swim out. A tadpole has a tail and breathes in the"
        " water, just like a fish. [It eats green plants and grows.|All day, it nibbles at the green plants.] Then its"
        " back legs appear, and later its front legs. The tail becomes shorter and shorter. [At the same time, it"
        " learns to breathe air.|Inside, it changes too, so that it can breathe air.] One day, a very small frog climbs"
        " out of the water and sits on a leaf. [It has never hopped before, but it knows how.|It looks around at its"
        " new world.]",
        "went to the pond every day to look",
    ),
    Topic(
        "How do ants find their way",
        "how ants find their way",
        "An ant cannot see very well, but it can smell. When it finds something sweet, it walks home and leaves a trail"
        " of smell on the ground. [Other ants notice the trail and follow it.|The trail tells the others where to go.]"
        " Each of them adds a bit more, and the trail becomes stronger. That is why ants walk in a line. [When the food"
        " is gone, nobody adds to the trail, and it fades away.|If you wipe the trail away, they run around and look"
        " for it.] An ant can carry things that are much heavier than itself. [Together, they can move a whole"
        " beetle.|No ant is the boss, and yet they do great things together.]",
        "gave a crumb to the first ant and waited for the others",
    ),
    Topic(
        "How do fish breathe",
        "how fish breathe in the water",
        "There is air in the water, even if you cannot see it. Fish do not have lungs like ours. They have gills on"
        " both sides of the head. [The fish opens its mouth and lets the water in.|Water comes in through the mouth.]"
        " Then it flows over the gills and out again. The gills are thin and red, and they catch the air from the"
        " water. [So a fish has to drink all the time in order to breathe.|It happens all day and all night.] Outside"
        " the water, the gills stick together, and the fish cannot breathe. [Whales are not fish, so they have to come"
        " up for air.|A whale has lungs, and it must come up to the top to breathe.]",
        "watched the goldfish open and close its mouth",
    ),
    Topic(
        "What is a map",
        "how a map works",
        "A map is a picture of the land as a bird would see it. Everything is drawn very small. [A finger on the map"
        " may be a whole day on your feet.|A long road becomes a thin line.] Blue is for water, green is for woods, and"
        " brown is for mountains. Small signs show [churches, bridges, and wells|houses, bridges, and towers]. At the"
        " edge, there is a little box that tells you what each sign means. The top of the map is north. [If you turn"
        " the map until it fits the land, you can see where to go.|With a compass, you can turn the map the right way.]"
        " The first maps were drawn by people who walked everywhere and counted their steps.",
        "drew a map of the garden and hid a treasure in it",
    ),
    Topic(
        "How does a letter find its way",
        "how a letter travels",
        "You write a letter, fold it, and put it into an envelope. On the front, you write the name, the street, and"
        " the town. [In the corner goes a stamp, which pays for the trip.|A stamp in the corner pays for the journey.]"
        " Then you drop it into a mailbox. A mail carrier takes all the letters to a big house where they are sorted."
        " [All letters for the same town go into one bag.|There, every town has its own box.] The bags travel by truck,"
        " by train, or by plane. [In the other town, the letters are sorted again, street by street.|When they arrive,"
        " they are sorted by street.] At last, another mail carrier puts your letter through the right door.",
        "wrote a letter to a cousin in the city",
    ),
    Topic(
        "Why is the sky blue",
        "why the sky is blue",
        "The light of the sun is made of all colors. On its way to us, it has to go through the air. [Air is made of"
        " tiny bits that nobody can see.|The air is full of parts that are too small to see.] Red and yellow light goes"
        " straight on. But blue light bumps into these tiny bits and is thrown in all directions. So blue light comes"
        " to us from everywhere, and the whole sky looks blue. [In the evening, the light has a longer way through the"
        " air.|When the sun is low, its light must cross much more air.] Most of the blue is lost on the way, and the"
        " red is left. [That is why the evening sky can glow like a fire.|And so we get a red sunset.]",
        "looked up at the sky and took a deep breath",
    ),
    Topic(
        "How does a kite fly",
        "what keeps a kite in the air",
        "A kite is held up by the wind. It leans a little, so that the wind pushes against it from below. [The string"
        " keeps it from flying away.|You hold the string, and the string holds the kite.] The wind pushes up, and the"
        " string pulls down, and between the two, the kite stands in the sky. The tail is important as well. [It keeps"
        " the kite steady, so that it does not spin.|Without a tail, the kite would turn in circles and fall.] If the"
        " wind becomes weak, you can run or pull in the string. [Then the kite feels more wind and climbs again.|That"
        " makes a little wind of your own.]",
        "ran across the field with a red kite",
    ),
    Topic(
        "Why do cats purr",
        "why cats purr",
        "When a cat is content, it makes a soft, low sound. [We call it purring.|It sounds like a tiny engine.] Small"
        " muscles in its throat move very fast, and the air begins to hum, when it breathes in and when it breathes"
        " out. A mother cat purrs so that her kittens can find her. [They are born blind, but they can feel the"
        " hum.|Newborn kittens cannot see, but they can feel it.] The kittens purr back to say that all is well."
        " [Sometimes a cat also purrs when it is sick or afraid.|A cat may even purr when something hurts.] It seems"
        " that the sound makes it calm. [And people become calm too when a cat purrs in their lap.|Perhaps that is why"
        " it works so well on people, too.]",
        "sat very still with the cat on {h.his} knees",
    ),
    Topic(
        "How does a beaver build a dam",
        "how beavers build a dam",
        "A beaver has big, strong front teeth. They never stop growing, and so it has to chew all the time. [It cuts"
        " down a tree by biting all around it.|It can bite through a tree in one night.] Then it pulls the branches"
        " into the stream and pushes them into the mud. It adds stones, grass, and more mud, until the water cannot"
        " pass. [Behind the dam, a pond grows.|The stream becomes a quiet pond.] In the pond, the beaver builds its"
        " house of sticks. The door is under the water, so that no wolf can come in. [Fish, frogs, and ducks like the"
        " new pond, too.|Many other animals come to live at the pond.]",
        "tried to build a dam of sticks and got very wet",
    ),
    Topic(
        "How do you make a fire safely",
        "how to make a campfire",
        "First, find a place with bare ground, far from dry grass and trees. [Put a ring of stones around it.|Lay"
        " stones in a circle.] Then collect three kinds of wood. You need dry grass to begin, small sticks to help, and"
        " thick logs to keep it going. [Build a little tent out of the small sticks and put the dry grass inside.|Put"
        " the grass in the middle and lean the sticks against each other.] A grown-up lights it. Fire needs air, so do"
        " not pack the wood too tightly. [When the flames are strong, add the logs one by one.|Later, you can add the"
        " thick logs.] Before you leave, pour water on the fire until it no longer hisses.",
        "carried a bucket of water and felt very important",
    ),
    Topic(
        "How does a train stay on its rails",
        "why a train stays on its rails",
        "A train runs on two long bars of steel, which are called rails. Its wheels are special. [On the inside, each"
        " wheel has a high edge.|Every wheel has an edge that is higher than the rest.] This edge keeps the wheel from"
        " sliding off. The wheels are also a little wider on one side. [When the train moves to the left, the shape of"
        " the wheels brings it back to the middle.|Because of that, they always find the middle again.] Steel on steel"
        " is very smooth. So one engine can pull a long row of heavy wagons. [But it also takes a long time to"
        " stop.|That is why a train needs so much time to stop.]",
        "stood on the bridge and waved at the engine driver",
    ),
    Topic(
        "What does a computer do",
        "what a computer does",
        "A computer is a machine that follows instructions. [It is very fast, but it does not guess.|It does just what"
        " it is told, step by step.] Inside, there are millions of tiny switches, and each one can only be on or off."
        " With many switches, you can write numbers, and with numbers, you can write letters, pictures, and songs. [A"
        " list of instructions is called a program.|The instructions are called a program.] Somebody has to write it"
        " with great care. If one step is wrong, the computer does the wrong thing a million times. [So it is good to"
        " check your work.|That is why people read their programs again and again.]",
        "wrote down, step by step, how to butter a slice of bread",
    ),
    Topic(
        "How can a machine write a story",
        "how a machine can write a story",
        "A machine can read many stories and count which words like to stand together. [After once upon a, the next"
        " word is often time.|It learns that birds sing and that rain falls.] Then it can write. It looks at the words"
        " that are already there and chooses the next one. It does this again and again, one word at a time. [A small"
        " machine can only tell small stories.|The more it has read, the better it becomes.] It does not see the"
        " pictures that you see when you listen. [So it sometimes says silly things.|That is why you should always"
        " think for yourself.] But on a rainy day, even a small story can be good company.",
        "told the machine a much better story",
    ),
)

EXPLAIN_OPENINGS = (
    (
        "[Do you know|Have you ever wondered|Did you ever ask yourself] {indirect}? [It is quite simple.|It is a good"
        " question.|Here is the answer.|Let us find out.]"
    ),
    (
        "{question}? [It is a good question.|Many children ask this question.|The answer is quite simple.|Here is how"
        " it works.]"
    ),
    "This is {indirect}.",
    "Today, we will learn {indirect}.",
    "[Let me tell you|I will tell you|Here is a short story about] {indirect}.",
)
EXPLAIN_CLOSINGS = (
    "[Now you know {indirect}.|That is all there is to it.|Isn't that wonderful?|Next time, you can explain it to a"
    " friend.|So now, if someone asks you, you know the answer.|]"
)
EXPLAIN_DIALOGUES = (
    (
        '{intro}\n\n{link} {h} asked {e}, "{question}?" ^{e} [<smiled>|put down {e.his} cup|thought for a moment].'
        ' "[That is a good question|I am glad that you ask|Let me explain it]. {body}"\n\n["[Now I understand|So that'
        ' is how it is|I did not know that]!" said {h}.|{h} [nodded slowly|listened with wide eyes|thought about it for'
        " a long time].] [Then {h.he}|And then {h.he}] {after}. [|<close_day>]"
    ),
    (
        '{h} always asked [a lot of|many] questions. "{question}?" {h.he} asked one [day|morning|evening]. {e} [knew'
        ' the answer|sat down next to {h.him}|took {h.his} hand]. "[Listen|I will tell you|Sit down, and I will tell'
        ' you]. {body}"\n\n[{h} was silent for a moment.|"[The world is full of wonders|That is wonderful]!" said {h}.]'
        " Then {h.he} {after}. [And the next day, {h.he} had a new question.|<close_day>|]"
    ),
)

# ---------------------------------------------------------------------------------------------------------------------
# Putting a story together
# ---------------------------------------------------------------------------------------------------------------------


def _add_elder(scene: Scene, cast: str, family_only: bool) -> None:
    others = {"animal": ANIMAL_ELDERS, "child": CHILD_ELDERS}.get(cast, ())
    phrase, gender = scene.rng.choice(ELDERS if family_only else ELDERS + others)
    forms = pronoun_forms(gender)
    forms[""] = scene.expand(phrase)
    scene.entities["e"] = forms


def _add_friend(scene: Scene, cast: str) -> None:
    rng, hero = scene.rng, scene.entities["h"]
    friend_cast = "animal" if cast == "animal" or rng.random() < 0.15 else "child"
    other = {"m": "f", "f": "m"}.get(hero["gender"], "f")
    gender = other if rng.random() < 0.75 else hero["gender"]
    friend = make_character(rng, friend_cast, gender, (hero[""], hero["kind"]))
    known = [f"{hero['his']} friend {friend['full']}", f"{hero['his']} good friend {friend['full']}"]
    if friend_cast == "animal":
        known.append(friend["full"])
    friend["intro"] = rng.choice(known)
    scene.entities["f"] = friend


def _add_neighbor(scene: Scene, people: Sequence[tuple[str, str]] = NEIGHBORS) -> None:
    phrase, gender = scene.rng.choice(people)
    scene.entities["n"] = {"": phrase, **pronoun_forms(gender)}


def _add_hero(scene: Scene, cast: str, avoid: Sequence[str] = ()) -> None:
    rng = scene.rng
    hero = make_character(rng, cast, rng.choice("mf"), avoid)
    scene.entities["h"] = hero
    hobby, hobby2 = rng.sample(HOBBIES, 2)
    scene.entities["hobby"], scene.entities["hobby2"] = {"": hobby}, {"": hobby2}
    scene.entities["village"] = {"": rng.choice(VILLAGES)}
    scene.put("land", rng.choice(LANDS[cast]))


def _intro(scene: Scene, link: str, pair: bool = False) -> str:
    """An opening, with ``{link}`` set to what joins it to the plot."""
    rng = scene.rng
    roll = rng.random()
    if pair and rng.random() < 0.12:
        opening, links = rng.choice(PAIR_INTROS), STATE_LINKS
    elif roll < 0.42:
        opening, links = rng.choice(ONCE_INTROS), STATE_LINKS
    elif roll < 0.72 or link != "day":
        opening, links = rng.choice(STATE_INTROS), STATE_LINKS
    else:
        opening, links = rng.choice(EVENT_INTROS), EVENT_LINKS
    scene.put("link", rng.choice(NIGHT_LINKS if link == "night" else links))
    if rng.random() < REQUEST_SHARE:
        opening = f"{rng.choice(REQUESTS)}\n\n{opening}"
    return scene.expand(opening)


# In these plots, the hero does not know the friend at first.
STRANGERS = (NEW_FRIEND, SCHOOL, MOVING)


def _schema_story(schema: Schema, scene: Scene) -> str:
    rng = scene.rng
    opening = ""
    if schema.link != "none":
        cast = rng.choice(schema.casts)
        _add_hero(scene, cast, ("dragon",) if schema is DRAGON else ())
        for need in ("e", *schema.needs):
            name, _, category = need.partition(":")
            if name == "f":
                _add_friend(scene, cast)
            elif name == "e":
                _add_elder(scene, cast, family_only=category != "any")
            elif name == "o":
                scene.entities["o"] = make_thing(rng, category)
            elif name == "p":
                scene.entities["p"] = make_place(rng, scene.entities["h"]["home"])
            else:
                _add_neighbor(scene, MAKERS if category == "maker" else NEIGHBORS)
        opening = _intro(scene, schema.link, "f" in schema.needs and schema not in STRANGERS)
    for rows in schema.tables:
        for name, cell in rng.choice(rows).items():
            scene.put(name, cell)
    text = schema.text.strip()
    if opening and rng.random() < 0.5:
        return f"{opening} {scene.expand(text)}"
    return f"{opening}\n\n{scene.expand(text)}"


def _explanation(scene: Scene) -> str:
    rng = scene.rng
    topic = rng.choice(TOPICS)
    scene.entities["question"], scene.entities["indirect"] = {"": topic.question}, {"": topic.indirect}
    if rng.random() < 0.5:
        opening = rng.choice(EXPLAIN_OPENINGS)
        request = EXPLAIN_REQUEST if rng.random() < 2 * REQUEST_SHARE else ""
        return scene.expand(f"{request}{opening} {topic.body} {EXPLAIN_CLOSINGS}")
    _add_hero(scene, "child" if rng.random() < 0.7 else "animal")
    _add_elder(scene, scene.entities["h"]["cast"], family_only=False)
    scene.put("intro", _intro(scene, "day"))
    scene.put("body", topic.body)
    scene.put("after", topic.after)
    return scene.expand(rng.choice(EXPLAIN_DIALOGUES))


# ---------------------------------------------------------------------------------------------------------------------
# Walks: stories made of small, independent events
# ---------------------------------------------------------------------------------------------------------------------

WALK_STARTS = (
    "{link} {h} [went|{h.went}] {p.to}.",
    "{link} {h} decided to go {p.to}. [|<aside>]",
    (
        "{link} {h} wanted to go for a walk. {h.He} [put on a hat and|took a little bag and|said goodbye to {e} and]"
        " went {p.to}."
    ),
    "{link} {e} asked {h} to bring {errand} to {n}. {h} took the basket and set off.",
    "{link} {h} had nothing to do, so {h.he} went {p.to} to look for something new.",
    '{link} {h} had a good feeling. "Today, I will go {p.to}," {h.he} said.',
)
SIGHTS = (
    "a red bird singing on a fence",
    "a snail on a wet leaf",
    "two squirrels chasing each other",
    "a line of ducks crossing the path",
    "a boat with a white sail",
    "a spider web full of shining drops",
    "a brown horse eating grass",
    "a cloud shaped like a fish",
    "a cloud shaped like a bear",
    "an old wagon without wheels",
    "a blue butterfly on a flower",
    "three fat mushrooms under a tree",
    "a fish jumping out of the water",
    "a cat sleeping on a wall",
    "a frog sitting on a stone",
    "a tree full of red apples",
    "a nest with tiny birds in it",
    "a field of yellow flowers",
    "a woman hanging clothes on a line",
    "a man painting a gate",
    "a row of geese in the sky",
    "a bee with dusty yellow legs",
    "a hole at the foot of an old tree",
    "a rabbit with one white ear",
    "an old boat full of flowers",
    "a little bridge made of stone",
    "a dog carrying a stick",
    "a feather floating on the wind",
    "a swing under a tall tree",
    "a tower with a golden roof",
    "a lamb with a bell around its neck",
    "a puddle full of sky",
)
SIGHT_REACTIONS = (
    "{h.He} stopped to [watch|look].",
    "It made {h.him} smile.",
    '"[How beautiful|How lovely|Oh, how nice]!" said {h}.',
    "{h.He} had never seen anything like it.",
    "{h.He} stood very still, so that nothing would change.",
    '"I must tell {e} about this," {h.he} thought.',
    "{h.He} wished that {h.he} could draw it.",
    "For a moment, {h.he} forgot everything else.",
    "{h.He} laughed and went on.",
)
MEETINGS = (
    (
        '{h} met an old man with a heavy bag. "May I help you?" asked {h}. "[You are very kind|That would be'
        ' wonderful]," said the old man. They carried it together to his door, and he gave {h} [an apple|a sweet'
        " plum|two nuts] as a thank you."
    ),
    (
        '{h} met a woman who was looking for her goat. "Have you seen a white goat?" she asked. {h} remembered'
        " something white behind the hedge. And there it was, eating {goatfood}!"
    ),
    (
        'A small boy was sitting on a stone and crying. "What is wrong?" asked {h}. "My {toyball} is in the tree," said'
        " the boy. {h} shook the tree until it fell down. The boy laughed and ran home with it."
    ),
    (
        '{n} was standing by the road and waved. "Good morning, {h}! [Where are you going|Where are you off to]?" "[To'
        ' see the world|Wherever my feet take me|Just for a walk]," said {h}. "[Be back before dark|Enjoy the day|Then'
        ' have a good journey]," said {n}.'
    ),
    (
        '{f.intro} was sitting under a tree. "What are you doing?" asked {h}. "[I am counting the clouds|I am listening'
        ' to the wind|I am thinking about nothing at all]," said {f}. {h} sat down too, and they [counted|listened|were'
        " quiet] together for a while."
    ),
    (
        '{f.intro} came running. "[Guess what I found|Look what I have|You will not believe this]!" said {f}. It was'
        ' {found}. "[That is wonderful|What a find|You are lucky]," said {h}, and they looked at it from all'
        " sides."
    ),
    (
        'Two children were building a tower of stones. "Can I help?" asked {h}. "Yes, but be careful," they said.'
        " Together, they built it [higher and higher|as high as a house], until a bird sat down on top."
    ),
    (
        'An old woman sat in front of her house with a basket of peas. "Sit down and help me," she said. While they'
        " worked, she told {h} [about the days when she was young|how the village got its name|a story about a clever"
        " fox]."
    ),
    (
        'A girl was trying to fly a kite, but it fell down again and again. "[Run against the wind|Give it more'
        ' string]," said {h}. The girl tried it, and the kite climbed into the sky. "It works!" she shouted.'
    ),
    (
        "{h} met a duck with seven ducklings. One of them was too small to climb up the bank. {h} [put down a flat"
        " stone as a step|gave it a gentle push]. The mother duck bowed her head, and they all swam away."
    ),
    (
        'A musician was playing on a small violin. {h} listened until the song was over. "[That was a sad song|What a'
        ' happy tune]," said {h}. "[It was about my home|It was about the spring]," said the musician.'
    ),
    (
        'A traveler asked for the way to {village}. "Go over the bridge and turn left at the big oak," said {h}. The'
        " traveler thanked {h.him} and whistled as he walked on."
    ),
)
TROUBLES = (
    (
        "But a tree had fallen across the path. {h} tried to push it, but it was too heavy. So {h.he} [climbed over"
        " it|crawled under it|walked around it] and went on."
    ),
    (
        "Suddenly, the wind blew {h.his} hat away. {h} ran after it, over the grass and around the pond, and caught it"
        " [in a bush|just before it fell into the water]."
    ),
    "Then it began to rain. {h} waited under a big tree and [counted the drops|sang a song] until the sun came back.",
    (
        "{h} slipped and fell into the mud. At first, {h.he} was angry. But when {h.he} saw {h.his} face in a puddle,"
        " {h.he} had to laugh."
    ),
    (
        "There was no bridge over the stream. {h} looked for big stones and jumped from one to the next. [Only one foot"
        " got wet.|At the last jump, there was a big splash.]"
    ),
    (
        "The path split in two, and {h} did not know which way to go. {h.He} closed {h.his} eyes, turned around three"
        " times, and took the way in front of {h.him}."
    ),
    (
        "{h} felt a small stone in {h.his} shoe. {h.He} sat down to take it out. It was green and smooth, and so {h.he}"
        " put it into {h.his} pocket."
    ),
    (
        'A fat goose stood in the middle of the path and would not move. "Please, may I pass?" asked {h}. The goose'
        " thought about it. Then it stepped aside."
    ),
    "A cloud covered the sun, and it became cold. {h} jumped up and down until {h.he} was warm again.",
    (
        '{h} was tired and wanted to turn back. "Only to the next tree," {h.he} told {h.self}. And at the next tree,'
        " {h.he} was not tired anymore."
    ),
    (
        "The gate was closed, and it was too high to climb. {h} pushed and pulled. Then {h.he} saw that it opened to"
        " the other side."
    ),
)
PAUSES = (
    (
        "{h} sat down and ate [bread and cheese|a red apple|a piece of cake|some berries]. [A sparrow came for the"
        " crumbs.|It tasted much better than at home.|The ants were happy about the crumbs.]"
    ),
    (
        "{h} lay down in the grass and looked at the sky. [One cloud looked like a ship, and another one looked like a"
        " sheep.|The clouds moved slowly, like big white animals.]"
    ),
    "{h} drank some cold water from a spring. It tasted of stones and [moss|snow].",
    "{h} found a long stick and [drew a house in the sand|used it as a walking stick|pretended that it was a flute].",
    "{h} picked some flowers, [two yellow ones and a blue one|a whole handful of them], to bring home to {e}.",
    "{h} threw a flat stone over the water. It jumped [three|four|five] times before it sank.",
    (
        "{h} closed {h.his} eyes and listened. {h.He} could hear [a bird, the wind, and a bell far away|the leaves, the"
        " water, and a cow]."
    ),
    "{h} ate so many berries that {h.his} mouth turned [blue|purple|red].",
    "{h} sang a song that {h.he} had made up. It had only four words, but {h.he} liked it.",
)
RETURNS = (
    (
        'When the sun was low, {h} went home. "[Where have you been|How was your day|What did you see today]?" asked'
        ' {e}. "[I saw the whole world|It was a wonderful day|I will tell you everything]," said {h}. [|They talked'
        " until it was dark.|{e} listened to every word.]"
    ),
    (
        "Then {h} heard a voice. It was {e}, calling {h.him} for supper. {h} ran home as fast as {h.he} could. There"
        " was [hot soup|warm bread|potato soup|apple cake] on the table, and {h} was very hungry."
    ),
    (
        "On the way home, {h} thought of everything that {h.he} had seen. [It was not a big adventure, but it was"
        " {h.his} own.|A small walk can be a great adventure, {h.he} thought.] <close_day>"
    ),
    (
        'At last, {h} came home with [dusty feet and a happy heart|wet shoes and a big smile]. ["Tomorrow, I will go'
        ' again," {h.he} said.|{e} laughed and put a bowl of soup on the table.] <close_day>'
    ),
    (
        "In the evening, {h} was <tired>. {h.He} fell asleep before {e} could blow out the candle. [In {h.his} dream,"
        " {h.he} walked the whole way again.|Outside, the moon came up over the hills.]"
    ),
    (
        "When {h} was back home, {h.he} drew a map of the day. [There was the tree, there was the water, and there was"
        " a small {h.kind} with a big smile.|{e} hung it on the wall.]"
    ),
)
CONNECTORS = (
    "Then ",
    "After that, ",
    "A little later, ",
    "Not far away, ",
    "Soon, ",
    "On the way, ",
    "",
    "",
    "Behind the next hill, ",
    "A few steps on, ",
)
ERRANDS = (
    "a basket of eggs",
    "a jar of jam",
    "a loaf of bread",
    "a pot of soup",
    "a letter",
    "a bunch of flowers",
    "a piece of cake",
)
FINDS = (
    "a piece of blue glass",
    "a very old coin",
    "a stone with a hole in it",
    "a key without a lock",
    "a striped feather",
    "a shell as big as a hand",
)


def _walk(scene: Scene) -> str:
    """A day out: a few sights, meetings and small troubles in a random order, and the way home."""
    rng = scene.rng
    cast = rng.choice(("child", "child", "animal"))
    _add_hero(scene, cast)
    _add_elder(scene, cast, family_only=True)
    _add_friend(scene, cast)
    _add_neighbor(scene)
    scene.entities["p"] = make_place(rng, scene.entities["h"]["home"])
    scene.put("errand", rng.choice(ERRANDS))
    scene.put("found", rng.choice(FINDS))
    scene.put("goatfood", "[roses|cabbages|a straw hat]")
    scene.put("toyball", "[ball|kite|hat]")
    opening = _intro(scene, "day")
    events = [rng.choice(MEETINGS)]
    for sight, reaction in zip(rng.sample(SIGHTS, rng.randint(1, 2)), rng.sample(SIGHT_REACTIONS, 2)):
        events.append(f"{{h}} saw {sight}. {reaction}")
    if rng.random() < 0.75:
        events.append(rng.choice(TROUBLES))
    if rng.random() < 0.6:
        events.append(rng.choice(PAUSES))
    rng.shuffle(events)
    connectors = rng.sample(CONNECTORS, len(events))
    parts = [
        connector + event if event.startswith("{h} ") else event
        for connector, event in zip(connectors, events, strict=True)
    ]
    breaks = [rng.choice((" ", "\n\n")) for _ in parts]
    body = "".join(gap + part for gap, part in zip(breaks, parts, strict=True))
    start, end = rng.choice(WALK_STARTS), rng.choice(RETURNS)
    return f"{opening}{rng.choice((' ', chr(10) * 2))}" + scene.expand(f"{start}{body}\n\n{end}")


# ---------------------------------------------------------------------------------------------------------------------
# Talks: two friends compare what they like
# ---------------------------------------------------------------------------------------------------------------------

TALKS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "season",
        (
            ("spring", "everything begins to grow"),
            ("summer", "the days are long and warm"),
            ("autumn", "the leaves are red and gold"),
            ("winter", "the snow makes everything quiet"),
        ),
    ),
    (
        "color",
        (
            ("blue", "it is the color of the sea and the sky"),
            ("red", "it looks like ripe apples"),
            ("green", "it is the color of the woods"),
            ("yellow", "it shines like the sun"),
            ("white", "it is soft like snow"),
        ),
    ),
    (
        "weather",
        (
            ("rain", "I love to jump in puddles"),
            ("sunshine", "it warms my nose"),
            ("snow", "I can slide down the hill"),
            ("wind", "it makes the trees dance"),
            ("fog", "everything looks like a dream"),
        ),
    ),
    (
        "time of the day",
        (
            ("the morning", "everything is new and fresh"),
            ("noon", "then we have lunch"),
            ("the evening", "somebody tells a story"),
            ("the night", "the stars come out"),
        ),
    ),
    (
        "place",
        (
            ("the river", "the water always has something to tell"),
            ("the forest", "it smells of moss and earth"),
            ("the hill", "you can see the whole valley"),
            ("my own bed", "it is warm and safe there"),
            ("the kitchen", "there is always something good to eat"),
        ),
    ),
    (
        "food",
        (
            ("bread with honey", "it is sweet and soft"),
            ("soup", "it warms you from inside"),
            ("apple pie", "the whole house smells of it"),
            ("cheese", "no two kinds taste the same"),
            ("pancakes", "you can throw them into the air"),
        ),
    ),
    (
        "sound",
        (
            ("the sound of rain on the roof", "it makes me sleepy"),
            ("the song of a blackbird", "it sounds so glad"),
            ("a laughing child", "I have to laugh too"),
            ("the sea", "it never stops breathing"),
            ("a crackling fire", "then I know that I am home"),
        ),
    ),
    (
        "animal",
        (
            ("the owl", "it can see in the dark"),
            ("the horse", "it is strong and gentle"),
            ("the bee", "it works for all of us"),
            ("the whale", "it sings in the deep sea"),
            ("the snail", "it is never in a hurry"),
        ),
    ),
    (
        "day of the week",
        (
            ("Sunday", "we all have breakfast together"),
            ("Saturday", "I can sleep as long as I like"),
            ("Monday", "I see all my friends again"),
            ("Friday", "there is always fish and music"),
        ),
    ),
)
TALK_TEXT = """
{link} {h} and {f.intro} were sitting {p.in}. [|<aside>] "What is your favorite {topic}?" asked {h}. {f} <thoughtf>.
"My favorite {topic} is {like1}, because {why1}," said {f}. "[And yours|And what is yours|What about you]?" "[I like
{like2} best|For me, it is {like2}], because {why2}," <said> {h}.

"[But {like1} is much better than {like2}|I do not understand how anyone can like {like2} best]," said {f}. [They
talked about it for a long time.|They could not agree.|They almost began to quarrel.] Then {third} came by. "[What are
you two talking about|Why are you so loud]?" "We are talking about our favorite {topic}. Which one do you like best?"
asked {h}.

{third.the} <smiledt>. "[I like {like1} when there is {like2} to wait for|I like {like1} as much as {like2}]," said
{third.the}. "[If there were only one, it would be boring|The world is big enough for both|It would be a poor world
with only one of them]." {h} and {f} looked at each other and laughed. [{f} said, "Then tell me more about
{like2}."|"Tell me again why you like {like1}," said {h}.] [They stayed until the sun went down.|And they found that
both of them were right.|<close_pair>|<learned> friends do not have to like the same things.]
"""
MACROS["thoughtf"] = "[thought for a moment|thought about it|did not have to think for long|looked up at the sky]"
MACROS["smiledt"] = "[smiled|laughed|nodded slowly|sat down beside them]"


def _talk(scene: Scene) -> str:
    """Two friends tell each other what they like, and why."""
    rng = scene.rng
    cast = rng.choice(("child", "child", "animal"))
    _add_hero(scene, cast)
    _add_elder(scene, cast, family_only=True)
    _add_friend(scene, cast)
    scene.entities["p"] = make_place(rng, scene.entities["h"]["home"])
    topic, likes = rng.choice(TALKS)
    (like1, why1), (like2, why2) = rng.sample(likes, 2)
    for name, text in (("topic", topic), ("like1", like1), ("why1", why1), ("like2", like2), ("why2", why2)):
        scene.put(name, text)
    scene.put("third", "[an old tortoise|a tired mail carrier|a grey cat|an old shepherd|a young teacher|a wise crow]")
    opening = _intro(scene, "day")
    return f"{opening}{rng.choice((' ', chr(10) * 2))}" + scene.expand(TALK_TEXT.strip())


WRITERS: tuple[Callable[[Scene], str], ...] = (
    *(functools.partial(_schema_story, schema) for schema in SCHEMAS),
    _explanation,
    _walk,
    _talk,
)
WRITER_WEIGHTS = (*(schema.weight for schema in SCHEMAS), 9.0, 6.0, 2.0)


def make_story(seed: int, index: int) -> str:
    """Story ``index`` of the corpus ``seed``; a draft of the wrong length is drawn again."""
    rng = random.Random(f"resident-stories/{seed}/{index}")
    write = rng.choices(WRITERS, WRITER_WEIGHTS)[0]
    while True:
        story = polish(write(Scene(rng)))
        if MIN_WORDS <= len(story.split()) <= MAX_WORDS:
            return story


def _make_range(job: tuple[int, int, int]) -> list[str]:
    seed, start, stop = job
    return [make_story(seed, index) for index in range(start, stop)]


def generate(seed: int, start: int, count: int, processes: int = 1) -> Iterator[str]:
    """Stories ``start`` to ``start + count`` of a corpus, in order, each text at most once."""
    chunk = 500
    jobs = [(seed, first, min(first + chunk, start + count)) for first in range(start, start + count, chunk)]
    seen: set[bytes] = set()
    if processes > 1:
        with multiprocessing.Pool(processes) as pool:
            yield from _unique(pool.imap(_make_range, jobs), seen)
    else:
        yield from _unique(map(_make_range, jobs), seen)


def _unique(batches: Iterable[list[str]], seen: set[bytes]) -> Iterator[str]:
    for batch in batches:
        for story in batch:
            digest = hashlib.blake2b(story.encode(), digest_size=12).digest()
            if digest not in seen:
                seen.add(digest)
                yield story


# ---------------------------------------------------------------------------------------------------------------------
# Checks and command line
# ---------------------------------------------------------------------------------------------------------------------

_SLIPS = (
    ("markup", re.compile(r"[\[\]{}|<>^]")),
    ("doubled word", re.compile(r"\b(?!had had\b)(\w+) \1\b", re.IGNORECASE)),
    ("a before a vowel", re.compile(r"\ba (?=[aeio])", re.IGNORECASE)),
    ("an before a consonant", re.compile(r"\ban (?=[bcdfgjklmnpqrstvwxyz])", re.IGNORECASE)),
    ("space before punctuation", re.compile(r" [,.!?]")),
    ("doubled punctuation", re.compile(r"[.,!?]{2}|[.!?]\"[.,!?]")),
    ("small letter after a full stop", re.compile(r"\. [a-z]")),
    ("small letter after a quotation", re.compile(r"\.\" [a-z]")),
    ("capital after a comma quotation", re.compile(r",\" (?:The|He|She|It|His|Her|Said|Asked)\b")),
    ("capital after a question quotation", re.compile(r"[!?]\" (?:Said|Asked|Cried|Shouted)\b")),
    ("small letter opens a quotation", re.compile(r"(?:^|[,.:!?] )\"[a-z]")),
)
_ALLOWED_DOUBLES = {
    "more",
    "very",
    "boom",
    "snow",
    "quick",
    "grew",
    "grows",
    "eats",
    "pulled",
    "waited",
    "around",
    "that",
}


def find_slips(story: str) -> list[str]:
    """Slips of grammar or typography that a machine can see; empty for a good story."""
    found = []
    for name, pattern in _SLIPS:
        match = pattern.search(story)
        if match and not (name == "doubled word" and match.group(1).lower() in _ALLOWED_DOUBLES):
            found.append(f"{name}: ...{story[max(0, match.start() - 30):match.end() + 30]}...")
    for paragraph in story.split("\n\n"):
        if paragraph.count('"') % 2:
            found.append(f"odd quotation marks: {paragraph[:60]}")
        if not re.search(r"[.!?]\"?$", paragraph):
            found.append(f"no full stop: ...{paragraph[-60:]}")
        if not re.match(r"\"?[A-Z]", paragraph):
            found.append(f"small first letter: {paragraph[:60]}")
    return found


def report(stories: Iterable[str]) -> int:
    """Print the slips and the variety of some stories; returns the number of stories with slips."""
    openings: collections.Counter[str] = collections.Counter()
    words: collections.Counter[str] = collections.Counter()
    total, length, bad = 0, 0, 0
    for story in stories:
        slips = find_slips(story)
        bad += bool(slips)
        for slip in slips if bad <= 40 else ():
            print(slip)
        total += 1
        length += len(story.split())
        openings[" ".join(story.split()[:2])] += 1
        words.update(re.findall(r"[A-Za-z']+", story.lower()))
    print(
        f"{total} distinct stories, {length / max(total, 1):.0f} words on average, {len(words)} different words, {bad}"
        " with slips"
    )
    for opening, count in openings.most_common(25):
        print(f"{count / total:7.2%}  {opening}")
    return bad


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the stories that the embedded model is trained on.")
    parser.add_argument("--seed", type=int, default=1, help="seed of the corpus (default 1)")
    parser.add_argument("--start", type=int, default=0, help="index of the first story")
    parser.add_argument("--count", type=int, default=5, help="number of stories to draw (repeated ones are dropped)")
    parser.add_argument("--processes", type=int, default=1, help="number of processes; the text does not depend on it")
    parser.add_argument("--out", help="write one story per line here, line breaks as \\n; otherwise print the stories")
    parser.add_argument("--check", action="store_true", help="look for slips and report the variety instead")
    args = parser.parse_args()
    stories = generate(args.seed, args.start, args.count, args.processes)
    if args.check:
        return 1 if report(stories) else 0
    if args.out:
        with open(args.out, "w", encoding="utf-8") as out:
            for story in stories:
                out.write(story.replace("\n", "\\n") + "\n")
    else:
        for story in stories:
            sys.stdout.write(story + "\n\n----\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
