//! The CPU device: runs a plan step by step on host memory, where activations that never live at the same time share a place.

use crate::arena::lifetimes;
use crate::{BufferKind, Plan, Program};
use resident_kernels::{BufferId, HostMemory};
use std::collections::BTreeMap;

/// Zeroed host memory for all buffers of a program.
pub fn host_memory(program: &Program) -> HostMemory {
    let places = Places::of(program);
    let mut first_in: BTreeMap<usize, BufferId> = BTreeMap::new();
    let mut memory = HostMemory::new();
    for (id, buffer) in (0..).map(BufferId).zip(&program.buffers) {
        let Some(place) = places.of_buffer.get(&id) else {
            // An activation that no step binds needs none.
            memory.add(if buffer.kind == BufferKind::Activation { 0 } else { buffer.bytes });
            continue;
        };
        match first_in.get(place) {
            Some(first) => memory.add_in_place_of(*first),
            None => *first_in.entry(*place).or_insert_with(|| memory.add(places.bytes[*place])),
        };
    }
    memory
}

/// Bytes of [`host_memory`].
pub fn host_bytes(program: &Program) -> u64 {
    let kept = program.buffers.iter().filter(|buffer| buffer.kind != BufferKind::Activation);
    kept.map(|buffer| buffer.bytes).chain(Places::of(program).bytes).fold(0, u64::saturating_add)
}

/// Where activations lie: a place is as large as the largest that is ever there.
#[derive(Default)]
struct Places {
    of_buffer: BTreeMap<BufferId, usize>,
    bytes: Vec<u64>,
}

impl Places {
    /// In the order in which a plan's activations begin to live, each takes the smallest free place that holds it, else the
    /// largest, which grows. Plans run one after the other, so every place is free when one begins.
    fn of(program: &Program) -> Self {
        let mut places = Self::default();
        for plan in &program.plans {
            let mut free_from = vec![0; places.bytes.len()];
            let mut order: Vec<_> = lifetimes(program, plan).into_iter().collect();
            order.sort_by_key(|(_, (first, _))| *first);
            for (buffer, (first, last)) in order {
                let bytes = program.declaration(buffer).bytes;
                let free = (0..places.bytes.len()).filter(|place| free_from[*place] <= first);
                let best = free.min_by_key(|place| match places.bytes[*place] {
                    size if size >= bytes => (0, size),
                    size => (1, u64::MAX - size),
                });
                let place = best.unwrap_or_else(|| {
                    places.bytes.push(0);
                    free_from.push(0);
                    places.bytes.len() - 1
                });
                places.bytes[place] = places.bytes[place].max(bytes);
                free_from[place] = last + 1;
                places.of_buffer.insert(buffer, place);
            }
        }
        places
    }
}

/// Runs every step of `plan` in order; `count` hears of each kernel that ran.
pub fn run(plan: &Plan, memory: &HostMemory, mut count: impl FnMut(&'static str)) {
    for step in &plan.steps {
        (step.dispatch.kernel.host)(&step.dispatch, memory);
        count(step.dispatch.kernel.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::test_support::{Chain, copy};

    #[test]
    fn a_chain_of_activations_takes_two_places_whatever_its_length() {
        for steps in [3, 4, 50] {
            let Chain { program, plan } = Chain::of(steps, 1000);
            assert_eq!(host_bytes(&program), (2 + 2) * 1000);
            let memory = host_memory(&program);
            let slice = |id| resident_kernels::Slice { buffer: BufferId(id), offset_bytes: 0, bytes: 1000 };
            memory.write::<u8>(slice(0)).fill(7);
            run(program.plan_of(plan), &memory, |_| ());
            assert!(memory.read::<u8>(slice(1)).iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn what_lives_at_the_same_time_has_places_of_its_own_and_plans_share_theirs() {
        let mut program = Program::default();
        let input = program.buffer("input", 4096, BufferKind::State);
        let mut ids = Vec::new();
        for name in ["one", "other"] {
            let mut plan = program.plan(name, 1);
            let parts: Vec<_> =
                [300u64, 4096, 256].iter().map(|bytes| plan.activation_bytes("part", *bytes)).collect();
            parts.iter().for_each(|part| plan.dispatch("fill", copy(input, *part)));
            let sum = plan.activation_bytes("sum", 64);
            parts.iter().for_each(|part| plan.dispatch("use", copy(*part, sum)));
            ids.push(parts.iter().map(|part| part.buffer).chain([sum.buffer]).collect::<Vec<_>>());
            plan.finish();
        }
        let places = Places::of(&program);
        for plan in &ids {
            let used: std::collections::BTreeSet<_> = plan.iter().map(|id| places.of_buffer[id]).collect();
            assert_eq!(used.len(), 4);
        }
        assert_eq!(places.bytes.len(), 4);
        assert!(places.bytes.iter().sum::<u64>() <= 300 + 4096 + 2 * 4096, "{:?}", places.bytes);
    }
}
