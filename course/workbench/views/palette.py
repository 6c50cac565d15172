"""The colours of heads and layers."""

# Eight colours that differ from each other, and from the paper, under all common kinds of colour blindness; they were
# searched for, and tests/test_views.py measures them. A ninth head has the first colour again, with another dash.
COLOURS = {
    "light": ["#6600ff", "#dd7700", "#119966", "#dd55ff", "#773300", "#004444", "#aa88bb", "#662288"],
    "dark": ["#ffcc00", "#66ddcc", "#ff66ff", "#cc5511", "#bbdd88", "#9911ff", "#556688", "#885544"],
}
PAPER = {"light": "#ffffff", "dark": "#111111"}
# Lengths of line and gap; an empty one is a line without gaps.
DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3], [12, 4], [1, 5]]
