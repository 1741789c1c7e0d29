"""Heat maps: what is drawn where."""

import numpy as np
import pytest
from matplotlib import colormaps

from eric_fast.capture.heat import DIMMED, OPACITY, draw_heat_map, find_strength, upsample_map

GREY = np.full((32, 32, 3), 100, np.uint8)


def make_spot(row, column, value=2.0, shape=(8, 8)):
    activation = np.zeros(shape, np.float32)
    activation[row, column] = value
    return activation


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (7, 7)])
def test_the_strongest_place_is_drawn_where_it_is(row, column):
    drawn = np.asarray(draw_heat_map(GREY, make_spot(row, column), size=264), float)  # 33 for each of the map
    centre = drawn[33 * row + 16, 33 * column + 16]
    expected = DIMMED * 100 * (1 - OPACITY) + OPACITY * 255 * np.array(colormaps["viridis"](255)[:3])
    assert np.abs(centre - expected).max() < 3
    far = drawn[(33 * row + 144) % 264, (33 * column + 144) % 264]
    assert np.array_equal(far, np.full(3, DIMMED * 100))


def test_the_line_encloses_what_is_above_the_threshold():
    activation = np.zeros((4, 4), np.float32)
    activation[1:3, 1:3] = 1
    drawn = np.asarray(draw_heat_map(GREY, activation, threshold=0.5, size=256))
    white = (drawn == 255).all(axis=2)
    area = upsample_map(activation, 256, 256) > 0.5
    assert white.any()
    assert not white[~area].any()
    assert not white[128, 128]
    inside = np.argwhere(area)
    border = np.argwhere(white)
    assert (border.min(0) == inside.min(0)).all()
    assert (border.max(0) == inside.max(0)).all()
    assert not (np.asarray(draw_heat_map(GREY, activation, size=256)) == 255).all(axis=2).any()
    assert not (np.asarray(draw_heat_map(GREY, activation, threshold=1.0, size=256)) == 255).all(axis=2).any()


@pytest.mark.parametrize(("norm", "counts"), [("l1", True), ("l2", True), ("max", False), ("mean", False)])
def test_negative_activations_count_where_the_norm_counts_them(norm, counts):
    activation = make_spot(4, 4, -2.0)
    assert (find_strength(activation, norm) > 1.0).sum() == counts
    plain = np.asarray(draw_heat_map(GREY, np.zeros((8, 8)), norm=norm))
    assert (np.asarray(draw_heat_map(GREY, activation, norm=norm)) != plain).any() == counts


def test_pictures_with_one_top_are_comparable():
    weak, strong = (np.asarray(draw_heat_map(GREY, make_spot(4, 4, v), top=2.0), int) for v in (0.1, 2.0))
    plain = np.full_like(weak, round(DIMMED * 100))
    assert np.abs(weak - plain).max() < np.abs(strong - plain).max()
    alone = np.asarray(draw_heat_map(GREY, make_spot(4, 4, 0.1)), int)
    assert np.array_equal(alone, strong)
    assert np.asarray(draw_heat_map(GREY, make_spot(4, 4, 9.0), top=2.0)).max() > strong.max()  # no overflow


@pytest.mark.parametrize(("shape", "size", "expected"), [((32, 32), None, (32, 32)), ((20, 40), 96, (96, 48))])
def test_sizes(shape, size, expected):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = draw_heat_map(image, np.random.default_rng(1).random((3, 5)), threshold=0.5, size=size)
    assert picture.size == expected
    assert picture.mode == "RGB"
