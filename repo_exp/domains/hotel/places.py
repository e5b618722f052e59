"""Hotels that could exist: cities with their price level, names from parts, and facts that depend on the stars."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass

from repo_exp.types import Split

# city, currency, what a three-star room costs there (the middle of the market)
CITIES: tuple[tuple[str, str, int], ...] = (
    ("Beijing", "CNY", 430),
    ("Shanghai", "CNY", 460),
    ("Chengdu", "CNY", 340),
    ("Xi'an", "CNY", 310),
    ("Hangzhou", "CNY", 420),
    ("Guilin", "CNY", 290),
    ("Qingdao", "CNY", 350),
    ("Harbin", "CNY", 280),
    ("Lyon", "EUR", 115),
    ("Nice", "EUR", 140),
    ("Lille", "EUR", 100),
    ("Porto", "EUR", 105),
    ("Lisbon", "EUR", 125),
    ("Seville", "EUR", 110),
    ("Valencia", "EUR", 105),
    ("Bologna", "EUR", 120),
    ("Turin", "EUR", 105),
    ("Vienna", "EUR", 130),
    ("Graz", "EUR", 105),
    ("Hamburg", "EUR", 120),
    ("Munich", "EUR", 140),
    ("Ghent", "EUR", 125),
    ("Cork", "EUR", 135),
    ("Athens", "EUR", 110),
    ("Leeds", "GBP", 100),
    ("York", "GBP", 115),
    ("Bath", "GBP", 125),
    ("Cardiff", "GBP", 95),
    ("Boston", "USD", 210),
    ("Denver", "USD", 165),
    ("Austin", "USD", 175),
    ("Portland", "USD", 160),
    ("Savannah", "USD", 170),
    ("Tucson", "USD", 130),
    ("Bangkok", "THB", 1900),
    ("Phuket", "THB", 2300),
    ("Chiang Mai", "THB", 1500),
    ("Singapore", "SGD", 210),
    ("Penang", "MYR", 260),
    ("Malacca", "MYR", 230),
    ("Dubai", "AED", 420),
    ("Sharjah", "AED", 310),
    ("Toronto", "CAD", 205),
    ("Quebec", "CAD", 190),
    ("Perth", "AUD", 195),
    ("Hobart", "AUD", 185),
    ("Zurich", "CHF", 190),
    ("Basel", "CHF", 175),
)

_FIRST = [
    "Amber",
    "Ash",
    "Blue",
    "Bright",
    "Cedar",
    "Copper",
    "Coral",
    "Crown",
    "Crystal",
    "East",
    "Elm",
    "Emerald",
    "Fern",
    "Golden",
    "Grand",
    "Green",
    "Harbour",
    "Hill",
    "Ivory",
    "Jade",
    "Jasmine",
    "Lake",
    "Laurel",
    "Lotus",
    "Lime",
    "Maple",
    "Marble",
    "Moon",
    "Noble",
    "North",
    "Oak",
    "Ocean",
    "Olive",
    "Opal",
    "Orchid",
    "Palm",
    "Pearl",
    "Pine",
    "Quiet",
    "Red",
    "River",
    "Rose",
    "Royal",
    "Saffron",
    "Sage",
    "Silver",
    "Sky",
    "South",
    "Star",
    "Stone",
    "Summer",
    "Sun",
    "Velvet",
    "West",
    "White",
    "Willow",
]
_SECOND = [
    "Arch",
    "Bay",
    "Bridge",
    "Brook",
    "Canal",
    "Castle",
    "Cloud",
    "Corner",
    "Court",
    "Cove",
    "Crane",
    "Dune",
    "Field",
    "Fountain",
    "Gate",
    "Garden",
    "Grove",
    "Hall",
    "Haven",
    "Heights",
    "House",
    "Isle",
    "Lane",
    "Lantern",
    "Lodge",
    "Market",
    "Mill",
    "Mirror",
    "Park",
    "Plaza",
    "Point",
    "Quay",
    "Ridge",
    "Square",
    "Terrace",
    "Tower",
    "Valley",
    "View",
    "Villa",
    "Wharf",
]
_PATTERNS = ("Hotel {a} {b}", "{a} {b} Hotel", "The {a} {b}", "{a} {b} Inn", "{a} {b} Suites")

# stars -> price over the middle of the market, rating, and how often a hotel of that class has a facility
_PRICE = {2: 0.66, 3: 1.0, 4: 1.55, 5: 2.35}
_RATING = {2: (4.28, 0.26), 3: (4.38, 0.26), 4: (4.44, 0.20), 5: (4.55, 0.15)}
_STARS = {2: 24, 3: 36, 4: 27, 5: 13}  # of a hundred hotels
FACILITIES: dict[str, dict[int, float]] = {
    "breakfast": {2: 0.45, 3: 0.50, 4: 0.56, 5: 0.78},
    "restaurant": {2: 0.24, 3: 0.63, 4: 0.83, 5: 0.93},
    "meeting rooms": {2: 0.15, 3: 0.56, 4: 0.86, 5: 0.98},
    "gym": {2: 0.01, 3: 0.09, 4: 0.43, 5: 0.90},
    "airport shuttle": {2: 0.04, 3: 0.14, 4: 0.37, 5: 0.86},
    "pool": {2: 0.01, 3: 0.03, 4: 0.20, 5: 0.75},
    "spa": {2: 0.01, 3: 0.05, 4: 0.14, 5: 0.63},
    "bar": {2: 0.02, 3: 0.07, 4: 0.28, 5: 0.70},
}
ROOMS = (
    "twin room",
    "double room",
    "king room",
    "queen room",
    "single room",
    "triple room",
    "family room",
    "studio",
    "suite",
    "junior suite",
    "garden room",
    "loft",
)
_ROOM_PRICE = {
    "single room": 0.85,
    "triple room": 1.2,
    "family room": 1.3,
    "suite": 1.6,
    "junior suite": 1.4,
    "loft": 1.3,
}
_SPREAD = 0.40  # of the logarithm of the price within a class
_PRICE_AND_RATING = 0.35  # their correlation within a class


@dataclass(frozen=True, slots=True)
class Hotel:
    """One hotel. ``level`` is what its standard room would cost, before the room's own factor."""

    name: str
    city: str
    currency: str
    stars: int
    rating: float
    facilities: tuple[str, ...]
    level: float

    def price_of(self, room: str) -> float:
        """Return the usual selling price of a room."""
        return self.level * _ROOM_PRICE.get(room, 1.0)


