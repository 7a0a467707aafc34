//! Programs, buffers, plans and the builder that puts them together.

use crate::ARENA_ALIGNMENT;
use resident_kernels::fill;
use resident_kernels::handover::NOT_READY;
use resident_kernels::{BufferId, Cost, DeviceTraits, Dispatch, Slice};

/// What a buffer is for, and with that where it lives and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// Filled once from a checkpoint or a table. Device memory.
    Weight,
    /// Kept from replay to replay, zeroed at the start. Device memory.
    State,
    /// Activations of one plan that carry their own readiness ([`resident_kernels::handover`]). Device memory; every word
    /// is `NOT_READY` at the start and after every replay.
    Handover,
    /// Lives within one replay of one plan; may share its memory with others of that kind. Device memory.
    Activation,
    /// Written by the host between replays, read by the device. Mapped memory.
    Mailbox,
    /// Written by the device, read by the host between replays. Mapped memory.
    Ring,
}

/// A named buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferDecl {
    /// For people: plans, errors and memory tables show it.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// What it is for.
    pub kind: BufferKind,
}

/// One kernel call of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Where in the model it stands: `layers.3.qkv_proj`.
    pub label: String,
    /// The call.
    pub dispatch: Dispatch,
}

/// A list of steps that is recorded once and replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// For people: `decode`, `prefill_64`.
    pub name: String,
    /// Token rows (or trajectories) that a replay can hold.
    pub rows: u32,
    /// The calls, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The steps' costs added up, with all rows in use.
    pub fn cost(&self) -> Cost {
        self.steps.iter().fold(Cost::default(), |sum, step| sum + step.dispatch.cost)
    }
}

/// Names a plan of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanId(pub usize);

/// Buffers and the plans over them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// What the kernels' variants are chosen for.
    pub device: DeviceTraits,
    /// All buffers, by [`BufferId`].
    pub buffers: Vec<BufferDecl>,
    /// All plans, by [`PlanId`].
    pub plans: Vec<Plan>,
}

impl Program {
    /// Declares a buffer and returns all of it.
    pub fn buffer(&mut self, name: impl Into<String>, bytes: u64, kind: BufferKind) -> Slice {
        let buffer = BufferId(self.buffers.len() as u32);
        self.buffers.push(BufferDecl { name: name.into(), bytes, kind });
        Slice { buffer, offset_bytes: 0, bytes }
    }

    /// The declaration of a buffer.
    pub fn declaration(&self, buffer: BufferId) -> &BufferDecl {
        &self.buffers[buffer.0 as usize]
    }

    /// Begins a plan for `rows` rows.
    pub fn plan(&mut self, name: impl Into<String>, rows: u32) -> PlanBuilder<'_> {
        PlanBuilder {
            program: self,
            plan: Plan { name: name.into(), rows, steps: Vec::new() },
            handover: None,
        }
    }

    /// Begins a plan whose activations are handed over without barriers, where the kernels can; see
    /// [`PlanBuilder::handed_on`].
    pub fn plan_with_handover(&mut self, name: impl Into<String>, rows: u32) -> PlanBuilder<'_> {
        let name = name.into();
        let handover = self.buffer(format!("{name}.handover"), 0, BufferKind::Handover).buffer;
        PlanBuilder { handover: Some(handover), ..self.plan(name, rows) }
    }

    /// A plan.
    pub fn plan_of(&self, id: PlanId) -> &Plan {
        &self.plans[id.0]
    }

    /// Bytes of all buffers of a kind, shared or not.
    pub fn bytes_of(&self, kind: BufferKind) -> u64 {
        self.buffers.iter().filter(|b| b.kind == kind).map(|b| b.bytes).fold(0, u64::saturating_add)
    }
}

/// Adds steps to a plan of a program.
pub struct PlanBuilder<'a> {
    program: &'a mut Program,
    plan: Plan,
    /// Where activations are handed over, if the plan does that.
    handover: Option<BufferId>,
}

