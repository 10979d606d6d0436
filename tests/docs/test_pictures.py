"""The picture of slots and lanes shows the slots that the scripts give out today."""

from pace_picture import PICTURE, draw


def test_the_picture_of_slots_and_lanes_is_current(client):
    assert draw(client) == PICTURE.read_text(), "draw it with: python tests/docs/pace_picture.py"
