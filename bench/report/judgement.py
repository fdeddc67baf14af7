"""The parts of the report on whole trainings: claims, equivalence, time to quality, the book; and the page on its head.

A run without planned trainings has none of them: `judgement_read.judged` gives None for it. What a run with trainings
lacks is NOT MEASURED there.
"""

from collections.abc import Sequence

from bench.report import (
    judgement_book,
    judgement_claims,
    judgement_equivalence,
    judgement_head,
    judgement_time,
    judgement_trainings,
    page,
)
from bench.report.judgement_figures import Drawings
from bench.report.judgement_read import Judged


def blocks(judged: Judged, drawings: Drawings) -> list[str]:
    """Markdown blocks for the report, in its order."""
    if not (judged.trainings or judged.untried):
        return judgement_head.summary(judged)
    return [
        *judgement_claims.blocks(judged),
        *judgement_equivalence.blocks(judged),
        *judgement_time.blocks(judged, drawings),
        *judgement_book.blocks(judged, drawings),
        *judgement_head.summary(judged),
        *judgement_trainings.blocks(judged),
    ]


def broken_head(judged: Judged, drawings: Drawings, facts: Sequence[str] = ()) -> bytes | None:
    """The page on the published head as HTML; None where there is nothing of it.

    `facts` are Markdown blocks that stand under its title: what run it is of.
    """
    if not judgement_head.measured(judged):
        return None
    by_path = {drawing.path: drawing for drawing in drawings.values()}
    return page.document(judgement_head.TITLE, judgement_head.blocks(judged, drawings), by_path, facts)
