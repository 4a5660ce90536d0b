"""A picture of what a network makes of the test cases: its embeddings, brought to two dimensions, coloured by class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlm_tsc.files import write_bytes

LEAST, MOST = 5, 1000  # cases: fewer have no neighbourhoods, more take minutes
NAMED_CLASSES = 20


def draw_embedding(
    path: Path, features: np.ndarray, y: np.ndarray, class_names: Sequence[str], *, title: str, seed: int = 0
) -> None:
    """Write a t-SNE of `features` (n_cases, n_features) as PNG; of more than 1,000 cases, of 1,000 drawn at random.

    van der Maaten and Hinton: Visualizing Data using t-SNE, JMLR 9 (2008). Neighbourhoods mean something, distances
    between clusters do not; nothing is computed from the picture.
    """
    shown = np.sort(np.random.default_rng(seed).permutation(len(y))[:MOST])
    points = embedded(features[shown], seed)
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xticks=[], yticks=[], title=title)
    colours = colormaps["tab10" if len(class_names) <= 10 else "turbo"]
    for i, name in enumerate(class_names):
        of_class = points[y[shown] == name]
        colour = colours(i if len(class_names) <= 10 else i / (len(class_names) - 1))
        label = name if i < NAMED_CLASSES else None
        axes.scatter(of_class[:, 0], of_class[:, 1], s=14, color=colour, label=label, linewidths=0)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    write_bytes(path, png.getvalue())


def embedded(features: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE of `features`, (n_cases, 2); too few cases for neighbourhoods stand where two of their axes put them."""
    if len(features) < LEAST or features.shape[1] < 2:
        return np.pad(features, ((0, 0), (0, 2)))[:, :2]
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(features.astype(np.float64))
