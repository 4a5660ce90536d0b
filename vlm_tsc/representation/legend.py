"""What a picture shows, in words for people: its colours mean nothing to whom nobody told."""

from __future__ import annotations

from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.styles import Style

_COLOURS = "two channels are red and blue, three are red, green and blue, and more take further panels"
_PANEL = "Each channel has a panel."
_LEGENDS: dict[Style, str] = {
    "line": "The series is a black line, time to the right; {lines}.",
    "differences": "Three curves over time: cyan the values, magenta their first differences (the slope), yellow their "
    "second differences (the bend). Slope and bend are each at a scale of their own, with zero at mid-height. Where "
    "curves cross, their inks mix: to blue, red or green, and to black where all three do. Several channels are "
    "lines instead: {lines}.",
    "stack": f"Segments of equal duration are rows of grey: time runs as text is read, low values are black. {_PANEL}",
    "gasf": "The Gramian angular summation field, time from the upper left corner to the lower right: dark violet is "
    f"-1, yellow 1. {_PANEL}",
    "recurrence": "Distances between the states of the series at any two times, from the upper left corner: black is "
    f"the same state, white as different as can be. {_PANEL}",
    "spectrogram": "Power over time, to the right, and frequency, upwards: yellow is strong, dark violet is 60 "
    f"decibels weaker. {_PANEL}",
}


def legend(style: Style, channels: ChannelLayout = "auto") -> str:
    """What the colours and directions of a picture mean, whatever the number of channels."""
    lines = "each of several channels has a panel of its own" if channels == "multiples" else _COLOURS
    return _LEGENDS[style].format(lines=lines)
