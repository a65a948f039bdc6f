"""Tables of docs/results.md: forecasts of simulated oceans."""

from pages import LEADS, Read, Table, best_in_bold, bold, fixed, percent, table

DEMO_SEEDS = (4, 5)
CUSTOMARY = "one gaussian scale"
CLOUDS = {
    "dino": "dino_seed_0_4_days",
    "advection and diffusion, estimated motion": "advection_diffusion",
    "best linear forecast": "linear_by_wave",
    "the same of 20 days": "linear_by_wave_20_days",
    "optimal interpolation, fitted to each ocean": "optimal_interpolation",
    "linear analysis held still": "persistence",
}
INSTRUMENTS = {
    "height and temperature": "both_seed_0",
    "the same run, height alone": "height_seed_0",
    "a run of height alone": "run_of_height_alone_seed_0",
    "the same run, temperature alone": "temperature_seed_0",
    "optimal interpolation of height, fitted to each ocean": "optimal_interpolation_of_height",
}


def demo(read: Read) -> list[Table]:
    """Errors of the demo's forecasts by lead, the analysis at zero, for each seed that no setting was chosen on."""
    return [table(["lead [days]", "0", *LEADS], [row for seed in DEMO_SEEDS for row in demo_seed(read, seed)])]


def demo_seed(read: Read, seed: int) -> list[list[str]]:
    """Rows of one seed."""
    layers, alone = (read(name)["runs"][f"seed_{seed}"] for name in ("demo", "demo_sea_level"))
    preferred = layers["interpolation"]["preferred"]
    rows = {
        f"{bold('dino')}, seed {seed}": (layers, "dino"),
        "quasi-geostrophic 4D-Var, one layer, no training": (layers, "quasi_geostrophic"),
        "mean of these two": (layers, "mean_of_dino_and_quasi_geostrophic"),
        "a network of sea level alone (`configs/demo-sea-level.yaml`, `demo_sea_level.json`)": (alone, "dino"),
        "mean of that and the 4D-Var": (alone, "mean_of_dino_and_quasi_geostrophic"),
        f"optimal interpolation that validation days prefer ({preferred})": (layers, "optimal_interpolation"),
        f"customary optimal interpolation ({CUSTOMARY})": (layers, "customary_interpolation"),
        "dino's own analysis held still": (layers, "persistence"),
    }
    if preferred == CUSTOMARY:
        del rows[f"customary optimal interpolation ({CUSTOMARY})"]
    values = [
        [run["analysis_rmse_cm"].get(name), *(run["rmse_cm"][name][lead] for lead in LEADS)]
        for run, name in rows.values()
    ]
    return [[name, *cells] for name, cells in zip(rows, best_in_bold(values), strict=True)]


def demo_maps(read: Read) -> list[Table]:
    """Errors of forecasts from complete maps, by lead, the analysis at zero."""
    runs, names = read("demo_maps")["runs"], {"dino": bold("dino"), "persistence": "the last map held still"}
    rows = [
        [f"{shown}, seed {seed}", *(fixed(runs[f"seed_{seed}"]["rmse_cm"][name][lead]) for lead in ("0", *LEADS))]
        for seed in DEMO_SEEDS
        for name, shown in names.items()
    ]
    return [table(["lead [days]", "0", *LEADS], rows)]


def demo_spread(read: Read) -> list[Table]:
    """Spread over error and the share of truths in the 90 % interval, by lead."""
    rows = []
    for seed in DEMO_SEEDS:
        calibration = read("demo")["runs"][f"seed_{seed}"]["calibration"]
        at = [int(lead) - 1 for lead in LEADS]
        rows.append([f"seed {seed}, spread over error", *(fixed(calibration["spread_skill_ratio"][day]) for day in at)])
        rows.append([f"seed {seed}, in the 90 % interval", *(percent(calibration["coverage_90"][day]) for day in at)])
    return [table(["lead [days]", *LEADS], rows)]


def clouds(read: Read) -> list[Table]:
    """Temperature at cells that clouds hid, by days ahead."""
    found = read("temperature")["cloudy"]["hidden"]
    days = range(len(found["persistence"]["rmse_k"]))
    cells = best_in_bold([found[name]["rmse_k"] for name in CLOUDS.values()], "{:.3f}".format)
    rows = [[shown, *row] for shown, row in zip(CLOUDS, cells, strict=True)]
    return [table(["lead [days]", *map(str, days)], rows)]


def two_instruments(read: Read) -> list[Table]:
    """Sea level, and the share of truths in the 90 % interval."""
    found = read("two_instruments")
    cells = best_in_bold([found[name]["rmse_cm"] for name in INSTRUMENTS.values()])
    inside = [found[name]["coverage_90"] for name in INSTRUMENTS.values()]
    rows = [
        [shown, *row, f"{percent(min(held))} to {percent(max(held))}"]
        for shown, row, held in zip(INSTRUMENTS, cells, inside, strict=True)
    ]
    return [table(["", "now", "1 day", "3 days", "5 days", "in the 90 % interval"], rows)]
