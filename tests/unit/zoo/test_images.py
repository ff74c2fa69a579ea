import numpy
import pytest

from zoo.errors import ZooError
from zoo.twins import images


@pytest.mark.parametrize("shape", images.SHAPES)
@pytest.mark.parametrize("size", [32, 65])
def test_an_image_shows_its_colour_on_the_ground(shape, size):
    pixels = numpy.asarray(images.draw(f"red {shape}", size))
    assert pixels.shape == (size, size, 3)
    assert tuple(pixels[0, 0]) == images.GROUND
    red = (numpy.abs(pixels.astype(int) - images.COLOURS["red"]).max(-1) < 30).mean()
    assert 0.05 < red < 0.6


def test_every_shape_and_place_is_another_image():
    drawn = {images.draw(f"blue {shape}", 32, place).tobytes() for shape in images.SHAPES for place in images.PLACES}
    assert len(drawn) == len(images.SHAPES) * len(images.PLACES)


@pytest.mark.parametrize(("name", "named"), [("mauve circle", "mauve"), ("red heptagon", "heptagon"), ("", "''")])
def test_what_cannot_be_drawn_is_named(name, named):
    with pytest.raises(ZooError, match=named):
        images.draw(name, 32)
