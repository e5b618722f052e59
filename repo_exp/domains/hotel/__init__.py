"""Hotel price negotiation: a booking platform's agent asks hotels for lower selling prices."""

from repo_exp.domains.hotel.dialogue import Dialogue
from repo_exp.domains.hotel.generate import corpus
from repo_exp.domains.hotel.options import HotelOptions as Options

environment = Dialogue
SPEAKERS = {"assistant": "Agent", "user": "Hotel"}

__all__ = ["SPEAKERS", "Options", "corpus", "environment"]
