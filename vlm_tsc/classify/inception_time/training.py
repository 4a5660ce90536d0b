"""The training loop: all members at once, each with its own data order, rate and best epoch; resumable."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from vlm_tsc.classify.epochs import Resumable, by_group, in_groups, run_epochs
from vlm_tsc.classify.inception_time.cases import Cases, epoch_batches
from vlm_tsc.classify.inception_time.network import InceptionTime
from vlm_tsc.classify.inception_time.optimizer import MemberAdam, Plateau
from vlm_tsc.classify.ranks import ALONE, Ranks, Tensors


class Training(Resumable):
    """The state of a training run between two epochs; with several processes, of this one's members.

    The weights that count in the end are those after each member's epoch of lowest training loss, as in the authors'
    code: no case is held out to choose by.
    """

    def __init__(self, network: InceptionTime, rate: float, random_state: int, ranks: Ranks = ALONE):
        super().__init__(network, random_state)
        self.ranks = ranks
        self.optimizer = MemberAdam(dict(network.named_parameters()))
        self.plateau = Plateau(len(network.members), rate, network.head.device)
        self.best_losses = torch.full_like(self.plateau.best, torch.inf)

    def run_epoch(self, cases: Cases, batch_size: int) -> tuple[float, float]:
        """One pass; mean over the members of training loss and accuracy, both as met on the way.

        Raises
        ------
        InputError
            When the loss is no longer a number.
        """
        assert cases.codes is not None
        self.network.train()
        members, self.epoch = self.network.members, self.epoch + 1
        sums = torch.zeros(2, len(members), device=cases.values.device)
        order = members, self.random_state, self.epoch, sums.device
        for indices in epoch_batches(len(cases), batch_size, *order):
            codes = cases.codes[indices]
            logits = self.network(*cases.select(indices))
            losses = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes).sum(0)
            (losses / len(indices)).sum().backward()
            self.optimizer.step(self.plateau.rates)
            sums += torch.stack([losses.detach(), (logits.argmax(2) == codes).sum(0)])
        losses, accuracies = sums / len(cases)
        loss, accuracy = self.ranks.average(torch.stack([losses.mean(), accuracies.mean()]), len(members)).tolist()
        self.check_finite(loss, losses.tolist())  # in every process alike, or the others would wait for this one
        self._keep_best(losses)
        self.plateau.step(losses)
        return loss, accuracy

    @torch.no_grad()
    def _keep_best(self, losses: torch.Tensor) -> None:
        better = losses < self.best_losses
        if not better.any():
            return
        self.best_losses = torch.where(better, losses, self.best_losses)
        for name, value in self.network.state_dict().items():
            which = better.view(-1, *[1] * (value.ndim - 1))
            self.best[name] = torch.where(which, value, self.best[name])

    def take_best(self) -> None:
        """Give the network each member's best weights."""
        self.network.load_state_dict(self.best)
        self.network.eval()

    def own_tensors(self) -> Tensors:
        """See `Resumable`."""
        groups = in_groups(optimizer=self.optimizer.tensors(), plateau=self.plateau.tensors())
        return groups | {"best_losses": self.best_losses}

    def load_own(self, tensors: Tensors) -> None:
        """See `Resumable`."""
        groups = by_group(tensors)
        self.optimizer.load(groups["optimizer"])
        self.plateau.load(groups["plateau"])
        self.best_losses = tensors["best_losses"].to(self.best_losses.device)


def train(
    network: InceptionTime,
    cases: Cases,
    *,
    lr: float,
    batch_size: int,
    epochs: int,
    random_state: int,
    validation: Cases | None = None,
    folder: Path | None = None,
    fingerprint: str = "",
    save_every_seconds: float = 30.0,
    ranks: Ranks = ALONE,
) -> float:
    """Train `network` on `cases` and leave it, in evaluation mode, with each member's best weights.

    Parameters
    ----------
    network : InceptionTime
    cases, validation : Cases
        With their codes. Validation cases are only looked at for the log; they choose nothing.
    lr, batch_size, epochs, random_state
        See `Hyperparameters`.
    folder : Path, optional
        For `state.safetensors`, from which an interrupted run goes on, and `log.jsonl`, one line an epoch:
        train_loss and train_accuracy (means over the members, as met during the epoch), valid_loss and valid_accuracy
        (of the averaged probabilities).
    fingerprint : str
        Hash of all that determines the run; a state with another one is not gone on from.
    ranks : Ranks
        With several processes, `network` holds this one's members; see `vlm_tsc.classify.epochs.run_epochs`.

    Returns
    -------
    float
        Seconds that the epochs took, those before an interruption included.
    """
    training = Training(network, lr, random_state, ranks)

    def one_epoch() -> dict[str, float]:
        loss, accuracy = training.run_epoch(cases, batch_size)
        line = {"train_loss": loss, "train_accuracy": accuracy}
        return line if validation is None else line | _validated(network, validation, batch_size, ranks)

    run_epochs(
        training,
        epochs,
        one_epoch,
        title="InceptionTime",
        folder=folder,
        fingerprint=fingerprint,
        save_every_seconds=save_every_seconds,
        ranks=ranks,
    )
    training.take_best()
    return training.seconds


def _validated(network: InceptionTime, cases: Cases, batch_size: int, ranks: Ranks) -> dict[str, float]:
    assert cases.codes is not None
    answered = ranks.average(probabilities(network, cases, batch_size), len(network.members))
    right = answered.gather(1, cases.codes[:, None])[:, 0]
    accuracy = (answered.argmax(1) == cases.codes).float().mean()
    # the smallest probability that counts is that of scikit-learn's log_loss in single precision
    loss = -right.clamp(min=torch.finfo(torch.float32).eps).log().mean()
    return {"valid_loss": float(loss), "valid_accuracy": float(accuracy)}


@torch.no_grad()
def probabilities(network: InceptionTime, cases: Cases, batch_size: int) -> torch.Tensor:
    """Mean over the members of their probabilities, (n_cases, n_classes)."""
    network.eval()
    found = []
    for indices in torch.arange(len(cases), device=cases.values.device).split(batch_size):
        logits = network(*cases.select(indices[:, None].expand(-1, len(network.members))))
        found.append(logits.double().softmax(2).mean(1))
    return torch.cat(found)
