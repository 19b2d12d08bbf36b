from .app.compose import compose as compose
from .app.load import load as load
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
from .core.eval_mode import evaluation_mode as evaluation_mode
from .core.rng import seed as seed
from .data.container import Data as Data
from .data.datasets import (
    ColumnDataset as ColumnDataset,
)
from .data.datasets import (
    SizedDataset as SizedDataset,
)
from .data.loader_config import LoaderConfig as LoaderConfig
from .data.loader_stream import LoaderStream as LoaderStream
from .data.loaders import Loader as Loader
from .data.mixed_stream import MixedStream as MixedStream
from .data.named_dataset import NamedDataset as NamedDataset
from .data.padding import PadCollate as PadCollate
from .data.sampling import (
    BucketSampler as BucketSampler,
)
from .data.sampling import (
    ClassBalancedSampler as ClassBalancedSampler,
)
from .data.sampling import (
    WeightedSampler as WeightedSampler,
)
from .data.streams import BatchStream as BatchStream
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
from .evaluation.evaluator import (
    LoadersAcc as LoadersAcc,
)
from .evaluation.evaluator import (
    LoopsAcc as LoopsAcc,
)
from .evaluation.reducing import (
    MeanLoss as MeanLoss,
)
from .evaluation.reducing import (
    MetricAccumulator as MetricAccumulator,
)
from .evaluation.sanity_check import EvaluationSanityCheck as EvaluationSanityCheck
from .evaluation.train_metrics import TrainMetrics as TrainMetrics
from .loop.host import TrainingHost as TrainingHost
from .loop.plugin import (
    ShouldEvaluate as ShouldEvaluate,
)
from .loop.plugin import (
    ShouldPrune as ShouldPrune,
)
from .loop.plugin import (
    ShouldSave as ShouldSave,
)
from .loop.plugin import (
    ShouldStop as ShouldStop,
)
from .loop.plugin import (
    TrainingPlugin as TrainingPlugin,
)
from .loop.stages import Stage as Stage
from .loop.step import Step as Step
from .output.model_summary import (
    ModelSummary as ModelSummary,
)
from .output.model_summary import (
    model_summary as model_summary,
)
from .output.predictions.confusion import ConfusionMatrix as ConfusionMatrix
from .output.predictions.csv_predictions import (
    CsvLogits as CsvLogits,
)
from .output.predictions.csv_predictions import (
    Predictions as Predictions,
)
from .output.predictions.worst_errors import WorstErrors as WorstErrors
from .output.profiling import Profile as Profile
from .output.scalars.csv_metrics import CsvMetrics as CsvMetrics
from .output.scalars.history import History as History
from .output.scalars.json_lines import JsonLines as JsonLines
from .output.scalars.mlflow import MlflowLogger as MlflowLogger
from .output.scalars.progress import Progress as Progress
from .output.scalars.scalar_writer import ScalarWriter as ScalarWriter
from .output.scalars.tensorboard import TensorBoard as TensorBoard
from .output.scalars.trackio import TrackioLogger as TrackioLogger
from .output.scalars.wandb import WandbLogger as WandbLogger
from .output.system_metrics import SystemMetrics as SystemMetrics
from .output.weights import (
    BestModelWeights as BestModelWeights,
)
from .output.weights import (
    SaveModelWeights as SaveModelWeights,
)
from .state.checkpointer import Checkpointer as Checkpointer
from .training.adapted_model import adapted_model as adapted_model
from .training.alternating import AlternatingDescent as AlternatingDescent
from .training.counter import Counter as Counter
from .training.determinism import (
    DeterministicAlgorithms as DeterministicAlgorithms,
)
from .training.early_stopping import EarlyStopping as EarlyStopping
from .training.ema import ExponentialMovingAverage as ExponentialMovingAverage
from .training.epochs import (
    LastEpoch as LastEpoch,
)
from .training.epochs import (
    SimpleEpoch as SimpleEpoch,
)
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
from .training.overfitting import (
    OverfitCheck as OverfitCheck,
)
from .training.overfitting import (
    RepeatedBatches as RepeatedBatches,
)
from .training.parallel.data_parallel import DataParallel as DataParallel
from .training.parallel.sharded import FullySharded as FullySharded
from .training.param_groups import param_groups as param_groups
from .training.phases import Phases as Phases
from .training.pruning import Pruning as Pruning
from .training.schedules.lr_plugins import (
    LearningRateMonitor as LearningRateMonitor,
)
from .training.schedules.lr_plugins import (
    LRScheduler as LRScheduler,
)
from .training.schedules.lr_plugins import (
    ReduceLROnPlateauPlugin as ReduceLROnPlateauPlugin,
)
from .training.schedules.lr_schedules import (
    WarmupSchedule as WarmupSchedule,
)
from .training.schedules.lr_schedules import (
    warmup_constant as warmup_constant,
)
from .training.schedules.lr_schedules import (
    warmup_cosine as warmup_cosine,
)
from .training.schedules.lr_schedules import (
    warmup_linear as warmup_linear,
)
from .training.schedules.lr_schedules import (
    warmup_polynomial as warmup_polynomial,
)
from .training.schedules.lr_schedules import (
    warmup_step as warmup_step,
)
from .training.schedules.total_steps import total_steps as total_steps
from .training.step.anomaly import DetectAnomaly as DetectAnomaly
from .training.step.batch_transform import BatchTransform as BatchTransform
from .training.step.clipping import GradientClipping as GradientClipping
from .training.step.closure_descent import ClosureDescent as ClosureDescent
from .training.step.descent import GradientDescent as GradientDescent
from .training.step.feed import Feed as Feed
from .training.step.nonfinite_guard import NonFiniteGuard as NonFiniteGuard
from .training.step.precision import grad_scaler as grad_scaler
from .training.train_loss import TrainLoss as TrainLoss
from .training.weighted_losses import WeightedLosses as WeightedLosses
from .zoo.mixup import Mixup as Mixup

__version__: str
