"""How a job kind is declared: a frozen dataclass of arguments, and its steps as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack

from jobs.engine.errors import UnknownKind

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

A = TypeVar("A")
F = TypeVar("F")
Outside = Callable[["Run[Any]"], None]
Failed = Callable[[Any, "Transaction", str], None]
Retried = Callable[[Any, "Transaction"], None]

CONTROL, BULK = "control", "bulk"
# What a step is given that does not say: what it does is over in seconds, or its work may take hours.
STEP_SECONDS, LONG_STEP_SECONDS = 300.0, 12 * 3600.0
# For what is short, as a rule, and takes as long as a database or a set is large: dropping, hashing, removing files.
BY_SIZE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """What every step declares.

    undo       takes the state back; called for every step that was begun, so it must bear finding nothing
    title      what a person reads; the function's name in words when empty
    no_return  once this step begins, the job cannot be cancelled any more
    seconds    its deadline, and that of its undoing: it is ended when it takes longer, wherever it waits.
               None: STEP_SECONDS, or LONG_STEP_SECONDS for one that is long
    """

    undo: Outside | None = None
    title: str = ""
    no_return: bool = False
    seconds: float | None = None

    @property
    def deadline_seconds(self) -> float:
        """Return how long it may take."""
        return STEP_SECONDS if self.seconds is None else self.seconds

    @property
    def function(self) -> Callable[..., None]:
        """Return what is called."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Return the stored name: that of the function. A former one stands in jobs.kinds.former_steps."""
        return self.function.__name__

    def label(self, children: int = 0) -> str:
        """Return the title shown to people. children: how many the job has."""
        del children
        return self.title or self.name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Step(_Declared):
    """A step that acts outside: it looks at the world and acts on the difference.

    act      what brings the state about
    joins    what the children are called that it waits for, in the singular: the job is parked, in no worker's slot,
             until the last of them rests. Empty: it waits for none
    lasting  what it makes has to be there when the job ends: a new attempt looks at it again once it is finished,
             and makes again what has vanished. Such a step only makes: it takes away nothing that a later step, or
             another job, may rely on by now. Any other step is done once
    long     may take longer than a stopping worker waits: it is interrupted instead of finished. Nor is it tried again
             when its time is over
    """

    act: Outside
    joins: str = dataclasses.field(default="", kw_only=True)
    lasting: bool = dataclasses.field(default=False, kw_only=True)
    long: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def deadline_seconds(self) -> float:
        """Return how long it may take."""
        return LONG_STEP_SECONDS if self.long and self.seconds is None else super().deadline_seconds

    @property
    def function(self) -> Callable[..., None]:
        """Return what is called."""
        return self.act

    def label(self, children: int = 0) -> str:
        """Return the title shown to people: one that waits says for how many."""
        if self.title or not self.joins:
            return super().label()
        return " ".join(
            ["Wait for", *([str(children)] if children else []), self.joins if children == 1 else f"{self.joins}s"]
        )


@dataclass(frozen=True)
class AtomicStep(_Declared, Generic[F]):
    """A step that changes the platform database alone and commits together with its checkpoint.

    act    what changes it, in the open transaction: it has no way to anything else
    reads  what it has to know of the world besides, looked at before the transaction begins and handed to it
    """

    act: Callable[[AtomicRun[Any], Transaction], None] | Callable[[AtomicRun[Any], Transaction, F], None]
    reads: Callable[[Run[Any]], F] | None = dataclasses.field(default=None, kw_only=True)

    @property
    def function(self) -> Callable[..., None]:
        """Return what is called."""
        return self.act


AnyStep = Step | AtomicStep[Any]


