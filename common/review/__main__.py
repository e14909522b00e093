"""One page for a reviewer or an author: python -m common.review --predictions FILE ... OUT."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict

from common import errors, files, papers, report
from common.arguments import Parser
from common.files import output_text, path_argument
from common.review import content, review, text


def main(arguments: Sequence[str] | None = None) -> int:
    """Review what there is of a study.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: the process's own.

    Returns
    -------
    int
        0: nothing is wrong; 1: something is. Bad input ends with 2.
    """
    parser = Parser(
        prog="python -m common.review",
        description="Review a study on microscopic images by what there is of it: printed numbers, "
        "split, predictions, images, of any paper. Writes one page, and says the findings here. "
        "docs/review.md says how the files look. Exit code 0: nothing is wrong, 1: something is, "
        "2: bad input.",
    )
    parser.add_argument("out", metavar="OUT", type=output_text, help="the page, an HTML file")
    parser.add_argument(
        "--numbers", metavar="NUMBERS",
        help=f"printed numbers, as common.forensics takes them; or {', '.join(papers.PAPERS)}",
    )  # fmt: skip
    parser.add_argument("--split", metavar="FILE", type=path_argument,
                        help="CSV with a line for each image, and its part")  # fmt: skip
    parser.add_argument("--predictions", metavar="FILE", type=path_argument,
                        help="CSV with a line for each tested image")  # fmt: skip
    parser.add_argument("--images", metavar="DIR", type=path_argument, help="folder of the images")
    parser.add_argument("--truth", metavar="COLUMN", help="column of true labels")
    parser.add_argument("--prediction", metavar="COLUMN", help="column of predicted classes")
    parser.add_argument("--patient", metavar="COLUMN", help="column of patients")
    parser.add_argument("--image", metavar="COLUMN", help="column of image names")
    parser.add_argument("--positive", metavar="CLASS", help="positive class of two")
    parser.add_argument("--system", metavar="NAME",
                        help="which of the printed systems the predictions are of")  # fmt: skip
    parser.add_argument("--csv", metavar="OUT", type=output_text, help="write the findings")
    parser.add_argument("--json", metavar="OUT", type=output_text, help="write the findings")
    flags = parser.parse_args(arguments)
    given = {"label": flags.truth, "predicted": flags.prediction, "case": flags.patient,
             "image": flags.image}  # fmt: skip
    made = review(
        printed=flags.numbers, split=flags.split, predictions=flags.predictions,
        images=flags.images, columns={role: name for role, name in given.items() if name},
        positive=flags.positive, system=flags.system,
    )  # fmt: skip
    command = shlex.join(sys.argv[1:] if arguments is None else arguments)
    known = content(made) | {
        "title": "Review of a study",
        "page_command": f"python -m common.review {command}",
    }
    files.write_text(flags.out, report.render("common.review/page.html", known))
    print(text(made), end="")
    if flags.csv is not None:
        files.write_sheet(flags.csv, made.table())
    if flags.json is not None:
        files.write_json(flags.json, {"findings": [asdict(each) for each in made.found],
                                      "questions": made.questions})  # fmt: skip
    for path in (flags.out, flags.csv, flags.json):
        if path is not None:
            print(f"\n{path}" if path == flags.out else path)
    return int(bool(made.wrong))


if __name__ == "__main__":
    errors.main(main)
