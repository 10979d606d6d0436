"""The picture of slots and lanes shows what the scripts do today."""

from pace_picture import PICTURE, draw


def test_the_picture_of_slots_and_lanes_is_current(client):
    assert draw(client) == PICTURE.read_text(), "write it with: python tests/docs/pace_picture.py"
