"""The ``torch`` trainer: loads the cast of a cell and runs the loop on it."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch

from opdbench.budget import Ledger, Phase
from opdbench.checkpoints import SharedVocabulary, architecture, check_endings, compatible
from opdbench.engines.chat import Chat
from opdbench.engines.hf import HFEngine
from opdbench.engines.hf_model import load_module
from opdbench.errors import ConfigError
from opdbench.flops import Shape
from opdbench.method import Method, Mixed, Refined, Student, Trajectory
from opdbench.outline import PROGRESS
from opdbench.pricing import Shapes
from opdbench.records import derive_seed
from opdbench.trainer import Job, LocatedModel, Trained, TrainSettings
from opdbench.training.cast import Cast, Player
from opdbench.training.checkpoint import TrainingFiles
from opdbench.training.loop import Loop
from opdbench.training.roles import RoleModel
from opdbench.training.student import TrainedStudent


class TorchTrainer:
    """Runs every method in one loop, in this process, on one device."""

    training_free: ClassVar[bool] = False
    self_reported: ClassVar[bool] = False

    def train(self, job: Job, ledger: Ledger) -> Trained:
        """See ``trainer.Trainer``.

        Raises:
            ConfigError: the row names no method, or teachers that leave a problem without one.
            ModelError: a model cannot be loaded, or teacher and student share no vocabulary.
        """
        if job.method is None or job.settings is None:
            raise ConfigError("the torch trainer needs a method in the row and a [train] table in the board")
        _check_domains(job)
        with ledger.phase("start_up"):
            cast, shapes = _cast(job, job.method, job.settings)
            student = TrainedStudent(cast.student, job.settings)
            files = TrainingFiles(job.directory, job.student.directory)
        return Loop(job, job.method, job.settings, cast, student, shapes, ledger, files).run()


def _check_domains(job: Job) -> None:
    """Refuse teachers by domain that leave a problem without one, before anything is paid for it."""
    if not job.teachers or "" in job.teachers:
        return
    lost = sorted({p.problem.domain for p in job.problems} - job.teachers.keys())
    if lost:
        raise ConfigError(
            f"no teacher for problems of domain {', '.join(map(repr, lost))}; name one under teachers, or a default"
        )


def _cast(job: Job, method: Method, settings: TrainSettings) -> tuple[Cast, Shapes]:
    vocabularies = {name: compatible(job.student, teacher) for name, teacher in job.teachers.items()}
    for teacher in job.teachers.values():
        check_endings(job.student, teacher)
    own = compatible(job.student, job.student)
    read = None if job.reference is None else compatible(job.student, job.reference)
    size = min(shared.size for shared in (own, *vocabularies.values(), *([] if read is None else [read])))
    student = _role(job.student, own, size, settings, trained=True, seed=job.seed)

    def frozen(model: LocatedModel, shared: SharedVocabulary) -> RoleModel:
        return _bare(student, model) if _is_base(job, model) else _role(model, shared, size, settings)

    teachers = {name: frozen(job.teachers[name], shared) for name, shared in vocabularies.items()}
    reference = None if job.reference is None or read is None else frozen(job.reference, read)
    initial = frozen(job.student, own) if _starts_from_initial(method) else None
    cast = Cast(
        student=student,
        teachers=teachers,
        reference=reference,
        current=_player(student, job.student, "student_rollout"),
        initial=None if initial is None else _player(initial, job.student, "student_rollout"),
        teacher_players={
            name: _player(role, job.teachers[name], "teacher_generation") for name, role in teachers.items()
        },
        max_prompt_tokens=settings.max_prompt_tokens,
        max_tokens=settings.max_tokens,
    )
    shapes = Shapes(
        student.shape,
        {name: role.shape for name, role in teachers.items()},
        None if reference is None else reference.shape,
        settings.lora,
    )
    return cast, shapes


def _is_base(job: Job, model: LocatedModel) -> bool:
    """Whether a role is played by what lies under the student's adapters, which then need not be loaded again."""
    assert job.settings is not None
    is_start = model.content_hash == job.student.content_hash and model.entry.overrides == job.student.entry.overrides
    return job.settings.lora is not None and is_start


def _bare(student: RoleModel, model: LocatedModel) -> RoleModel:
    """Return the student's module without its adapters, shown prompts in a way of its own."""
    return dataclasses.replace(student, chat=Chat.open(model, "scoring"), is_bare=True)


def _starts_from_initial(method: Method) -> bool:
    """Whether the student that training started from writes texts at any time."""
    return any(_is_from_initial(method.trajectory(progress)) for progress in PROGRESS)


def _is_from_initial(trajectory: Trajectory) -> bool:
    if isinstance(trajectory, Mixed):
        return _is_from_initial(trajectory.first) or _is_from_initial(trajectory.second)
    drawn = trajectory.draft if isinstance(trajectory, Refined) else trajectory
    return isinstance(drawn, Student) and drawn.author == "initial"


def _player(role: RoleModel, model: LocatedModel, phase: Phase) -> Player:
    """Return a role as a model that samples, shown prompts as in rollouts."""
    chat, ids = Chat.open(model, "rollout"), None if role.ids_V is None else role.ids_V.tolist()
    return Player(role, HFEngine(role.base, chat, vocab_size=role.num_shared, own_ids=ids), chat, phase)


def _role(
    model: LocatedModel,
    shared: SharedVocabulary,
    size: int,
    settings: TrainSettings,
    *,
    trained: bool = False,
    seed: int = 0,
) -> RoleModel:
    """Load a model for one role; only the trained student keeps gradients, in float32."""
    dtype = torch.float32 if trained else getattr(torch, settings.dtype)
    module: Any = load_module(model, dtype=dtype, device=_device())
    module.requires_grad_(trained)
    if trained and settings.lora is not None:
        module = _with_adapters(module, settings, seed)
    shape = Shape.from_config(architecture(model), shared_vocab=size)
    ids = shared.own_ids(size)
    return RoleModel(
        module,
        Chat.open(model, "scoring"),
        shape,
        size,
        None if ids is None else torch.tensor(ids, device=_device()),
    )


def _with_adapters(module: Any, settings: TrainSettings, seed: int) -> Any:
    """Put adapters on a module; their random part belongs to the training seed."""
    from peft import LoraConfig, get_peft_model

    assert settings.lora is not None
    module.requires_grad_(False)
    lora = settings.lora
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.target_modules), task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "adapters"))
        return get_peft_model(module, config)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