def names() -> int:
    """Return how many hotel names there are."""
    return len(_FIRST) * len(_SECOND) * len(_PATTERNS)


def split_of(name: str) -> Split:
    """Return the split that a hotel's name belongs to: 70 % train, 10 % development, 20 % test.

    It hangs on nothing but the words of the name ("The Amber Gate" and "Amber Gate Inn" go together), so no
    seed can move a test hotel into training.
    """
    core = " ".join(word for word in name.split() if word not in {"Hotel", "The", "Inn", "Suites"})
    share = hashlib.sha256(core.encode()).digest()[0] / 256
    return "train" if share < 0.7 else "development" if share < 0.8 else "test"


def draw_hotel(rng: random.Random, split: Split) -> Hotel:
    """Draw a hotel of a split: its stars first, then price, rating and facilities given the stars."""
    while True:
        name = rng.choice(_PATTERNS).format(a=rng.choice(_FIRST), b=rng.choice(_SECOND))
        if split_of(name) == split:
            break
    city, currency, middle = rng.choice(CITIES)
    stars = rng.choices(list(_STARS), weights=list(_STARS.values()))[0]
    dear = rng.gauss(0, 1)
    liked = _PRICE_AND_RATING * dear + math.sqrt(1 - _PRICE_AND_RATING**2) * rng.gauss(0, 1)
    mean, spread = _RATING[stars]
    return Hotel(
        name,
        city,
        currency,
        stars,
        rating=round(min(5.0, max(3.0, mean + spread * liked)), 1),
        facilities=tuple(f for f, chance in FACILITIES.items() if rng.random() < chance[stars]),
        level=middle * _PRICE[stars] * math.exp(_SPREAD * max(-2.2, min(2.2, dear))),
    )
