"""Stage 3: the decoder learns to tell the classes of synthetic episodes apart, asked in the prompts of fine-tuning.

Questions with a fixed list of answers teach the decoder a handful of properties. What a dataset asks is another one,
and the few hundred steps of an adapter do not teach a decoder where to look: fine-tuned on 60 cases of OSULeaf it
stayed at chance, where a ridge classifier on the features of the same frozen tower was right in every second case. So
here the state at the position where the answer begins must hold what tells apart classes of any kind: the supervised
contrastive loss of stage 0, through the whole model. Fine-tuning then only has to name what is there already.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vlm_tsc.answer.batch import encode_prompts, on_device
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.pretrain.loop import run_stage
from vlm_tsc.pretrain.synthetic import episode
from vlm_tsc.pretrain.tasks import MOST_VALUES, draw_card
from vlm_tsc.pretrain.vision_stage import contrastive_loss, drawing_of
from vlm_tsc.representation.styles import Style

_MODES, _MODE_SHARES = ("IMAGE_ONLY", "BASELINE", "WITH_STATS"), (0.8, 0.15, 0.05)  # text costs three times the picture


class LlavaWithHead(nn.Module):
    """A LLaVA and the head that only this stage needs: linear, so that what it reads is there to be read off."""

    def __init__(self, llava: Any, embedding_size: int = 128):
        super().__init__()
        self.llava = llava
        self.embed = nn.Linear(llava.config.text_config.hidden_size, embedding_size)
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0)))

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Prompts padded on the left -> (n_cases, embedding_size) unit vectors of the state that writes the answer."""
        state = self.llava.model(**inputs, use_cache=False).last_hidden_state[:, -1]
        return F.normalize(self.embed(state).float(), dim=1)


def make_prompts(
    seed: int, step: int, *, image_size: int, n_episodes: int, n_cases: int, style: Style = "line"
) -> tuple[list[Shown], torch.Tensor, torch.Tensor]:
    """Cases as fine-tuning shows them, their episodes (n,) and classes (n,); pure in its arguments.

    All cases of an episode are asked the same question, values aside: only the series can tell them apart.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, step, 2])))
    answers = AnswerMap(tuple(str(label) for label in range(1, rng.integers(3, 13))))
    card, mode = draw_card(rng), str(rng.choice(_MODES, p=_MODE_SHARES))
    shown, episodes, classes = [], [], []
    for i in range(n_episodes):
        made = episode(seed, step * n_episodes + i, n_cases=n_cases)
        limits, channels = drawing_of(made.X, step * n_episodes + i)
        builder = PromptBuilder(answers, card, mode, round_to=1, factor=-(-made.X[0].size // MOST_VALUES))
        ranges = None if limits is None else tuple((low, high) for low, high in limits.tolist())
        presentation = Presentation(builder, (image_size, image_size), ranges, (style,), channels)
        shown += [presentation.show(case) for case in made.X]
        episodes += [i] * n_cases
        classes += made.y.tolist()
    return shown, torch.tensor(episodes), torch.tensor(classes)


def run_episode_stage(
    llava: Any,
    processor: Any,
    folder: Path,
    *,
    questions: Callable[[int], Any],
    question_loss: Callable[[Any, Any], tuple[torch.Tensor, dict[str, float]]],
    seed: int,
    image_size: int,
    n_cases: int,
    batch_size: int,
    style: Style = "line",
    **training: Any,
) -> None:
    """Train (or resume) stage 3 in place.

    Parameters
    ----------
    questions, question_loss : callable
        step -> batch and (llava, batch) -> (loss, figures) of the stage before, which goes on so that the decoder does
        not forget to answer with a letter and the end token.
    n_cases, batch_size : int
        Cases of an episode, and of a batch.
    training
        More arguments of `run_stage`.
    """
    drawn = {"seed": seed, "image_size": image_size, "n_cases": n_cases, "batch_size": batch_size, "style": style}
    torch.manual_seed(seed)
    model = LlavaWithHead(llava).to(llava.device)
    batch, loss_of = episode_batches(processor, questions, **drawn), episode_loss(question_loss)
    run_stage(model, batch, loss_of, folder=folder, plots_per_batch=batch_size, **training)


def episode_batches(
    processor: Any,
    questions: Callable[[int], Any],
    *,
    seed: int,
    image_size: int,
    n_cases: int,
    batch_size: int,
    style: Style = "line",
) -> Callable[[int], tuple[Any, ...]]:
    """step -> prompts of `batch_size` cases as tensors, their episodes and classes, and the questions beside them."""

    def batch(step: int) -> tuple[Any, ...]:
        shown, episodes, classes = make_prompts(
            seed, step, image_size=image_size, n_episodes=batch_size // n_cases, n_cases=n_cases, style=style
        )
        return encode_prompts(processor, shown), episodes, classes, questions(step)

    return batch


def episode_loss(question_loss: Callable[[Any, Any], tuple[torch.Tensor, dict[str, float]]]) -> Callable[..., Any]:
    """(LlavaWithHead, batch) -> the stage's loss, that of the questions in it, and figures."""

    def loss_of(model: Any, made: tuple[Any, ...]) -> tuple[torch.Tensor, dict[str, float]]:
        device = model.llava.device
        inputs, episodes, classes, asked = made
        embeddings = model(on_device(device, inputs))
        scale = model.log_scale.exp().clamp(max=50.0)
        loss, figures = contrastive_loss(embeddings, episodes.to(device), classes.to(device), scale)
        language, right = question_loss(model.llava, asked)
        return loss + language, figures | {"question_loss": language.item()} | right

    return loss_of
