"""The embedded NPU as a library: load a design and its core functions, call it on numpy arrays."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from npukbuild.errors import NpukbuildError, SimulationFault
from npukbuild.simulator.agenda import Agenda, BudgetExceededError
from npukbuild.simulator.array import ArrayState
from npukbuild.simulator.budgets import Patience, Progress, over_budget
from npukbuild.simulator.core.statics import has_statics
from npukbuild.simulator.crash import watch
from npukbuild.simulator.diagnosis import Hang
from npukbuild.simulator.faults import fault
from npukbuild.simulator.findings import Findings
from npukbuild.simulator.host import Controller, check_arguments
from npukbuild.simulator.kernel_library import FAULT_MISALIGNED, KernelLibrary
from npukbuild.simulator.leftovers import fifo_levels, left_in_fifos
from npukbuild.simulator.recording import Recorder
from npukbuild.simulator.stages import Stages, image_of, restore
from npukbuild.simulator.tally import Tally
from npukbuild.simulator.timing import FunctionCost, event_timing
from npukbuild.simulator.work import Work, second_processor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from npukbuild.ir.design import Design, TileId
    from npukbuild.simulator.core.calls import Kernels
    from npukbuild.simulator.crash import Running
    from npukbuild.simulator.result import RunResult

_DRAIN_EVENTS = 20_000


class Simulator:
    """One configured array. Calls of :meth:`run` continue with the state that the call before left.

    Args:
        design: A lowered design (:func:`npukbuild.ir.load_design`).
        kernels: Compiled core functions (:class:`npukbuild.simulator.kernel_library.KernelLibrary`), None
            when the design calls none.
        timed: Simulate time; without it the same engine runs faster and reports no times.
        clock_ghz: AIE clock; None: the target's default.
        launch: Which fixed time around a call ``RunResult.microseconds`` has (``[timing.gemm.launch]``).
        compiler: Whose code the times of core functions are for (``peano``, ``xchesscc``).
        cost: ``cost(function, arguments) -> cycles`` of a core function instead of the default estimate.
        trace: Keep intervals for :mod:`npukbuild.simulator.trace` and :mod:`npukbuild.simulator.timeline`.
        differential: Run core functions twice on blocks that are not fully written yet, to find results that
            depend on unwritten data. Switch it off for functions that keep state of their own between calls.
        sequence: The name of the runtime sequence when the design has several.
        max_us: Budget on simulated time per call.
        max_events: Budget on events per call.
        max_seconds: Budget on real time per call.
        max_idle_seconds: Budget on real time in which nothing gets on: no data of the host's transfers move,
            or one call of a core function does not return.
        beside: Do copies and core functions in a second thread, in order
            (:mod:`npukbuild.simulator.work`); the results are the same. None: when the kernels are compiled
            ones and there is a second processor.

    Instances share nothing; several can run at once in different threads.
    """

    def __init__(
        self,
        design: Design,
        kernels: Kernels | None = None,
        *,
        timed: bool = True,
        clock_ghz: float | None = None,
        launch: str = "device",
        compiler: str = "peano",
        cost: Callable[..., float] | None = None,
        trace: bool = False,
        differential: bool = True,
        sequence: str | None = None,
        max_us: float = 10e6,
        max_events: int = 500_000_000,
        max_seconds: float = 900.0,
        max_idle_seconds: float = 20.0,
        beside: bool | None = None,
    ) -> None:
        from npukbuild.targets import load_target

        self.design = design
        self.target = load_target(design.device)
        self.timing = event_timing(self.target, clock_ghz, launch)
        self.timed = timed
        self.max_seconds = max_seconds
        self.max_idle_seconds = max_idle_seconds
        self._sequence = _choose(design, sequence)
        self._agenda = Agenda(
            timed=timed, max_cycles=max_us * 1e3 * self.timing.clock_ghz, max_events=max_events
        )
        self._work = _work_for(kernels, self._agenda, beside)
        self._findings = Findings(differential=differential, work=self._work)
        self._patience = Patience(self._busy, max_seconds, max_idle_seconds)
        self._recorder = Recorder(tracing=trace and timed)
        self._array = ArrayState(
            design,
            kernels,
            self.target,
            self.timing,
            cost or FunctionCost(self.target, compiler),
            self._agenda,
            self._recorder,
            self._findings,
            self._work,
        )
        self._broken: NpukbuildError | None = None
        self._calls = 0
        self._array.configure()
        self._stages = self._make_stages(
            kernels,
            timed=timed,
            clock_ghz=clock_ghz,
            launch=launch,
            compiler=compiler,
            cost=cost,
            trace=trace,
            differential=differential,
            max_us=max_us,
            max_events=max_events,
            max_seconds=max_seconds,
            max_idle_seconds=max_idle_seconds,
            beside=beside,
        )

    def _make_stages(self, kernels: Kernels | None, **options: Any) -> Stages | None:
        if not self._sequence.stages:
            return None

        def make(design: Design) -> Simulator:
            own = kernels
            if has_statics(kernels):  # loaded anew with the cores' programs
                again: Any = kernels
                own = type(again)(again.path)
            return Simulator(design, own, **options)

        load_us = self.target.timing["events"]["reconfigure_us"]
        return Stages(self.design, self._sequence, make, load_us)

    def remember(self) -> dict[TileId, Any]:
        """Return what the data memories hold."""
        return image_of(
            self._array.memories.values(),
            lambda tile: self.target.limits(self.target.kind(tile.row)).data_bytes,
        )

    def recall(self, image: Mapping[TileId, Any]) -> None:
        """Give buffers without an initial value what their memory held before this configuration."""
        restore(self._array.memories.values(), image)

    def run(self, args: Sequence[np.ndarray[Any, Any]]) -> RunResult:
        """Call the design once; outputs are written into the given arrays.

        Args:
            args: One C-contiguous array per argument of the runtime sequence, in order, with as many elements
                and the element size of its type.

        Raises:
            InputError: The arrays do not fit the design.
            SimulationFault: The design hangs or breaks a rule of the hardware; see its message. The array is
                then in an unknown state and the simulator refuses further calls.
        """
        if self._stages is not None:
            return self._stages.run(list(args))
        if self._broken is not None:
            raise fault(
                "this simulator stopped with a fault before",
                why=self._broken.what,
                hint="make a new Simulator for another call",
            )
        views = check_arguments(self._sequence, list(args), self.target.host_arguments)
        answer: list[Any] = []

        def work() -> None:
            watch(lambda: self._findings.running[0])
            try:
                answer.append(self._call(views))
            except BaseException as error:
                answer.append(error)
            finally:
                if self._work is not None:
                    self._work.end()

        worker = threading.Thread(target=work, name="npu simulator", daemon=True)
        worker.start()
        try:
            stuck = self._patience.wait(worker)
        except BaseException:
            self._agenda.cancelled = True
            raise
        if stuck is not None:
            self._agenda.cancelled = True
            self._broken = stuck
            raise stuck
        (result,) = answer
        if isinstance(result, BaseException):
            if isinstance(result, NpukbuildError):
                self._broken = result
            raise result
        found: RunResult = result
        return found

    def _busy(self) -> tuple[Running, int]:
        """Return the core function under way, and a number that changes when a queued one has ended."""
        if self._work is not None and (beside := self._work.running()) is not None:
            return beside, self._work.done
        return self._findings.running[0], 0

    def _call(self, views: list[Any]) -> RunResult:
        array, agenda = self._array, self._agenda
        if self._work is not None:
            self._work.begin(monotonic() + self.max_seconds)
        self._findings.clear()
        agenda.drain(_DRAIN_EVENTS)  # cores run up to where they wait for the host, as they do on hardware
        levels = fifo_levels(array)
        self._recorder.begin(agenda.now)
        array.begin_call()
        before = Tally(array)
        start, events = agenda.now, agenda.events
        controller = Controller(array, self._sequence, views)
        try:
            try:
                return self._execute(controller, start, events, before, levels)
            except SimulationFault:
                self._settle(controller)  # a core function that wrote outside its blocks came first
                raise
        except SimulationFault as error:
            raise self._findings.beside(error) from None

    def _execute(
        self, controller: Controller, start: float, events: int, before: Tally, levels: dict[str, int]
    ) -> RunResult:
        array, agenda = self._array, self._agenda
        progress = Progress(array, controller, self.max_idle_seconds)
        agenda.stopped = False
        agenda.stalled = progress.stalled
        agenda.ready.append(controller.step)
        try:
            agenda.run(monotonic() + self.max_seconds)
        except BudgetExceededError as error:
            if error.limit == "idle":
                raise progress.explain() from None
            raise over_budget(error.limit, array, controller, self._given(error.limit)) from None
        if not controller.done:
            raise Hang(array, controller).explain()
        controller.check_end()
        agenda.drain(_DRAIN_EVENTS)
        self._settle(controller)
        if agenda.idle:
            controller.check_inputs()
        self._check_guards()
        self._check_core_faults()
        if self._findings.faults:
            raise self._findings.faults[0]
        cycles = controller.end_time - start
        warnings = [*self.design.warnings, *self._findings.warnings, *controller.leftovers()]
        if agenda.idle:
            warnings += left_in_fifos(array, levels, first=not self._calls)
        self._calls += 1
        warnings += self._recorder.warnings(self.timing.clock_ghz)
        return before.result(len(controller.tasks), cycles, agenda.events - events, tuple(warnings))

    def _settle(self, controller: Controller) -> None:
        if self._work is not None:
            try:
                self._work.settle()
            except BudgetExceededError as error:
                given = self._given(error.limit)
                raise over_budget(error.limit, self._array, controller, given) from None

    def _given(self, limit: str) -> str:
        """Return a budget in words."""
        if limit == "time":
            return f"{self._agenda.max_cycles / self.timing.clock_ghz / 1e3:g} us of simulated time"
        if limit == "events":
            return f"{self._agenda.max_events:,} events"
        return f"{self.max_seconds:g} s of real time"

    def _check_core_faults(self) -> None:
        """Look at what the kernels themselves reported: misaligned vectors, cascades that lead nowhere."""
        for context in self._array.contexts.values():
            state = context.calls.state
            bits = getattr(state, "faults", 0)
            if state is None or not bits:
                continue
            state.clear_faults()
            if bits & FAULT_MISALIGNED:
                raise fault(
                    f"a core function on core {context.core.tile} accesses a vector at a misaligned address",
                    loc=context.core.loc,
                    why=f"address {state.fault_address % 64} modulo 64, with the buffers where the design "
                    "places "
                    "them; the hardware cuts the low bits and accesses other data",
                    hint="align the buffers (bank-aware placement, or addresses), or use "
                    "aie::load_unaligned_v",
                )
            raise fault(
                f"a core function on core {context.core.tile} uses a cascade that is not connected",
                loc=context.core.loc,
                why="its put_mcd or get_scd has no other end in the design",
                hint="add aie.cascade_flow between the two cores",
            )

    def _check_guards(self) -> None:
        for memory in self._array.memories.values():
            if self.target.kind(memory.buffer.tile.row) == "core" and not memory.guards_intact():
                memory.repair_guards()
                raise fault(
                    f"something wrote outside buffer {memory.name}",
                    loc=memory.buffer.loc,
                    why=f"guard bytes around it were overwritten ({memory.type})",
                    hint="a core function writes far outside its blocks; check its strides and counts",
                )


def _work_for(kernels: Kernels | None, agenda: Agenda, beside: bool | None) -> Work | None:
    if beside is None:
        beside = second_processor()
    return Work(kernels, agenda) if beside and isinstance(kernels, KernelLibrary) else None


def _choose(design: Design, name: str | None) -> Any:
    if name is not None:
        if name in design.sequences:
            return design.sequences[name]
        raise fault(
            f"the design has no runtime sequence {name}",
            why=f"it has {', '.join(design.sequences) or 'none'}",
            hint="choose one of them (--sequence NAME)",
        )
    if len(design.sequences) != 1:
        raise fault(
            f"the design has {len(design.sequences)} runtime sequences",
            why=", ".join(design.sequences) or "the host would have nothing to run",
            hint="choose one (--sequence NAME)" if design.sequences else "add an aie.runtime_sequence",
        )
    return design.sequence
