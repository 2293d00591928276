import pytest
import torch

from fpt.prompts.localisation import attention_on_key, chance, key_patches, precision


def mask_with(*ranges):
    """A 16 x 16 mask, True in the given (rows, columns)."""
    mask = torch.zeros(16, 16, dtype=torch.bool)
    for rows, columns in ranges:
        mask[rows, columns] = True
    return mask


def patches(mask):
    """Indices of the key patches on a 2 x 4 grid: cells of 8 x 4 pixels, of which 1/16 is 2 pixels."""
    return key_patches(mask, (2, 4)).nonzero().ravel().tolist()


def test_key_patches_by_hand():
    assert patches(mask_with((slice(0, 8), slice(0, 4)))) == [0]
    assert patches(mask_with((slice(7, 9), slice(3, 9)))) == [1, 5]  # four pixels each; their neighbours get one
    assert patches(mask_with((slice(14, 16), slice(12, 13)))) == [7]  # two pixels, just enough
    assert patches(mask_with((slice(0, 1), slice(0, 2)), (slice(15, 16), slice(15, 16)))) == [0]


def test_a_key_thinner_than_a_sixteenth_everywhere_has_its_best_patch():
    assert patches(mask_with((slice(3, 4), slice(9, 10)))) == [2]


def test_an_empty_mask_has_no_key_patches():
    assert patches(mask_with()) == []


def test_patches_run_row_by_row_in_images_of_any_number_of_dimensions():
    masks = torch.stack([mask_with((slice(0, 8), slice(4, 8))), mask_with((slice(8, 16), slice(8, 12)))])
    found = key_patches(masks.view(2, 1, 16, 16), (2, 4))
    assert found.shape == (2, 1, 8)
    assert found.nonzero()[:, 2].tolist() == [1, 6]


def test_masks_that_the_grid_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="masks must be a multiple of the 3 x 4 patch grid but are 16 x 16"):
        key_patches(mask_with(), (3, 4))


def test_precision_and_chance_by_hand():
    key = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]]).bool()
    prompts = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1]]).bool()
    assert precision(prompts, key) == pytest.approx((1 / 2 + 1) / 2)
    assert chance(key) == pytest.approx((2 / 4 + 1 / 4) / 2)


def test_attention_on_key_by_hand():
    key = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]]).bool()
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.1, 0.7]])
    assert attention_on_key(attention, key).item() == pytest.approx((0.3 + 0.7) / 2)