@dataclass(frozen=True)
class Kind:
    """A kind of job as the engine sees it; see `Policy`."""

    name: str
    arguments: type[Any]
    steps: tuple[AnyStep, ...]
    version: int = 1
    queue: str = CONTROL
    lane: Literal["control", "bulk", "mail"] | None = "control"
    attempts: int = 5
    on_failure: Literal["undo", "keep"] = "keep"
    max_running: int | None = None
    max_children: int | None = None
    conflicts: tuple[str, ...] = ()
    supersedes: bool = False
    preempts: bool = False
    coalesces: bool = False
    priority: int = 0
    bursts: bool = False
    failed: Failed | None = None
    retried: Retried | None = None

    @property
    def name_and_version(self) -> str:
        """Name and version, as stored rows and workers compare them."""
        return f"{self.name}@{self.version}"

    def step(self, name: str) -> AnyStep:
        """Return the step of that stored name. Raises UnknownKind when this code has none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise UnknownKind(f"{self.name_and_version} has no step {name} in this version")


class Policy(TypedDict, total=False):
    """What makes a kind special, beside its steps.

    queue       which workers serve it
    lane        one job at a time per project and lane; None runs beside anything, and so does what is of no project
    on_failure  undo: the steps begun are undone, newest first; keep: everything stays for a retry
    max_running how many jobs of this kind may run at a time, over all workers
    max_children how many of a parent's children may run at a time
    conflicts   kinds that must not run beside this one on the same project, whatever their lane; each waits for the
                other, so one of the two says so
    supersedes  enqueueing it cancels what is queued for its project and asks what runs to stop; what had begun of
                either is undone as its kind says
    preempts    does not wait behind a job of its lane that rests in back-off
    coalesces   folds into a queued job of equal kind and arguments
    priority    each point lets a job go before others that became due up to a minute earlier; above 0 it may take the
                worker slots that are kept free, too
    bursts      may have slots beyond its owner's share while nobody else waits for one: nothing that a tenant has
                written runs in it, and none of their locks is waited for, so that it ends soon
    failed      (arguments, tx, reason), called in the transaction that marks the job failed or cancelled, to say so
                in the catalogue
    retried     (arguments, tx), called in the transaction that lets a failed or cancelled job go on; raises
                jobs.engine.commands.JobConflict when its subject no longer allows it
    """

    version: int
    queue: str
    lane: Literal["control", "bulk", "mail"] | None
    attempts: int
    on_failure: Literal["undo", "keep"]
    max_running: int | None
    max_children: int | None
    conflicts: tuple[str, ...]
    supersedes: bool
    preempts: bool
    coalesces: bool
    priority: int
    bursts: bool
    failed: Failed
    retried: Retried


_KINDS: dict[str, Kind] = {}
_FORMER_STEPS: dict[str, dict[str, str]] = {}


def kind(name: str, *, steps: tuple[AnyStep, ...], **policy: Unpack[Policy]) -> Callable[[type[A]], type[A]]:
    """Register a frozen dataclass as the arguments of the kind `name`.

    name  a promise to rows already stored; two declarations of one name and version fail at import
    """

    def register(arguments: type[A]) -> type[A]:
        declared = Kind(name, arguments, steps, **policy)
        _check(declared)
        _KINDS[declared.name_and_version] = declared
        arguments.kind = declared  # type: ignore[attr-defined]
        return arguments

    return register


def _check(declared: Kind) -> None:
    if declared.name_and_version in _KINDS:
        raise ValueError(f"kind {declared.name_and_version} is declared twice")
    steps = declared.steps
    if len({step.name for step in steps}) != len(steps) or not steps:
        raise ValueError(f"kind {declared.name_and_version} needs steps of different names")
    if any(isinstance(step, Step) and step.lasting and step.joins for step in steps):
        raise ValueError(f"kind {declared.name_and_version}: only what is made outside can last or vanish")


def kinds() -> dict[str, Kind]:
    """Return every registered kind by name@version."""
    return dict(_KINDS)


def find(name: str, version: int) -> Kind:
    """Return a registered kind. Raises UnknownKind."""
    try:
        return _KINDS[f"{name}@{version}"]
    except KeyError:
        raise UnknownKind(f"no worker here serves {name}@{version}") from None


def newest(name: str) -> Kind:
    """Return the newest version of a kind. Raises UnknownKind."""
    known = [declared for declared in _KINDS.values() if declared.name == name]
    if not known:
        raise UnknownKind(f"no worker here serves {name}")
    return max(known, key=lambda declared: declared.version)


def name_former_steps(served: str, names: dict[str, str]) -> None:
    """Remember how earlier versions called steps of a kind that go on under another name.

    served  name@version of the kind
    names   today's name by the former one
    """
    _FORMER_STEPS[served] = {**_FORMER_STEPS.get(served, {}), **names}


def former_steps(served: str) -> dict[str, str]:
    """Return today's names of a kind's steps by their former ones."""
    return dict(_FORMER_STEPS.get(served, {}))


def of(arguments: Any) -> Kind:
    """Return the kind that these arguments belong to."""
    declared: Kind = type(arguments).kind
    return declared


def to_json(arguments: Any) -> dict[str, Any]:
    """Return arguments as stored: ids and references, never secrets."""
    return dataclasses.asdict(arguments)


def from_json(declared: Kind, args: dict[str, Any]) -> Any:
    """Rebuild arguments from a stored row; members this version does not know are dropped."""
    known = {member.name for member in dataclasses.fields(declared.arguments)}
    return declared.arguments(**{name: value for name, value in args.items() if name in known})
