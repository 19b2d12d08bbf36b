from .app.composing import compose as compose
from .core.batch_size import (
    DefaultBatchDesc as DefaultBatchDesc,
)
from .core.batch_size import (
    TokenBatchDesc as TokenBatchDesc,
)
from .core.errors import (
    ArgumentError as ArgumentError,
)
from .core.errors import (
    ConfigError as ConfigError,
)
from .core.errors import (
    DataError as DataError,
)
from .core.errors import (
    PluginError as PluginError,
)
from .core.errors import (
    UserError as UserError,
)
from .core.host import TrainingHost as TrainingHost
from .core.plugin import (
    ShouldSave as ShouldSave,
)
from .core.plugin import (
    ShouldStop as ShouldStop,
)
from .core.plugin import (
    TrainingPlugin as TrainingPlugin,
)
from .core.rng import seed as seed
from .core.stages import Stage as Stage
from .core.step import Step as Step
from .data.batching import Batching as Batching
from .data.container import Data as Data
from .data.datasets import (
    ColumnDataset as ColumnDataset,
)
from .data.datasets import (
    SizedDataset as SizedDataset,
)
from .data.loaders import Loader as Loader
from .data.loops import Loop as Loop
from .data.mixed import MixedLoop as MixedLoop
from .data.padding import PadCollate as PadCollate
from .data.sampling import (
    BalancedSampling as BalancedSampling,
)
from .data.sampling import (
    BucketSampling as BucketSampling,
)
from .data.sampling import (
    WeightedSampling as WeightedSampling,
)
from .evaluation.acc_metrics import AccumulatorMetrics as AccumulatorMetrics
from .evaluation.accumulators import (
    Accumulator as Accumulator,
)
from .evaluation.accumulators import (
    CompositeAccumulator as CompositeAccumulator,
)
from .evaluation.accumulators import (
    CompositeFactory as CompositeFactory,
)
from .evaluation.accumulators import (
    ListAccumulator as ListAccumulator,
)
from .evaluation.accumulators import (
    NumpyAccumulator as NumpyAccumulator,
)
from .evaluation.accumulators import (
    UnionAccumulator as UnionAccumulator,
)
from .evaluation.passes import (
    LoadersAcc as LoadersAcc,
)
from .evaluation.passes import (
    LoopsAcc as LoopsAcc,
)
from .evaluation.train_metrics import TrainMetrics as TrainMetrics
from .evaluation.trial import TrialEvaluation as TrialEvaluation
from .output.confusion import ConfusionMatrix as ConfusionMatrix
from .output.csv_metrics import CsvMetrics as CsvMetrics
from .output.history import History as History
from .output.json_lines import JsonLines as JsonLines
from .output.mistakes import Mistakes as Mistakes
from .output.mlflow import MlflowLogger as MlflowLogger
from .output.model_summary import (
    ModelSummary as ModelSummary,
)
from .output.model_summary import (
    model_summary as model_summary,
)
from .output.predictions import (
    CsvLogits as CsvLogits,
)
from .output.predictions import (
    Predictions as Predictions,
)
from .output.profiling import Profile as Profile
from .output.progress import Progress as Progress
from .output.scalar_writer import ScalarWriter as ScalarWriter
from .output.tensorboard import TensorBoard as TensorBoard
from .output.weights import (
    BestModelWeights as BestModelWeights,
)
from .output.weights import (
    SaveModelWeights as SaveModelWeights,
)
from .state.keeping import Checkpoints as Checkpoints
from .training.anomaly import DetectAnomaly as DetectAnomaly
from .training.averaging import ExponentialAverage as ExponentialAverage
from .training.batch_transform import BatchTransform as BatchTransform
from .training.clipping import GradientClipping as GradientClipping
from .training.counter import Counter as Counter
from .training.descent import GradientDescent as GradientDescent
from .training.determinism import (
    DeterministicAlgorithms as DeterministicAlgorithms,
)
from .training.epochs import (
    LastEpoch as LastEpoch,
)
from .training.epochs import (
    SimpleEpoch as SimpleEpoch,
)
from .training.feed import Feed as Feed
from .training.finite import FiniteGuard as FiniteGuard
from .training.freezing import Freeze as Freeze
from .training.limits import (
    LastSample as LastSample,
)
from .training.limits import (
    LastStep as LastStep,
)
from .training.limits import (
    TimeLimit as TimeLimit,
)
from .training.loss_mean import TrainLoss as TrainLoss
from .training.overfitting import (
    Overfitting as Overfitting,
)
from .training.overfitting import (
    SameBatches as SameBatches,
)
from .training.param_groups import param_groups as param_groups
from .training.precision import loss_scaler as loss_scaler
from .training.schedule import (
    LearningRate as LearningRate,
)
from .training.schedule import (
    LrOnPlateau as LrOnPlateau,
)
from .training.schedule import (
    LrScheduler as LrScheduler,
)
from .training.schedules import (
    WarmUpConstant as WarmUpConstant,
)
from .training.schedules import (
    WarmUpCosine as WarmUpCosine,
)
from .training.schedules import (
    WarmUpLinear as WarmUpLinear,
)
from .training.schedules import (
    WarmUpPolynomial as WarmUpPolynomial,
)
from .training.schedules import (
    WarmUpStep as WarmUpStep,
)
from .training.schedules import (
    total_steps as total_steps,
)
from .training.stopping import EarlyStopping as EarlyStopping
from .training.turns import Turn as Turn
from .training.weighted_losses import WeightedLosses as WeightedLosses
from .zoo.mixup import Mixup as Mixup

__version__: str
