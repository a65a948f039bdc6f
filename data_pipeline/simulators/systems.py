"""The simulators of environments by name."""

from data_pipeline.simulators.advection_diffusion import AdvectionDiffusionConfig
from data_pipeline.simulators.burgers import BurgersConfig
from data_pipeline.simulators.combined import CombinedConfig
from data_pipeline.simulators.environments import EnvironmentsConfig
from data_pipeline.simulators.fitzhugh_nagumo import FitzHughNagumoConfig
from data_pipeline.simulators.glycolysis import GlycolysisConfig
from data_pipeline.simulators.gray_scott import GrayScottConfig
from data_pipeline.simulators.heat import HeatConfig
from data_pipeline.simulators.korteweg_de_vries import KortewegDeVriesConfig
from data_pipeline.simulators.kuramoto_sivashinsky import KuramotoSivashinskyConfig
from data_pipeline.simulators.lotka_volterra import LotkaVolterraConfig
from data_pipeline.simulators.membrane import MembraneConfig
from data_pipeline.simulators.reactions import AllenCahnConfig, FisherConfig
from data_pipeline.simulators.vorticity import VorticityConfig

_ALL: tuple[type[EnvironmentsConfig], ...] = (
    LotkaVolterraConfig,
    GlycolysisConfig,
    GrayScottConfig,
    CombinedConfig,
    KuramotoSivashinskyConfig,
    KortewegDeVriesConfig,
    AdvectionDiffusionConfig,
    HeatConfig,
    BurgersConfig,
    VorticityConfig,
    MembraneConfig,
    FisherConfig,
    AllenCahnConfig,
    FitzHughNagumoConfig,
)
SYSTEMS = {kind.NAME: kind for kind in _ALL}
