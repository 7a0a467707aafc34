//! `vecmat_chain_<type>`: many steps z = z · A in one call by one team: a workgroup on a GPU, which holds A in registers and z
//! in shared memory, and threads on the CPU device. Nothing leaves the team between the steps.
//!
//! How many steps a call runs stands in a table of segments, so that a recording serves calls of any length.

#[cfg(test)]
mod tests;

use crate::real::{Operator, Real, RealType, plain_product, product};
use crate::{Cost, Dispatch, Grid, HostMemory, Slice};
use bytemuck::{Pod, Zeroable};
use std::sync::atomic::{AtomicUsize, Ordering};

real_kernels!(kernel, "vecmat_chain", host, reference);

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
    segment_mask: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// u32, a power of two of them: steps of each call, by the number of calls before it.
        segments: Read,
        /// u32: calls so far.
        control: ReadWrite,
        /// (dim, stride): the operator.
        a: Read,
        /// (stride): the state.
        z: ReadWrite,
        /// (stride): the state before the last step.
        before: Write,
    }
}

/// Values of A that an invocation holds at the most.
const HELD: u32 = 32;

/// The shape of a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Team {
    columns: u32,
    slices: u32,
}

impl std::fmt::Display for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} columns by {} slices", self.columns, self.slices)
    }
}

impl Team {
    /// The CPU device's, which takes every size.
    pub const THREADS: Self = Self { columns: 0, slices: 0 };

    /// The workgroup that holds A, on a device with so many invocations in a workgroup; none where A is too large.
    pub fn of(operator: Operator, max_invocations: u32) -> Option<Self> {
        // Shared memory is 16 KiB for sure.
        let invocations = max_invocations.min(if operator.real == RealType::F32 { 1024 } else { 512 });
        let columns = operator.dim.next_multiple_of(32);
        let most = invocations / columns;
        let slices = operator.dim.div_ceil(8).min(most);
        (slices * HELD >= operator.dim).then_some(Self { columns, slices })
    }
}

/// Advances one trajectory by the steps of the next segment.
///
/// # Panics
/// If the segments are not a power of two in number.
pub fn dispatch(operator: Operator, team: Team, bindings: Bindings) -> Dispatch {
    operator.check(1, Some(bindings.a), &[bindings.z, bindings.before]);
    let segment_mask = segment_mask(bindings.segments);
    let stride = operator.stride();
    Dispatch {
        kernel: kernel(operator.real),
        specialization: vec![team.columns * team.slices, operator.dim, team.columns, team.slices],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride, segment_mask }).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost {
            weight_bytes: operator.bytes(),
            activation_bytes: 2 * operator.state_bytes(1),
            operations: 0,
        },
    }
}

/// The mask of the index of a table of segments.
pub(crate) fn segment_mask(segments: Slice) -> u32 {
    let count = u32::try_from(segments.bytes / 4).expect("a small table");
    assert!(count.is_power_of_two(), "{count} segments, expected a power of two");
    count - 1
}

/// Takes the steps of the next segment.
pub(crate) fn next_segment(dispatch: &Dispatch, memory: &HostMemory, mask: u32) -> u32 {
    let segments = memory.read::<u32>(dispatch.slice("segments"));
    let mut control = memory.write::<u32>(dispatch.slice("control"));
    let steps = segments[(control[0] & mask) as usize];
    control[0] = control[0].wrapping_add(1);
    steps
}

fn reference<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, segment_mask } = dispatch.params();
    let dim = dispatch.specialization[1] as usize;
    let a = memory.read::<T>(dispatch.slice("a"));
    let mut z = memory.write::<T>(dispatch.slice("z"));
    let mut before = memory.write::<T>(dispatch.slice("before"));
    for _ in 0..next_segment(dispatch, memory, segment_mask) {
        before[..dim].copy_from_slice(&z[..dim]);
        let next = plain_product(&z[..dim], &a, stride as usize);
        z[..dim].copy_from_slice(&next[..dim]);
    }
}

/// Multiply-adds of a step below which another thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 15;

/// Threads share the columns for the whole segment, so that each keeps its part of A in its own cache.
fn host<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, segment_mask } = dispatch.params();
    let steps = next_segment(dispatch, memory, segment_mask) as usize;
    if steps == 0 {
        return;
    }
    let dim = dispatch.specialization[1] as usize;
    let a = memory.read::<T>(dispatch.slice("a"));
    let mut z = memory.write::<T>(dispatch.slice("z"));
    let mut before = memory.write::<T>(dispatch.slice("before"));
    let wanted = (dim * dim / WORTH_A_THREAD).clamp(1, rayon::current_num_threads());
    // Whole cache lines.
    let width = dim.div_ceil(wanted).next_multiple_of(16);
    let run = Run {
        a: &a,
        dim,
        stride: stride as usize,
        steps,
        width,
        members: dim.div_ceil(width),
        states: [0; 2].map(|_| (0..dim).map(|_| T::Shared::default()).collect()),
        arrived: AtomicUsize::new(0),
    };
    run.publish(0, &z[..dim], 0);
    match run.members {
        1 => run.member(0),
        _ => {
            rayon::broadcast(|context| {
                if context.index() < run.members {
                    run.member(context.index());
                }
            });
        }
    }
    run.collect(steps, &mut z[..dim]);
    run.collect(steps - 1, &mut before[..dim]);
}

/// One segment of steps by several threads. z of step t stands in `states[t % 2]`, in words of its own each, since threads
/// write theirs while others read: a member that is one step ahead writes into the state that nobody reads any more, because
/// it has seen everybody arrive at the end of the step before.
struct Run<'a, T: Real> {
    a: &'a [T],
    dim: usize,
    stride: usize,
    steps: usize,
    /// Columns of a member.
    width: usize,
    members: usize,
    states: [Vec<T::Shared>; 2],
    /// Members that came to the end of a step, of all steps together.
    arrived: AtomicUsize,
}

impl<T: Real> Run<'_, T> {
    fn publish(&self, step: usize, values: &[T], first: usize) {
        self.states[step % 2][first..].iter().zip(values).for_each(|(shared, value)| value.store(shared));
    }

    fn collect(&self, step: usize, into: &mut [T]) {
        into.iter_mut().zip(&self.states[step % 2]).for_each(|(value, shared)| *value = T::load(shared));
    }

    fn member(&self, index: usize) {
        let first = index * self.width;
        let mut z = vec![T::ZERO; self.dim];
        let mut own = vec![T::ZERO; self.width.min(self.dim - first)];
        for step in 0..self.steps {
            self.collect(step, &mut z);
            product(&z, self.a, self.stride, first, &mut own);
            self.publish(step + 1, &own, first);
            self.arrive(step + 1);
        }
    }

    /// Waits until all members have finished `steps` steps.
    fn arrive(&self, steps: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut turns = 0u32;
        while self.arrived.load(Ordering::Acquire) < steps * self.members {
            turns += 1;
            // On a machine with other work the one that is waited for may need this very core.
            if turns < 4096 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}