impl PlanBuilder<'_> {
    /// What the kernels' variants are chosen for.
    pub fn device(&self) -> DeviceTraits {
        self.program.device
    }

    /// Token rows that the plan is built for.
    pub fn rows(&self) -> u32 {
        self.plan.rows
    }

    /// An f32 activation of `values` values for each row.
    pub fn activation(&mut self, name: &str, values_per_row: u32) -> Slice {
        let bytes = u64::from(self.plan.rows) * u64::from(values_per_row) * 4;
        self.activation_bytes(name, bytes)
    }

    /// An activation of `bytes`.
    pub fn activation_bytes(&mut self, name: &str, bytes: u64) -> Slice {
        self.program.buffer(format!("{}.{name}", self.plan.name), bytes, BufferKind::Activation)
    }

    /// An activation of `bytes` that later steps of the replay read: in the plan's hand-over, where it has one, each
    /// in a place of its own. Its producer must be able to publish and should be followed by consumers that poll; whoever
    /// does not waits at a barrier.
    pub fn handed_on(&mut self, name: &str, bytes: u64) -> Slice {
        let Some(buffer) = self.handover else { return self.activation_bytes(name, bytes) };
        let declared = &mut self.program.buffers[buffer.0 as usize];
        let offset_bytes = declared.bytes;
        declared.bytes += bytes.next_multiple_of(ARENA_ALIGNMENT);
        Slice { buffer, offset_bytes, bytes }
    }

    /// Whether a slice lies in the plan's hand-over.
    pub fn is_handed_over(&self, slice: Slice) -> bool {
        self.handover == Some(slice.buffer)
    }

    /// Clears the hand-over for the next replay, where the plan has one. To stand behind the last step that polls.
    pub fn clear_handover(&mut self) {
        if let Some(buffer) = self.handover {
            let whole = Slice { buffer, offset_bytes: 0, bytes: self.program.declaration(buffer).bytes };
            self.dispatch("clear_handover", fill::dispatch(NOT_READY, whole));
        }
    }

    /// Appends a call.
    pub fn dispatch(&mut self, label: impl Into<String>, dispatch: Dispatch) {
        self.plan.steps.push(Step { label: label.into(), dispatch });
    }

    /// Adds the plan to the program.
    ///
    /// # Panics
    /// If a step reads an activation that no step before it wrote: it would read what another left there.
    pub fn finish(self) -> PlanId {
        let mut written = std::collections::HashSet::new();
        for step in &self.plan.steps {
            for binding in &step.dispatch.bindings {
                let Some(slice) = binding.slice else { continue };
                if self.program.declaration(slice.buffer).kind != BufferKind::Activation {
                    continue;
                }
                assert!(
                    !binding.access.reads() || written.contains(&slice.buffer),
                    "{}: step '{}' reads '{}' before any step writes it",
                    self.plan.name,
                    step.label,
                    self.program.declaration(slice.buffer).name
                );
                written.insert(slice.buffer);
            }
        }
        self.program.plans.push(self.plan);
        PlanId(self.program.plans.len() - 1)
    }
}

/// Small plans for the tests of this crate.
#[cfg(test)]
pub(crate) mod test_support {
    use super::*;
    use resident_kernels::{Access, Binding, Grid, HostMemory, Kernel};

    static COPY: Kernel = Kernel { name: "copy", spirv: &[], host: run_copy, reference: run_copy };

    fn run_copy(dispatch: &Dispatch, memory: &HostMemory) {
        let from = memory.read::<u8>(dispatch.slice("from"));
        let mut to = memory.write::<u8>(dispatch.slice("to"));
        to.iter_mut().zip(from.iter()).for_each(|(to, from)| *to = *from);
    }

    /// A call that reads `from` and writes `to`.
    pub(crate) fn copy(from: Slice, to: Slice) -> Dispatch {
        Dispatch {
            kernel: &COPY,
            specialization: vec![64],
            bindings: vec![
                Binding { name: "from", slice: Some(from), access: Access::Read },
                Binding { name: "to", slice: Some(to), access: Access::Write },
            ],
            params: Vec::new(),
            grid: Grid::Groups([1, 1, 1]),
            cost: Cost { weight_bytes: 0, activation_bytes: from.bytes + to.bytes, operations: 0 },
        }
    }

    /// input → activation → … → output, each step reading what the one before wrote.
    pub(crate) struct Chain {
        pub(crate) program: Program,
        pub(crate) plan: PlanId,
    }

    impl Chain {
        pub(crate) fn of(steps: usize, bytes: u64) -> Self {
            let mut program = Program::default();
            let mut from = program.buffer("input", bytes, BufferKind::State);
            let output = program.buffer("output", bytes, BufferKind::State);
            let mut plan = program.plan("chain", 1);
            for step in 0..steps {
                let last = step + 1 == steps;
                let to = if last { output } else { plan.activation_bytes(&format!("link{step}"), bytes) };
                plan.dispatch(format!("step.{step}"), copy(from, to));
                from = to;
            }
            let plan = plan.finish();
            Self { program, plan }
        }
    }

    #[test]
    #[should_panic(expected = "reads 'bad.loose' before any step writes it")]
    fn an_activation_that_nobody_wrote_is_refused() {
        let mut program = Program::default();
        let output = program.buffer("output", 64, BufferKind::State);
        let mut plan = program.plan("bad", 1);
        let loose = plan.activation_bytes("loose", 64);
        plan.dispatch("use", copy(loose, output));
        plan.finish();
    }

    #[test]
    fn the_interpreter_runs_the_steps_in_order_and_counts_them() {
        let Chain { program, plan } = Chain::of(3, 16);
        let memory = crate::host_memory(&program);
        let slice = |id| Slice { buffer: BufferId(id), offset_bytes: 0, bytes: 16 };
        memory.write::<u32>(slice(0)).copy_from_slice(&[1, 2, 3, 4]);
        let mut ran = Vec::new();
        crate::run(program.plan_of(plan), &memory, |kernel| ran.push(kernel));
        assert_eq!(&*memory.read::<u32>(slice(1)), [1, 2, 3, 4]);
        assert_eq!(ran, ["copy"; 3]);
    }
}
