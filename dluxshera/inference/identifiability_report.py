"""What an information matrix determines and what it does not, in plain words."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..params import AbstractSpace
from .fisher import Identifiability, identifiability, not_finite, scaled_spectrum

WEAK = 1e-4  # eigenvalue of the unit-diagonal information below which a combination is called weak
MOST_WEAK = 5  # weak combinations that are described


def identifiability_report(information: ArrayLike, labels: Sequence[str]) -> str:
    """Say in plain words what data determine, and what to freeze or to give a prior.

    Combinations are written in units of each parameter's own error, 1/sqrt(F_ii): the error it would have if
    everything else were known.

    Parameters
    ----------
    information : array (D, D)
        As `fisher_information` gives it; add the information of the priors to ask about both.
    labels : sequence of str (D,)
        Names of the elements of θ.

    Returns
    -------
    str
        One line for the rank and the condition, then one for each parameter without effect, each combination that is
        not seen at all, and each that is seen weakly. Of a matrix that is not finite, where that is.

    Raises
    ------
    ValueError
        If the matrix is not square or there is not one label for each row.
    """
    information, labels = np.asarray(information, float), tuple(labels)
    if information.shape != (len(labels),) * 2:
        raise ValueError(f"Expected information of shape {(len(labels),) * 2} for the labels, got {information.shape}.")
    if bad := not_finite(information, labels):
        return f"The information is not finite for {', '.join(bad)}: nothing can be said of what the data determine."
    alive = np.diagonal(information) > 0
    names = tuple(label for label, lives in zip(labels, alive, strict=True) if lives)
    dead = [f"{label}: no effect on the data. Freeze it or give it a prior." for label in labels if label not in names]
    if not names:
        return "\n".join([f"Rank 0 of {len(labels)}.", *dead])
    spectrum = scaled_spectrum(jnp.asarray(information[np.ix_(alive, alive)]))
    values, vectors, seen = (np.asarray(a) for a in (spectrum.values, spectrum.vectors, spectrum.seen))
    return "\n".join(
        [
            f"Rank {seen.sum()} of {len(labels)}; condition {values[seen][-1] / values[seen][0]:.2g} of what is seen, "
            "each parameter in units of its own error.",
            *dead,
            *_unseen(vectors[:, ~seen], names),
            *_weak(values[seen], vectors[:, seen], names),
        ]
    )


def identifiability_of(space: AbstractSpace, information: Float[Array, "D D"]) -> Identifiability:
    """`identifiability` of a space's θ; a mode is named with the parameters that take part in it.

    Raises
    ------
    ValueError
        If the information is not finite, naming where.
    """
    return identifiability(information, _in_words(space))


def _in_words(space: AbstractSpace) -> tuple[str, ...]:
    """Labels of θ, those of modes with what they are made of."""
    if space.kind == "primitive":
        return space.labels
    made_of = (combination(column, space.primitive.labels) for column in np.asarray(space.vectors).T)
    return tuple(f"{label} ({parts})" for label, parts in zip(space.labels, made_of, strict=True))


def combination(vector: ArrayLike, labels: Sequence[str], largest: int = 4) -> str:
    """Write a direction as a sum of its largest components: `0.8 a - 0.6 b`.

    Parameters
    ----------
    vector : array (D,)
    labels : sequence of str (D,)
    largest : int
        Most components that are written; those below a twentieth of the length are left out, and dots say so.
    """
    vector = np.asarray(vector, float) / max(np.linalg.norm(vector), np.finfo(float).tiny)
    order = [i for i in np.argsort(-np.abs(vector), kind="stable") if abs(vector[i]) > 0.05]
    terms = [f"{'-' if vector[i] < 0 else '+'} {abs(vector[i]):.2f} {labels[i]}" for i in order[:largest]]
    text = " ".join(terms).removeprefix("+ ")
    return f"{text} ..." if len(order) > largest else text


def sparse_basis(directions: ArrayLike) -> tuple[Float[np.ndarray, "m D"], tuple[int, ...]]:
    """Combine directions so that each has one element that no other has.

    Gauss-Jordan elimination with full pivoting. A pair that is degenerate on its own is thereby named on its own,
    which eigenvectors of one repeated eigenvalue need not do.

    Returns
    -------
    rows : array (m, D)
    pivots : tuple of int (m,)
        Element of each row that is one there and zero in the others: with these held, nothing of the space is left.
    """
    rows, pivots = np.array(directions, float).T, []
    for i in range(len(rows)):
        left, column = np.unravel_index(np.argmax(np.abs(rows[i:])), rows[i:].shape)
        rows[[i, i + left]] = rows[[i + left, i]]
        rows[i] /= rows[i, column]
        others = np.arange(len(rows)) != i
        rows[others] -= rows[others, column, None] * rows[i]
        pivots.append(int(column))
    return rows, tuple(pivots)


def _unseen(directions: np.ndarray, labels: Sequence[str]) -> list[str]:
    rows, pivots = sparse_basis(directions)
    return [
        f"{combination(row, labels, len(labels))}: not seen at all. Freeze {labels[pivot]} or give it a prior."
        for row, pivot in zip(rows, pivots, strict=True)
    ]


def _weak(values: np.ndarray, vectors: np.ndarray, labels: Sequence[str]) -> list[str]:
    """Lines for the weakest combinations that are seen; `values` ascend."""
    lines = []
    for value, vector in zip(values[:MOST_WEAK], vectors.T[:MOST_WEAK], strict=True):
        if value < WEAK:
            worst = int(np.argmax(np.abs(vector)))
            text = combination(vector * np.sign(vector[worst]), labels)
            lines.append(
                f"{text}: seen weakly, its error is {1 / np.sqrt(value):.2g} times that of its "
                f"parameters alone. A prior on {labels[worst]} would help most."
            )
    return lines
