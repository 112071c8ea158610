"""Landmarks that cross water."""

from __future__ import annotations

import numpy as np

from geosearch.postcards.canvas import RGB, mix
from geosearch.postcards.stage import Figure

_RED: RGB = (192, 70, 48)


def suspension_bridge(figure: Figure) -> None:
    """Two red towers, a cable between them, a deck far above the water."""
    red = figure.ink(_RED)
    span, deck, top = 46.0, 13.0, 52.0
    for a in (-span, span):
        for leg in (-2.6, 2.6):
            figure.rect(a + leg - 0.9, 0, a + leg + 0.9, top, red)
        for b in (22, 33, 43, 50):
            figure.rect(a - 2.6, b, a + 2.6, b + 1.8, red)
    figure.rect(-130, deck, 130, deck + 2.2, mix(red, (60, 40, 50), 0.25))
    cable = [
        (a, deck + 3 + (top - deck - 3) * (a / span) ** 2)
        for a in np.arange(-46.0, 47.0, 4.0).tolist()
    ]
    figure.line(cable, red, 0.9)
    for side in (-1, 1):
        figure.line([(side * span, top), (side * 120, deck + 2)], red, 0.9)
    for a, b in cable:
        figure.line([(a, b), (a, deck)], red, 0.25)


def arch_bridge(figure: Figure) -> None:
    """A steel arch over a deck, between stone towers."""
    steel, deck = figure.ink((112, 120, 128)), 14.0
    upper = [(a, 12 + 34 * (1 - (a / 56) ** 2)) for a in np.arange(-56.0, 57.0, 7.0).tolist()]
    lower = [(a, 4 + 34 * (1 - (a / 56) ** 2)) for a in np.arange(-56.0, 57.0, 7.0).tolist()]
    for (a, b), (_, c) in zip(upper, lower, strict=True):
        figure.line([(a, b), (a, c)], steel, 0.6)
        figure.line([(a, min(c, b)), (a, deck)], steel, 0.35)
    for (a, b), (c, d) in zip(upper, lower[1:], strict=False):
        figure.line([(a, b), (c, d)], steel, 0.4)
    figure.line(upper, steel, 1.3)
    figure.line(lower, steel, 1.3)
    figure.rect(-120, deck, 120, deck + 2, steel)
    for a in (-60.0, 60.0):
        figure.round_rect(a - 5, 0, a + 5, 26, figure.ink((206, 190, 162)))
