"""A distribution over classes, held against a model's next tokens: against sums written out one by one."""

from __future__ import annotations

import pytest
import torch
from scipy.special import logsumexp, rel_entr, softmax
from torch.nn.functional import one_hot

from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.soft_answers import SoftAnswers

A, B, END = 5, 6, 2
ANSWERS = [[A, END], [A, B, END], [B, END]]  # A, AB, B: two begin alike
SHARES = torch.tensor([[0.6, 0.1, 0.3], [0.2, 0.5, 0.3], [1e-9, 0.25, 0.75]])
OWN = torch.tensor([1, 0, 2])
LOG_P = torch.randn(3, 3, 9, generator=torch.Generator().manual_seed(0)).log_softmax(-1)


def softened(scores, temperature):
    return softmax(scores / temperature)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_distance_is_the_divergence_among_the_tokens_left(temperature):
    found = SoftAnswers(ANSWERS).distances(LOG_P, OWN, SHARES, temperature)
    for row, own, share, distance in zip(LOG_P, OWN, SHARES, found, strict=True):
        fed = ANSWERS[own]
        for column, predicted in enumerate(row[-len(fed) :]):
            alike = [k for k, one in enumerate(ANSWERS) if one[:column] == fed[:column]]
            tokens = sorted({ANSWERS[k][column] for k in alike})
            shares = [float(sum(share[k] for k in alike if ANSWERS[k][column] == token)) for token in tokens]
            wanted = softened(torch.tensor(shares).log().numpy(), temperature)
            given = softened(predicted[tokens].numpy(), temperature)
            expected = temperature**2 * rel_entr(wanted, given).sum()
            assert float(distance[-len(fed) + column]) == pytest.approx(expected, abs=1e-5)
        assert (distance[: -len(fed)] == 0).all()


def test_the_least_distance_has_the_odds_of_the_shares():
    """At any temperature, for answers of several tokens too."""
    log_p = LOG_P.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([log_p], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = SoftAnswers(ANSWERS).distances(log_p, OWN, SHARES, 4.0).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    first = log_p.detach()[1, -2, [A, B]]  # of "A": no padding before it, and all classes are possible
    odds = first - logsumexp(first.numpy())
    torch.testing.assert_close(odds.exp(), torch.tensor([0.7, 0.3]), atol=1e-3, rtol=0)


def test_half_of_the_loss_is_the_teachers():
    """A model that gives these log-probabilities, with labels alone and with a teacher."""

    class Fixed:
        def __call__(self, **inputs):
            return type("Outputs", (), {"logits": torch.cat([LOG_P, LOG_P[:, :1]], dim=1)})

    labels = torch.tensor([[A, B, END], [-100, A, END], [-100, B, END]])
    batch = {"labels": labels, "own": OWN, "shares": one_hot(OWN, 3).float()}
    soft = SoftAnswers(ANSWERS)
    alone, _ = AnswerLoss(soft=soft)(Fixed(), batch)
    taught, _ = AnswerLoss(soft=soft, teacher=lambda inputs: SHARES)(Fixed(), batch)
    distances = soft.distances(LOG_P, OWN, SHARES, 4.0)
    lengths = torch.tensor([3, 2, 2])
    torch.testing.assert_close(taught, alone / 2 + (distances.sum(1) / lengths).mean() / 2)
