"""Configurations: what is read, what is refused, and that every shipped one parses."""

import datetime as dt
from pathlib import Path

import pytest
import yaml

from dino.config import Config, load_config
from dino.errors import ConfigError, MissingFileError
from dino.experiments.reproduce import EXPERIMENTS, QUICK_SETTINGS, shipped_name
from dino.experiments.shipped import experiments, find_experiment

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))
MINIMAL = {"data": {"stores": [{"path": "a.zarr"}], "channels": ["adt"]}}


@pytest.fixture
def minimal(tmp_path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_parses_and_survives_a_round_trip(path, tmp_path):
    config = load_config(path)
    copy = tmp_path / "config.yaml"
    copy.write_text(config.to_yaml())
    assert load_config(copy) == config


def test_some_configs_are_shipped():
    assert {"demo", "mediterranean", *EXPERIMENTS} <= {path.stem for path in SHIPPED}


DATES = {
    "20000310": dt.datetime(2000, 3, 10),
    "2000-03-10": dt.datetime(2000, 3, 10),
    "'20000310'": dt.datetime(2000, 3, 10),
    "20000310T12": dt.datetime(2000, 3, 10, 12),
    "2000-03-10T12:00": dt.datetime(2000, 3, 10, 12),
    "2000-03-10 12:00:00": dt.datetime(2000, 3, 10, 12),
    "2000-03-10T12:00:00+02:00": dt.datetime(2000, 3, 10, 10),
    "2000-03-10T12:00:00Z": dt.datetime(2000, 3, 10, 12),
    "2000-03": dt.datetime(2000, 3, 1),
}
MOMENTS = ("data.train_start", "data.train_end", "evaluation.start", "evaluation.end")


def setting_of(config, name):
    group, key = name.split(".")
    return getattr(getattr(config, group), key)


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize(("text", "wanted"), DATES.items())
def test_dates_are_dates_in_files_and_overrides(minimal, tmp_path, name, text, wanted):
    config = load_config(minimal, [f"{name}={text}"])
    assert setting_of(config, name) == wanted
    group, key = name.split(".")
    written = tmp_path / "dated.yaml"
    written.write_text(
        minimal.read_text().replace("data:\n", f"data:\n  {key}: {text}\n" if group == "data" else "data:\n")
    )
    if group == "evaluation":
        written.write_text(minimal.read_text() + f"evaluation:\n  {key}: {text}\n")
    assert setting_of(load_config(written), name) == wanted
    copy = tmp_path / "copy.yaml"
    copy.write_text(config.to_yaml())
    assert load_config(copy) == config


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize(
    "text",
    [
        "952646400",
        "2000",
        "20000310.0",
        "true",
        "soon",
        "2000-02-30",
        "20000230",
        "0001-01-01",
        "2300-01-01",
        "[1]",
        "12:00",
    ],
)
def test_what_is_no_date_is_refused_by_its_name(minimal, name, text):
    with pytest.raises(ConfigError, match=f"setting {name}: .*give one like|setting {name}: .*years 1678 to 2261"):
        load_config(minimal, [f"{name}={text}"])


@pytest.mark.parametrize("system", EXPERIMENTS)
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("protocol", "keep"), [("dino", 1.0), ("dino", 0.05), ("successors", None)])
def test_configs_of_experiments_fit_their_systems(system, quick, protocol, keep):
    path = find_experiment(shipped_name(experiments(), system, protocol, keep))
    assert path.stem == (f"{system}-sparse" if keep != 1 and system != "shallow-water" else system)
    config = load_config(path, QUICK_SETTINGS if quick else [])
    experiment = EXPERIMENTS[system]
    names = experiment.parts(experiment.config.preset("quick", "test")).fields.data_vars
    assert config.data.channels == [name for name in names if name in config.data.channels]
    assert (config.dynamics.form, config.dynamics.order) == ("quadratic", 1)
    assert config.dynamics.horizons[-1] == 19  # what the longest training can verify; ten frames take what they have
    assert config.data.symmetries > 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dynamics.form=quadratic"], "dynamics.order=1"),
        (["dynamics.form=quadratic", "dynamics.order=1", "domain.kind=tiles"], "not tiles"),
        (["data.keep=0.5", "domain.kind=tiles"], "single chart"),
        (["data.symmetries=2", "domain.kind=tiles"], "single chart"),
        (["data.keep=0.5", "data.stores.0.climatology=map"], "climatology: constant"),
        (["data.keep=0"], "data.keep"),
        (["data.keep=1.5"], "data.keep"),
        (["data.symmetries=0"], "data.symmetries"),
        (["dynamics.rounds=1"], "dynamics.rounds"),
        (["dynamics.descent_steps=9"], "form=quadratic"),
        (["dynamics.products=0"], "dynamics.products"),
        (["dynamics.form=layers", "dynamics.order=1", "domain.kind=periodic_box"], "data.hidden"),
        (["dynamics.form=layers", "dynamics.order=1", "data.hidden=[below]"], "periodic_box"),
        (["dynamics.form=layers", "data.hidden=[below]", "domain.kind=periodic_box"], "dynamics.order=1"),
        (["data.hidden=[below]"], "form=layers"),
        (["decoder.tracer_codes=8"], "dynamics.tracers"),
        (["dynamics.ridge=0"], "dynamics.ridge"),
        (["dynamics.drift=true"], "dynamics.drift"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(minimal, overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(minimal, overrides)


def test_runs_that_said_no_to_slow_levels_are_read(minimal):
    """Earlier versions wrote the setting into every run."""
    assert load_config(minimal, ["dynamics.drift=false"]).dynamics == load_config(minimal).dynamics


def test_the_quadratic_form_and_kept_cells_are_accepted(minimal):
    config = load_config(minimal, ["dynamics.form=quadratic", "dynamics.order=1", "data.keep=0.5", "data.symmetries=2"])
    assert (config.dynamics.form, config.data.keep, config.data.symmetries) == ("quadratic", 0.5, 2)


def test_defaults_and_overrides(minimal):
    config = load_config(minimal, ["dynamics.order=1", "field.steps=7", "data.stores.0.weight=2.5", "seed=3"])
    assert config.dynamics.order == 1
    assert config.field.steps == 7
    assert config.data.stores[0].weight == 2.5
    assert config.seed == 3
    assert config.decoder == load_config(minimal).decoder
    assert load_config(minimal).dynamics.order == 2


def test_defaults_are_what_measured_best(minimal):
    config = load_config(minimal)
    assert config.transfer.strategy == "modulation"
    assert (config.assimilation.method, config.assimilation.node_days) == ("filter", 1.0)
    assert config.dynamics.method == "rk4"


def test_overrides_do_not_touch_the_file(minimal):
    before = minimal.read_bytes()
    load_config(minimal, ["seed=9"])
    assert minimal.read_bytes() == before
    assert load_config(minimal).seed == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decoder.width=3", "decoder.width.*known keys"),
        ("no_such=1", "no_such"),
        ("decoder.hidden=7", "decoder.hidden.*multiple of 2.*came 7"),
        ("dynamics.order=fourth", "dynamics.order.*came 'fourth'"),
        ("dynamics.order=0", "dynamics.order.*greater than or equal to 1"),
        ("field.steps=1.5", "field.steps"),
        ("dynamics.horizons=[5, 2]", "horizons must ascend"),
        ("dynamics.horizons=[0, 2]", "horizons must ascend within 1..31"),
        ("dynamics.horizons=[2, 32]", "horizons must ascend within 1..31"),
        ("dynamics.horizons=[]", "dynamics.horizons"),
        ("data.stores=[]", "data.stores"),
        ("domain.kind=torus", "domain.kind"),
        ("seed", "not of the form key=value"),
        # What measurements did not support is gone, and nobody's setting is taken in silence.
        ("dynamics.method=dopri5", "dynamics.method.*'midpoint' or 'rk4'"),
        ("dynamics.method=euler", "dynamics.method.*'midpoint' or 'rk4'"),
        ("dynamics.scaled_push=true", "dynamics.scaled_push.*known keys"),
        ("dynamics.shrink=false", "dynamics.shrink.*known keys"),
        ("dynamics.lead_weight=1", "dynamics.lead_weight.*known keys"),
        ("assimilation.default_error=0.04", "assimilation: default_error: 0.04 came.*write errors.nadir"),
        ("assimilation.errors.nadir.white=0", "assimilation.errors.nadir.white.*greater than 0"),
        ("transfer.strategy=full", "transfer.strategy.*'statistics'"),
        ("transfer.strategy=context", "'context' came, which is gone.*choose 'statistics' or 'modulation'"),
        ("transfer.strategy=shared-residual", "'shared-residual' came, which is gone.*docs/many-physics.md"),
        ("transfer.strategy=physics", "'physics' came, which is gone.*docs/many-physics.md"),
        ("transfer.context_size=2", "context_size: 2 came, a setting of the strategies context.*leave it out"),
        ("transfer.hidden=8", "hidden: 8 came.*are gone; leave it out"),
        ("transfer.pull=0.1", "pull: 0.1 came.*are gone; leave it out"),
        ("transfer.learning_rate=0.1", "learning_rate: 0.1 came.*are gone; leave it out"),
    ],
)
def test_refusals_name_the_key(minimal, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(minimal, [override])


def test_missing_section(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(ConfigError, match="setting data: field required"):
        load_config(path)


def test_missing_file(tmp_path):
    with pytest.raises(MissingFileError, match="no configuration file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["a: [1", "- a\n- b\n", "just text"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config.model_validate(MINIMAL).seed = 2  # type: ignore[misc]
