"""The model `simulated`: ten simulated oceans, on tiles of 8 degrees; it has seen no data of others.

Make the oceans first, into `stores/oceans` of the work folder:

    dino-data simulate quasi-geostrophic --oceans 24 --mapped --out WORK/stores/oceans

The first ten of the 24 are taken; the others need not be there.
"""

import sys

from shipping import options, prepare, report, ship, trained, work_folder

from dino.experiments.shipped import find_experiment

FIRST_TEN = "ocean-00*.zarr"


def main() -> None:
    """Train where it is not yet, and write the model."""
    given = options(str(__doc__).splitlines()[0], find_experiment("simulated-oceans")).parse_args()
    prepare(given)
    with work_folder(given.work) as work:
        oceans = work / "stores" / "oceans"
        if len(list(oceans.glob(FIRST_TEN))) < 10:
            print(f"skipped: {oceans.name} holds fewer than ten oceans; make them first, see the head of this script")
            sys.exit(0)
        run = trained(given, work, {}, [f"data.stores.0.path={oceans / FIRST_TEN}"])
        report(given, {"megabytes": ship(run, "simulated", given.out, "")})


if __name__ == "__main__":
    main()
