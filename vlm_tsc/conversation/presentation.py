"""How a dataset's cases are shown to a model: everything that turns a series into pictures and a question.

One Presentation is chosen per run, from the training split alone, saved with the adapter, and used for training,
evaluation and serving alike, so that the three can never differ.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.representation.downsampling import downsample
from vlm_tsc.representation.legend import legend
from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.styles import Style, draw_as


@dataclass(frozen=True)
class Shown:
    """One case as the model gets it: pictures `(height, width, 3)` uint8, and the human turn with its markers.

    `lead` is what the answer says before the class, whichever that is; empty but in WITH_RATIONALE.
    """

    pictures: list[np.ndarray]
    question: str
    lead: str = ""

    def blank(self) -> Shown:
        """The same with white pictures: paper without a line."""
        return Shown([np.full_like(picture, 255) for picture in self.pictures], self.question, self.lead)


@dataclass(frozen=True)
class Presentation:
    """Pictures and question of any case of one dataset.

    Attributes
    ----------
    builder : PromptBuilder
        Makes the question, and knows the classes and their answers.
    size : (int, int)
        Width and height of each picture in pixels.
    limits : tuple of (float, float), one per channel, or None
        Value range of the pictures; None means each case's own.
    styles : tuple of str
        How each picture is drawn, see `representation.styles`.
    channels : str
        Layout of several channels, see `representation.line.draw`.
    plot_downsampled : bool
        Draw the downsampled series instead of the whole one.
    """

    builder: PromptBuilder
    size: tuple[int, int]
    limits: tuple[tuple[float, float], ...] | None = None
    styles: tuple[Style, ...] = ("line",)
    channels: ChannelLayout = "auto"
    plot_downsampled: bool = False

    def pictures(self, case: np.ndarray) -> list[np.ndarray]:
        """The pictures of a `(n_channels, n_timepoints)` case, each `(height, width, 3)` uint8; none in TEXT_ONLY."""
        if not self.builder.n_pictures:
            return []
        if self.plot_downsampled:
            case = downsample(case, self.builder.factor, self.builder.method)
        limits = None if self.limits is None else np.array(self.limits)
        return [draw_as(style, case, self.size, limits, self.channels) for style in self.styles]

    def question(self, case: np.ndarray) -> str:
        """The human turn, beginning with one `<image>` per picture."""
        return self.builder.question(case)

    def show(self, case: np.ndarray) -> Shown:
        """Pictures, question, and what the answer says before the class."""
        return dataclasses.replace(self.texts(case), pictures=self.pictures(case))

    def texts(self, case: np.ndarray) -> Shown:
        """The same without its pictures, which take most of the time."""
        return Shown([], self.question(case), self.builder.lead(case))

    def legend(self) -> str:
        """What the pictures show, in words for people; nothing in TEXT_ONLY."""
        if not self.builder.n_pictures:
            return ""
        texts = [legend(style, self.channels) for style in self.styles]
        if len(texts) > 1:
            texts = [f"Picture {i}, {self.styles[i - 1]}: {text}" for i, text in enumerate(texts, start=1)]
        own = "those of the case itself" if self.limits is None else "the same for every case, from the training part"
        return " ".join([*texts, f"The lowest and highest values drawn are {own}."])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives an equal object back."""
        return {**dataclasses.asdict(self), "builder": self.builder.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Presentation:
        """The object that `to_dict` described."""
        limits = values["limits"]
        return cls(
            builder=PromptBuilder.from_dict(values["builder"]),
            size=tuple(values["size"]),
            limits=None if limits is None else tuple((low, high) for low, high in limits),
            styles=tuple(values["styles"]),
            channels=values["channels"],
            plot_downsampled=values["plot_downsampled"],
        )
