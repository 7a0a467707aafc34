//! Where a plan's activations lie: lifetimes → offsets, so that those never alive together share memory.

use crate::{BufferKind, Plan, Program};
use resident_kernels::{BufferId, Slice};
use std::collections::BTreeMap;

/// Alignment of every activation, enough for any device's storage buffers.
pub const ARENA_ALIGNMENT: u64 = 256;

/// The offsets of one plan's activations in a common block of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arena {
    offsets: BTreeMap<BufferId, u64>,
    /// Size of the block.
    pub bytes: u64,
}

struct Placed {
    first_step: usize,
    last_step: usize,
    begin: u64,
    end: u64,
}

/// The first and the last step that bind each activation of a plan.
pub(crate) fn lifetimes(program: &Program, plan: &Plan) -> BTreeMap<BufferId, (usize, usize)> {
    let mut lifetimes: BTreeMap<BufferId, (usize, usize)> = BTreeMap::new();
    for (index, step) in plan.steps.iter().enumerate() {
        for slice in step.dispatch.bindings.iter().filter_map(|b| b.slice) {
            if program.declaration(slice.buffer).kind == BufferKind::Activation {
                lifetimes.entry(slice.buffer).or_insert((index, index)).1 = index;
            }
        }
    }
    lifetimes
}

impl Arena {
    /// Places every activation that `plan` binds: the largest first, each at the lowest offset where no other one that
    /// lives at the same time lies.
    pub fn of(program: &Program, plan: &Plan) -> Self {
        let mut order: Vec<_> = lifetimes(program, plan).into_iter().collect();
        order.sort_by_key(|(buffer, _)| std::cmp::Reverse(program.declaration(*buffer).bytes));

        let mut arena = Self::default();
        let mut placed: Vec<Placed> = Vec::new();
        for (buffer, (first_step, last_step)) in order {
            let bytes = program.declaration(buffer).bytes.next_multiple_of(ARENA_ALIGNMENT);
            let mut begin = 0;
            // `placed` is sorted by `begin`, so one pass finds the lowest gap.
            for other in placed.iter().filter(|p| p.first_step <= last_step && first_step <= p.last_step) {
                if begin + bytes <= other.begin {
                    break;
                }
                begin = begin.max(other.end);
            }
            let at = placed.partition_point(|p| p.begin <= begin);
            placed.insert(at, Placed { first_step, last_step, begin, end: begin + bytes });
            arena.offsets.insert(buffer, begin);
            arena.bytes = arena.bytes.max(begin + bytes);
        }
        arena
    }

    /// The offset of an activation; `None` for a buffer that is none, or not of this plan.
    pub fn offset(&self, buffer: BufferId) -> Option<u64> {
        self.offsets.get(&buffer).copied()
    }

    /// The bytes that a slice really covers: activations that share memory overlap in the arena (`None`).
    pub(crate) fn place(&self, slice: Slice) -> (Option<BufferId>, u64, u64) {
        match self.offset(slice.buffer) {
            Some(offset) => (None, offset + slice.offset_bytes, offset + slice.offset_bytes + slice.bytes),
            None => (Some(slice.buffer), slice.offset_bytes, slice.offset_bytes + slice.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::test_support::{Chain, copy};

    #[test]
    fn a_chain_of_activations_needs_only_two_places() {
        let Chain { program, plan } = Chain::of(5, 1000);
        let arena = Arena::of(&program, program.plan_of(plan));
        assert_eq!(arena.bytes, 2 * 1024);
    }

    #[test]
    fn what_lives_at_the_same_time_does_not_overlap() {
        let mut program = Program::default();
        let input = program.buffer("input", 4096, BufferKind::State);
        let mut plan = program.plan("fan", 1);
        let sizes = [300u64, 4096, 256, 1000, 512];
        let parts: Vec<_> = sizes.iter().map(|bytes| plan.activation_bytes("part", *bytes)).collect();
        for part in &parts {
            plan.dispatch("fill", copy(input, *part));
        }
        let sum = plan.activation_bytes("sum", 64);
        for part in &parts {
            plan.dispatch("use", copy(*part, sum));
        }
        let plan = plan.finish();
        let arena = Arena::of(&program, program.plan_of(plan));
        for (i, a) in parts.iter().enumerate() {
            for b in &parts[..i] {
                let ((_, a_begin, a_end), (_, b_begin, b_end)) = (arena.place(*a), arena.place(*b));
                assert!(a_end <= b_begin || b_end <= a_begin);
            }
        }
    }
}
