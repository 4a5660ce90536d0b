"""The training loop: end to end, or the head alone; the epoch that counts is chosen on validation cases."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from vlm_tsc.classify.epochs import Resumable, run_epochs
from vlm_tsc.classify.inception_time.cases import epoch_batches
from vlm_tsc.classify.masked_transformer.encoder import seeded
from vlm_tsc.classify.masked_transformer.network import MaskedTransformer
from vlm_tsc.classify.masked_transformer.patches import PatchedCases
from vlm_tsc.classify.ranks import Tensors
from vlm_tsc.finetune.state import load_optimizer_tensors, optimizer_tensors

WARM_UP = 0.1  # of the steps
WEIGHT_DECAY = 0.01
EVAL_BATCH = 64


class Training(Resumable):
    """The state of a training run between two epochs.

    With validation cases, the weights that count in the end are those of the epoch that answers most of them rightly;
    of equal ones that with the lower loss. Without, those of the last epoch, at the end of the rate's schedule.

    `lr` is the peak rate of all that learns: the head alone where `linear`.
    """

    def __init__(
        self,
        network: MaskedTransformer,
        cases: PatchedCases,
        *,
        lr: float,
        batch_size: int,
        epochs: int,
        linear: bool,
        random_state: int,
        validation: PatchedCases | None = None,
    ):
        super().__init__(network, random_state)
        self.cases, self.validation = cases, validation
        self.batch_size, self.epochs = batch_size, epochs
        network.encoder.requires_grad_(not linear)
        # a frozen encoder gives the same features in every epoch
        self.fixed = network.features(cases, EVAL_BATCH) if linear else None
        self.lr = lr
        learning = [one for part in (network.head, network.encoder) for one in part.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(learning, lr, weight_decay=WEIGHT_DECAY)
        self.best_figures = torch.tensor([-1.0, math.inf, 0.0], dtype=torch.float64)  # accuracy, loss, epoch

    def run_epoch(self) -> dict[str, float]:
        """One pass; loss and accuracy as met on the way, and those of the validation cases after it.

        Raises
        ------
        InputError
            When the loss is no longer a number.
        """
        assert self.cases.codes is not None
        self.epoch += 1
        self.network.train()
        sums = torch.zeros(2, device=self.cases.values.device)
        with seeded(self.random_state, self.epoch):  # dropout: a resumed run draws the same
            order = (0,), self.random_state, self.epoch, sums.device
            batches = epoch_batches(len(self.cases), self.batch_size, *order)
            for i, indices in enumerate(batches):
                sums += self._step(i, indices[:, 0])
        loss, accuracy = (sums / len(self.cases)).tolist()
        self.check_finite(loss)
        return {"train_loss": loss, "train_accuracy": accuracy} | self._validated()

    def _step(self, i: int, indices: torch.Tensor) -> torch.Tensor:
        """Step `i` of an epoch; sums of loss and of right answers."""
        assert self.cases.codes is not None
        per_epoch = -(-len(self.cases) // self.batch_size)
        done = ((self.epoch - 1) * per_epoch + i + 1) / (self.epochs * per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * share_of_peak(done)
        codes = self.cases.codes[indices]
        if self.fixed is None:
            logits = self.network(*self.cases.select(indices))
        else:
            logits = self.network.classify(self.fixed[indices])
        loss = F.cross_entropy(logits, codes)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack([loss.detach() * len(indices), (logits.argmax(1) == codes).sum()])

    def _validated(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        codes = self.validation.codes
        assert codes is not None
        answered = self.network.probabilities(self.validation, EVAL_BATCH)
        accuracy = float((answered.argmax(1) == codes).double().mean())
        loss = float(-answered.gather(1, codes[:, None]).clamp(min=1e-12).log().mean())
        best_accuracy, best_loss, _ = self.best_figures.tolist()
        if (accuracy, -loss) > (best_accuracy, -best_loss):
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.best_figures = torch.tensor([accuracy, loss, self.epoch], dtype=torch.float64)
        return {"valid_loss": loss, "valid_accuracy": accuracy}

    def take_best(self) -> int:
        """Give the network the weights that count; the epoch they are of."""
        if self.validation is not None:
            self.network.load_state_dict(self.best)
        self.network.eval()
        return self.epoch if self.validation is None else int(self.best_figures[2])

    def own_tensors(self) -> Tensors:
        """See `Resumable`."""
        return optimizer_tensors(self.optimizer) | {"best_figures": self.best_figures}

    def load_own(self, tensors: Tensors) -> None:
        """See `Resumable`."""
        load_optimizer_tensors(self.optimizer, tensors)
        self.best_figures = tensors["best_figures"]


def share_of_peak(done: float) -> float:
    """Of the peak rate when the share `done` of all steps is done: a linear rise, then half a cosine."""
    if done < WARM_UP:
        return done / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def train(
    training: Training, *, folder: Path | None = None, fingerprint: str = "", save_every_seconds: float = 30.0
) -> tuple[float, int]:
    """Run a training to its end and leave its network, in evaluation mode, with the weights that count.

    Parameters
    ----------
    folder, fingerprint, save_every_seconds
        See `vlm_tsc.classify.epochs.run_epochs`.

    Returns
    -------
    float, int
        Seconds that the epochs took, those before an interruption included; the epoch whose weights count.
    """
    run_epochs(
        training,
        training.epochs,
        training.run_epoch,
        title="masked transformer",
        folder=folder,
        fingerprint=fingerprint,
        save_every_seconds=save_every_seconds,
    )
    return training.seconds, training.take_best()
