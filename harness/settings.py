"""The fields of a suite file, their types, ranges and defaults."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

Fraction = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["float32", "tf32", "bfloat16"]
Schedule = Literal["cosine", "cosine_by_epoch", "constant"]


def _types(annotation: Any) -> set[Any]:
    """A type with all that it is made of."""
    return {annotation}.union(*(_types(each) for each in get_args(annotation)))


def _ascending(lengths: list[int]) -> list[int]:
    if lengths != sorted(set(lengths)):
        raise ValueError("must ascend, each length once")
    return lengths


class Settings(BaseModel):
    """Unknown fields, non-finite numbers, and true for 1 are errors everywhere."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(each, bool) for each in numbers):
            types = _types(cls.model_fields[info.field_name or ""].annotation)
            if types & {int, float} and bool not in types:
                raise ValueError("should be a number")
        return value


class ModelSettings(Settings):
    """What surrounds the mixers; the same for every architecture."""

    width: PositiveInt = 64
    """Channels of the residual stream."""
    layers: PositiveInt = 2
    """Blocks."""
    channel_mixer: str | dict[str, Any] | None = "swiglu"
    """The channel mixer of each block, by name or {name: {options}}; null for none."""
    tie_embeddings: bool = False
    """Whether the head reads with the weight of the embedding."""


class OptimizerSettings(Settings):
    """AdamW; weight decay leaves vectors and gates' parameters alone."""

    name: Literal["adamw"] = "adamw"
    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999


class TrainSettings(Settings):
    """How every run is trained."""

    length: PositiveInt = 64
    """Tokens in a training example."""
    batch_size: PositiveInt = 64
    examples: PositiveInt = 100_000
    """Different training examples; each epoch goes through them in the same order."""
    epochs: PositiveInt = 1
    optimizer: OptimizerSettings = OptimizerSettings()
    precision: Precision = "float32"
    """Of matrix products and what flows between them; parameters and states are float32."""
    schedule: Schedule = "cosine"
    """After the warm-up: down to zero along half a cosine, at every step or at every epoch, or
    level."""
    warmup_steps: NonNegativeInt = 50
    """Steps of linear warm-up."""
    clip: PositiveFloat | None = 1.0
    """Largest norm of a run's gradient; null for no clipping."""
    stop_at: Fraction | None = 0.99
    """A run whose validation accuracy reaches this ends as solved; null to train to the end."""
    validate_every: PositiveInt = 50
    """Steps between validations."""
    validation_examples: PositiveInt = 256

    @property
    def steps_per_epoch(self) -> int:
        return self.examples // self.batch_size

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs


class EvaluateSettings(Settings):
    """What every trained run is tested on."""

    lengths: Annotated[list[PositiveInt], Field(min_length=1), AfterValidator(_ascending)] = [
        64,
        128,
        256,
        512,
    ]
    """Lengths of the test examples, ascending."""
    examples: PositiveInt = 1000
    """Test examples at each length."""


class ReportSettings(Settings):
    """How runs become curves."""

    best_over: list[str] = []
    """Swept fields of which only the value with the best validation accuracy is shown."""


class SuiteSettings(Settings):
    """A suite: tasks × architectures × sweep."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Names the results and the report."""
    tasks: Annotated[list[Any], Field(min_length=1)]
    """Each a task's name, {name: {options}} or {name: its name, options}, or {label, task, train,
    evaluate}."""
    architectures: Annotated[list[Any], Field(min_length=1)]
    """Each a mixer's name or {name: {options}}, or {label, mixer or mixers, train, model}."""
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """Path of a field -> the values it takes; every combination is a run. Unless given, the seeds
    are 0, 1 and 2."""
    report: ReportSettings = ReportSettings()
