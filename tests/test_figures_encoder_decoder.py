"""The map of lesson 5, which is about two boxes at once."""

from workbench import figures


def lit(name):
    """Return how many boxes of the map are lit."""
    return figures.transformer_map(lit=name).html.count('stroke-width="3.5"')


def test_the_map_of_lesson_5_lights_what_lessons_1_and_2_light_together():
    assert lit("encoder_decoder") == lit("encoder") + lit("decoder") > lit("encoder") > 0
    assert repr(figures.transformer_map(lit="encoder_decoder")).endswith("encoder decoder, lesson 5.")
