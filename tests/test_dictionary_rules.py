"""The steps of dictionary learning with two atoms, each against its definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from common.stain import estimation

PENALTY = 0.15


def atoms(seed=0, length=1.0):
    """Two atoms (2, 3), not negative; of this length."""
    found = np.random.default_rng(seed).uniform(0.1, 1, (2, 3)) * [[1, 0.5, 0.2], [0.2, 0.5, 1]]
    return length * found / np.linalg.norm(found, axis=1, keepdims=True)


def pixels(seed=0, n=200):
    """Densities (3, n): of both atoms, of one, and too weak for any."""
    random = np.random.default_rng(seed)
    amounts = random.uniform(0, 1.5, (n, 2)) * (random.random((n, 2)) < 0.6)
    noise = random.uniform(0, 0.15, (n, 3))
    return np.ascontiguousarray((amounts @ atoms(seed) + noise).astype(np.float32).T)


def codes(x, d):
    """Codes (2, n) that minimise |x - a d|^2 / 2 + penalty sum(a), a >= 0, of all active sets."""
    best = []
    for one in x.T.astype(float):
        tried = [np.zeros(2)]
        for k in range(2):
            alone = np.zeros(2)
            alone[k] = max((d[k] @ one - PENALTY) / (d[k] @ d[k]), 0)
            tried.append(alone)
        both = np.linalg.solve(d @ d.T, d @ one - PENALTY)
        tried += [both] if (both >= 0).all() else []
        cost = [((one - a @ d) ** 2).sum() / 2 + PENALTY * a.sum() for a in tried]
        best.append(tried[int(np.argmin(cost))])
    return np.array(best).T


def moved(d, both, x):
    """Each atom in turn to where the codes want it, not negative and no longer than 1."""
    d = d.copy()
    for k in range(2):
        rest = x - np.outer(d[1 - k], both[1 - k])
        atom = np.maximum(rest @ both[k] / (both[k] @ both[k]), 0)
        d[k] = atom / max(1, np.linalg.norm(atom))
    return d


@pytest.mark.parametrize("length", [1.0, 0.6])
def test_codes_are_the_least_cost_of_every_pixel(length):
    x, d = pixels(), atoms(length=length)
    expected = codes(x, d)
    np.testing.assert_allclose(estimation._codes(x, d, PENALTY), expected, atol=1e-5)
    used = expected > 0
    groups = estimation._groups(x, d, PENALTY)
    assert groups.dtype == np.float32
    wanted = [used[0] & used[1], used[0] & ~used[1], ~used[0] & used[1]]
    assert (groups == wanted).all() and groups.sum(axis=1).min() > 5


def test_no_atom_is_nothing():
    """An atom of length 0 has no code, and nothing is divided by it."""
    d = atoms()
    d[1] = 0
    found = estimation._codes(pixels(), d, PENALTY)
    assert np.isfinite(found).all() and (found[1] == 0).all()


@pytest.mark.parametrize("length", [1.0, 0.6, np.array([[0.9], [0.6]])])
def test_a_step_of_the_dictionary(length):
    """The sums over the groups of pixels stand for the pixels; without a penalty atoms shorten."""
    x, d = pixels(1, 400), atoms(2, length)
    features = np.stack([np.ones(400), *x, *(x[i] * x[j] for i, j in estimation._PRODUCTS)])
    moments = estimation._groups(x, d, PENALTY) @ features.T
    found = estimation._dictionary_step(d, moments, PENALTY)
    np.testing.assert_allclose(found, moved(d, codes(x, d), x), atol=1e-4)
    assert abs(found - d).max() > 0.02


def test_where_atoms_are_moved():
    random, d = np.random.default_rng(0), atoms()
    before = d.copy()
    for x in (pixels(3), -pixels(3), 3 * pixels(3)):
        both = random.uniform(0, 1, (2, 200))
        found = estimation._moved_atoms(d, both @ both.T, both @ x.T)
        np.testing.assert_allclose(found, moved(d, both, x), atol=1e-6)
    both[1] = 0  # used by no pixel: it stays
    found = estimation._moved_atoms(d, both @ both.T, both @ x.T)
    assert (found[1] == d[1]).all() and (found[0] != d[0]).any()
    assert (d == before).all()
    few = np.diag([1.1e-12, 0.9e-12])
    found = estimation._moved_atoms(d, few, np.zeros((2, 3)))
    assert (found[0] < 1e-12).all() and (found[1] == d[1]).all()


def test_gram_matrices_are_inverted():
    d = atoms(length=0.7)
    np.testing.assert_allclose(estimation._inverse_gram(d), np.linalg.inv(d @ d.T), rtol=1e-6)
    same = np.stack([d[0], d[0]])
    assert np.isfinite(estimation._inverse_gram(same)).all()


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_learnt_is_where_no_step_moves(turned):
    x = pixels(4, 3000)
    start = atoms(5)[::-1] if turned else atoms(5)
    found = estimation.vahadane_matrix(x.T, start, PENALTY)
    assert found[0, 0] > found[1, 0]
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1])
    np.testing.assert_allclose(moved(found, codes(x, found), x), found, atol=2e-4)
