"""Feature maps of chosen kernels, and the images as the network sees them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2 as transforms

from eric_fast.capture import ImageData, Sample, capture_activations, reduce_norm, wrap_model
from eric_fast.capture.maps import capture_maps, iterate_maps
from eric_fast.errors import DataError, ModelError, SettingError
from tests.test_capture_layers import Net, Untraceable


def make_model(kind=Net, transform=None):
    torch.manual_seed(0)
    to_float = transforms.Compose([transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)])
    return wrap_model(kind(), transform or to_float)


class Pictures(ImageData):
    """Images in memory, of any mode."""

    name = "made"
    folders = ("a",)

    def __init__(self, *images):
        self.images = images
        self.ids = tuple(f"{i}" for i in range(len(images)))

    def load_sample(self, index):
        if self.images[index] is None:
            raise DataError(f"image {index} can't be read")
        return Sample(self.images[index], 0)


def make_pictures(n, size=(24, 24), mode="RGB", seed=0):
    rng = np.random.default_rng(seed)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    return Pictures(*(Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(n)))


@pytest.mark.parametrize("kind", [Net, Untraceable])
def test_the_maps_are_those_whose_norms_are_captured(kind):
    """In the traced graph and with hooks, where operations after an activation change its map in place."""
    model, data = make_model(kind), make_pictures(6)
    activations = capture_activations(model, data, device="cpu")
    kernels = {layer: [norms.shape[1] - 1, 0] for layer, norms in reversed(activations.norms.items())}
    maps = capture_maps(model, data, range(6), kernels, device="cpu")
    assert maps.ids == data.ids
    assert dict(maps.kernels) == {layer: tuple(numbers) for layer, numbers in kernels.items()}
    for layer, norms in activations.norms.items():
        assert torch.equal(reduce_norm(maps.maps[layer], "l1"), norms[:, [-1, 0]]), layer
        assert torch.equal(maps.find_map(3, layer, 0), maps.maps[layer][3, 1])
    # Other images, in another order, in batches.
    parts = list(iterate_maps(model, data, [4, 1, 4], kernels, batch_size=2))
    assert [part.ids for part in parts] == [("4", "1"), ("4",)]
    for layer, whole in maps.maps.items():
        found = torch.cat([part.maps[layer] for part in parts])
        assert torch.allclose(found, whole[[4, 1, 4]], rtol=1e-4, atol=1e-6)


def test_images_are_what_the_network_sees():
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    to_float = [transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)]
    model = make_model(transform=transforms.Compose([transforms.CenterCrop(16), *to_float, normalise]))
    data = make_pictures(3, size=(30, 24))
    maps = capture_maps(model, data, [2, 0], {})
    for image, index in zip(maps.images, (2, 0), strict=True):
        assert np.array_equal(image.numpy(), np.asarray(data.images[index])[4:20, 7:23])
    assert not maps.maps


def test_images_of_one_channel_are_grey():
    data = make_pictures(2, mode="L")
    maps = capture_maps(make_model(), data, [1], {})
    assert np.array_equal(maps.images[0].numpy(), np.repeat(np.asarray(data.images[1])[:, :, None], 3, 2))


def test_a_transform_without_a_scale_is_shown_from_least_to_most():
    def stretch(image):  # of an even image, zeros
        pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)
        return pixels - pixels.mean()

    data = make_pictures(2)
    maps = capture_maps(make_model(transform=stretch), data, [0, 1], {})
    assert maps.images.amin() == 0
    assert maps.images.amax() == 255
    assert np.corrcoef(maps.images[1].numpy().ravel(), np.asarray(data.images[1]).ravel())[0, 1] > 0.999


def test_a_map_outlives_the_network_and_shares_nothing():
    model, data = make_model(), make_pictures(2)
    maps = capture_maps(model, data, [0, 1], {"relu": [0, 1]})
    before = maps.maps["relu"].clone()
    other = capture_maps(model, data, [1, 0], {"relu": [0, 1]})
    other.maps["relu"].zero_()
    assert torch.equal(maps.maps["relu"], before)
    maps.maps["relu"].requires_grad_()  # no inference tensor: the caller may do what they like


def test_what_is_not_there_is_refused():
    model, data = make_model(), make_pictures(3)
    with pytest.raises(ModelError, match=r"layer 'relu' has no kernel 8, only 0 to 7"):
        capture_maps(model, data, [0], {"relu": [0, 8]})
    with pytest.raises(ModelError, match=r"layer 'rellu' is not a layer of the model; did you mean"):
        capture_maps(model, data, [0], {"rellu": [0]})
    with pytest.raises(ModelError, match=r"is matched by a pattern"):
        capture_maps(model, data, [0], {"block*": [0]})
    with pytest.raises(DataError, match=r"made has no image number 3, only 0 to 2"):
        capture_maps(model, data, [0, 3], {"relu": [0]})
    with pytest.raises(SettingError, match=r"--batch-size"):
        capture_maps(model, data, [0], {"relu": [0]}, batch_size=0)
    with pytest.raises(DataError, match=r"no images of made are given"):
        capture_maps(model, data, [], {"relu": [0]})


def test_images_that_cannot_be_read():
    good = make_pictures(2).images
    data = Pictures(good[0], None, good[1])
    with pytest.raises(DataError, match=r"image 1 can't be read; repair or remove it"):
        capture_maps(make_model(), data, [0, 1], {"relu": [0]})
    maps = capture_maps(make_model(), data, [0, 1, 2], {"relu": [0]}, skip_bad_images=True)
    assert maps.ids == ("0", "2")


def test_a_network_that_fails_on_a_batch_is_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(torch.relu(self.conv(x.view(1, 3, 24, 24))).mean((2, 3)))

    with pytest.raises(ModelError, match=r"the model fails on a batch of 2 images, '0' to '1'"):
        capture_maps(make_model(Odd), make_pictures(2), [0, 1], {"relu": [0]})
