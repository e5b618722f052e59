"""Hotel price negotiation: a booking platform's agent asks hotels for lower selling prices."""

from repo_exp.domains.hotel.generate import generate

__all__ = ["generate"]
