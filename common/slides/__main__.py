"""Draw a synthetic slide to try the commands on: python -m common.slides OUT.tif."""

from __future__ import annotations

from collections.abc import Sequence

from common import errors, notices, terminal
from common.arguments import Parser
from common.files import output_file
from common.slides import drawing


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m common.slides``."""
    parser = Parser(
        prog="python -m common.slides",
        description="Draw a SYNTHETIC slide whose tumour is known, for trials without a real one. "
        f"{notices.RESEARCH_USE}",
    )
    add = parser.add_argument
    add("slide", type=output_file, metavar="OUT.tif", help="the slide to write")
    add("--side", type=int, default=4096, metavar="PX",
        help="width and height; default %(default)s")  # fmt: skip
    add("--seed", type=int, default=0, help="another gives another stain and other nests")
    flags = parser.parse_args(arguments)
    truth = drawing.draw_slide(flags.slide, side=flags.side, seed=flags.seed)
    print(f"slide   {terminal.plain(flags.slide)}, {drawing.MPP:g} micrometres per px")
    print(f"tumour  {terminal.plain(truth)}, a px for {drawing.TRUTH} of the slide")
    print(notices.SYNTHETIC)
    return 0


if __name__ == "__main__":
    errors.main(main)
