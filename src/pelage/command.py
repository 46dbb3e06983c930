"""The command `pelage`: what is done beside the pipeline. The pipeline itself is `dvc repro`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pelage.animals.export import FORMATS, POPULATIONS
from pelage.common.errors import PelageError

ABOUT = """\
pelage turns camera-trap photographs into identified individuals. The pipeline is run by DVC:

  dvc repro                            what a change of code, photos or params.yaml has touched
  dvc exp run -S loss.margin=0.5       a trial with another value of params.yaml
  dvc metrics diff                     what changed, against the last commit

This command does what stands beside it. Run it in the project's folder, where params.yaml is."""


def check(_: argparse.Namespace) -> None:
    """Say what is wrong in params.yaml, and which folder or file that it names is not there."""
    from pelage.catalogue.inventory import check_sources
    from pelage.common.params import read_params
    from pelage.settings.check import check_params, left_out
    from pelage.settings.paths import check_paths

    params = read_params()
    check_paths(params)
    check_params(params)
    name = params["ingest"]["dataset"]
    check_sources(params["datasets"][name], name)
    print("params.yaml is right." + "".join(f"\nleft out by `parts`: {name}" for name in left_out(params)))


def presets(asked: argparse.Namespace) -> None:
    """List presets, lay one over params.yaml, or take the last one back."""
    from pelage import presets

    if asked.undo or asked.name:
        change = presets.undo() if asked.undo else presets.apply(asked.name)
        print(change or "params.yaml is so already; nothing was changed.", end="" if change else "\n")
        return
    for name in presets.preset_names():
        print(f"{name}: {' '.join(presets.read_preset(name)['about'].split())}")


def sweeps(asked: argparse.Namespace) -> None:
    """Queue the trials of a preset's sweep, or read what they have shown."""
    import_module("pelage.sweeps.experiments").sweep(asked.step, asked.name)


def trials(asked: argparse.Namespace) -> None:
    """Show the trials that `dvc exp run` made: what differs between them, as wide as a screen."""
    from pelage.report.trials import keep_trial, show_trials

    sys.exit(keep_trial() if asked.keep else show_trials(asked.all_commits))


def pivot(asked: argparse.Namespace) -> None:
    """Compare methods with those of a revision."""
    print(import_module("pelage.report.pivot").compared(asked.revision))


def review(asked: argparse.Namespace) -> None:
    """Decide who is who: what to decide next, decisions by hand or from a table."""
    asked.step(asked)


def readme(_: argparse.Namespace) -> None:
    """Write the numbers of README.md and docs/ anew."""
    import_module("pelage.report.readme").renew()


def export(asked: argparse.Namespace) -> None:
    """Write who was seen where and when in the files of other tools."""
    from pelage.animals.export.run import DATA, Wish, run_export
    from pelage.common.params import read_params
    from pelage.common.tables import read_table
    from pelage.report.camera_counts import with_people

    coordinates = not asked.no_coordinates
    wish = Wish(
        asked.format, Path(asked.to), asked.round_coordinates, coordinates, asked.time_zone, asked.copy_photos,
        asked.population,
    )  # fmt: skip
    print(run_export(wish, read_params(), with_people(read_table(DATA / "rejected" / "detect.csv"))))


def times(_: argparse.Namespace) -> None:
    """Show what each stage took the last time it ran here: seconds, memory, photos a second, what was recalled."""
    from pelage.common.times import cost_table

    print(cost_table().to_string(index=False))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; each command is a function of this module, and its docstring its help."""
    made = argparse.ArgumentParser("pelage", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(run: Any, examples: str) -> argparse.ArgumentParser:
        said = run.__doc__.strip()
        added = commands.add_parser(
            run.__name__,
            help=said[0].lower() + said[1:].rstrip("."),
            description=said,
            epilog="for example:\n" + "".join(f"  {line.strip()}\n" for line in examples.strip().splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    command(check, "pelage check")
    added = command(presets, """pelage presets                 which presets there are
        pelage presets leopard_paper   lay one over params.yaml; prints what changes, as `git diff` will show it
        pelage presets --undo          take the last one back""")  # fmt: skip
    either = added.add_mutually_exclusive_group()
    either.add_argument("name", nargs="?", help="a file of presets/, without its ending")
    either.add_argument("--undo", action="store_true", help="take the last preset back")
    added = command(sweeps, """pelage presets bears_search && git commit -am Bears    lay the preset over params.yaml
        pelage sweeps queue bears_search                       one experiment a trial that is not there yet
        dvc queue start                                        run them, one after the other
        pelage sweeps read bears_search                        sweeps/bears_search: a table, effects, a picture
        dvc exp apply bears_search-007                         take one over""")  # fmt: skip
    added.add_argument("step", choices=["queue", "read"])
    added.add_argument("name", help="a preset with a section `sweep`")
    added = command(trials, """dvc exp run -S loss.margin=0.5
        pelage trials""")  # fmt: skip
    added.add_argument("--keep", action="store_true", help="put it and `dvc metrics diff` into README.md")
    added.add_argument("-A", "--all-commits", action="store_true", help="those of older commits, too")
    added = command(pivot, """pelage pivot origin/main       methods in rows, what changed in brackets""")
    added.add_argument("revision", nargs="?", default="HEAD", help="a commit, branch or tag (default: the last commit)")
    added = command(
        review,
        """pelage review list                                  what to decide next
        pelage review decide same CROP CROP --reviewer Ana    the two crops show one animal
        pelage review decide is CROP --name L07 --reviewer Ana
        pelage review import decisions.csv --reviewer Ana     a table with a decision a row
        pelage review check                                   what in the journal does not fit
        pelage review serve                                   a page to decide on, in the browser""",
    )
    import_module("pelage.review.command").add_commands(added)
    command(readme, "pelage readme")
    added = command(
        export,
        """pelage export camtrap-dp --to ../leopards --round-coordinates 2
        pelage export secr --to ../leopards-secr --population left
        pelage export mark --to ../leopards-mark""",
    )
    added.add_argument("format", choices=FORMATS)
    added.add_argument("--to", required=True, metavar="FOLDER", help="a new folder, or one with a former export")
    places = added.add_mutually_exclusive_group()
    places.add_argument(
        "--round-coordinates", type=int, choices=range(7), metavar="N", help="to N decimals of a degree"
    )
    places.add_argument("--no-coordinates", action="store_true", help="refuse formats that tell where stations are")
    added.add_argument("--time-zone", default="", metavar="ZONE", help="of the cameras' clocks: =-03:00, Asia/Dhaka")
    added.add_argument(
        "--copy-photos", action="store_true", help="copy the photos, too (camtrap-dp, wildlife-datasets)"
    )
    added.add_argument("--population", choices=POPULATIONS, default="linked", help="whose captures (default: linked)")
    command(times, "pelage times")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what the user can mend is said in one sentence, with exit status 1."""
    asked = parser().parse_args(arguments)
    try:
        if not Path("params.yaml").is_file():
            raise PelageError(f"There is no params.yaml in {Path.cwd()}: change to the project's folder first.")
        asked.run(asked)
    except PelageError as error:
        sys.exit(f"ERROR: {error}")
