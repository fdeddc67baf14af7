"""Whether a figure can be read: the boxes of its words, as drawn."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


def tick_labels(axes: Axes) -> list[Text]:
    """Those in view: matplotlib also keeps the next one beyond either end."""
    (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    below = [entry for entry in axes.get_xticklabels() if left <= entry.get_position()[0] <= right]
    return below + [entry for entry in axes.get_yticklabels() if low <= entry.get_position()[1] <= high]


def assert_readable(figure: Figure) -> None:
    """Every word lies within the figure, and no two overlap."""
    figure.draw_without_rendering()
    words = list(figure.texts)
    for axes in figure.axes:
        words += [*tick_labels(axes), axes.xaxis.label, axes.yaxis.label, *axes.texts]
    words = [word for word in words if word.get_text() and word.get_visible()]
    words += [word for legend in figure.legends for word in legend.get_texts()]
    boxes = [(word.get_text(), word.get_window_extent()) for word in words]
    width, height = figure.get_size_inches() * figure.dpi
    assert not [text for text, box in boxes if box.x0 < 0 or box.x1 > width or box.y0 < 0 or box.y1 > height]
    assert not [(a, b) for place, (a, box) in enumerate(boxes) for b, other in boxes[:place] if box.overlaps(other)]
