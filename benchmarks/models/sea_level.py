"""The model `sea-level`: a month of global sea level anomaly, all seas, on tiles of 8 degrees.

The experiment is `configs/ocean-tiles.yaml` without its test seas: nothing of the year 2014 is scored. The areas that
training validates on are not trained on.
"""

from shipping import COPERNICUS, options, prepare, report, ship, skip_without, trained, work_folder

from dino.experiments.shipped import find_experiment

STORES = {"global.zarr": ["grids/duacs_l4_global_sla_2014-01.nc"]}
EVERY_SEA = ["data.stores.0.exclude=[]"]


def main() -> None:
    """Train where it is not yet, and write the model."""
    given = options(str(__doc__).splitlines()[0], find_experiment("ocean-tiles")).parse_args()
    prepare(given)
    skip_without(given.data, STORES)
    with work_folder(given.work) as work:
        run = trained(given, work, STORES, EVERY_SEA)
        report(given, {"megabytes": ship(run, "sea-level", given.out, COPERNICUS)})


if __name__ == "__main__":
    main()
