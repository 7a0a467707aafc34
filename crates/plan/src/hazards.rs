//! Which steps must wait for the ones before them: exact barriers from the bytes that steps read and write.

use crate::{Arena, Plan};
use resident_kernels::{Access, BufferId};

struct Touched {
    place: (Option<BufferId>, u64, u64),
    access: Access,
}

impl Touched {
    /// Read after write, write after read or write after write on a common byte; but whoever polls what was published
    /// needs nobody to wait for it.
    fn conflicts(&self, earlier: &Touched) -> bool {
        (self.access.writes() || earlier.access.writes())
            && (earlier.access, self.access) != (Access::Publish, Access::Poll)
            && self.place.0 == earlier.place.0
            && self.place.1 < earlier.place.2
            && earlier.place.1 < self.place.2
    }
}

/// For every step whether a barrier must stand before it. Steps between two barriers may overlap on the device.
/// A replay as a whole begins behind a barrier, so the first step never needs one.
pub fn barriers(plan: &Plan, arena: &Arena) -> Vec<bool> {
    let mut since_barrier: Vec<Touched> = Vec::new();
    let mut barriers = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let touched: Vec<Touched> = step
            .dispatch
            .bindings
            .iter()
            .filter_map(|b| Some(Touched { place: arena.place(b.slice?), access: b.access }))
            .collect();
        let needed = touched.iter().any(|t| since_barrier.iter().any(|earlier| t.conflicts(earlier)));
        if needed {
            since_barrier.clear();
        }
        since_barrier.extend(touched);
        barriers.push(needed);
    }
    barriers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::test_support::{Chain, copy};
    use crate::{BufferKind, Program};

    #[test]
    fn a_chain_waits_at_every_step() {
        let Chain { program, plan } = Chain::of(4, 64);
        let plan = program.plan_of(plan);
        assert_eq!(barriers(plan, &Arena::of(&program, plan)), [false, true, true, true]);
    }

    #[test]
    fn independent_steps_share_one_barrier_and_reused_memory_counts() {
        let mut program = Program::default();
        let input = program.buffer("input", 64, BufferKind::State);
        let outputs = [0; 2].map(|_| program.buffer("output", 64, BufferKind::State));
        let mut plan = program.plan("fan", 1);
        let [a, b] = [0; 2].map(|_| plan.activation_bytes("part", 64));
        plan.dispatch("a", copy(input, a));
        plan.dispatch("b", copy(input, b));
        plan.dispatch("use a", copy(a, outputs[0]));
        plan.dispatch("use b", copy(b, outputs[1]));
        // `c` takes the place of `a`, which is still being read: write after read.
        let c = plan.activation_bytes("c", 64);
        plan.dispatch("c", copy(input, c));
        let plan = plan.finish();
        let plan = program.plan_of(plan);
        assert_eq!(barriers(plan, &Arena::of(&program, plan)), [false, false, true, false, true]);
    }

    #[test]
    fn whoever_polls_what_was_published_waits_for_nobody() {
        let mut program = Program::default();
        let input = program.buffer("input", 256, BufferKind::State);
        let output = program.buffer("output", 256, BufferKind::State);
        let mut plan = program.plan_with_handover("handover", 1);
        let [a, b] = ["a", "b"].map(|name| plan.handed_on(name, 256));
        let call = |from, reading, to, writing| {
            let mut call = copy(from, to);
            (call.bindings[0].access, call.bindings[1].access) = (reading, writing);
            call
        };
        plan.dispatch("publish", call(input, Access::Read, a, Access::Publish));
        plan.dispatch("poll and publish", call(a, Access::Poll, b, Access::Publish));
        plan.dispatch("poll", call(b, Access::Poll, output, Access::Write));
        plan.dispatch("does not poll", call(a, Access::Read, output, Access::Write));
        plan.clear_handover();
        let plan = plan.finish();
        let plan = program.plan_of(plan);
        assert_eq!(barriers(plan, &Arena::of(&program, plan)), [false, false, false, true, true]);
    }

    #[test]
    fn disjoint_ranges_of_one_buffer_do_not_wait() {
        let mut program = Program::default();
        let input = program.buffer("input", 64, BufferKind::State);
        let output = program.buffer("output", 128, BufferKind::State);
        let mut plan = program.plan("ranges", 1);
        plan.dispatch("low", copy(input, output.at(0, 64)));
        plan.dispatch("high", copy(input, output.at(64, 64)));
        plan.dispatch("again", copy(input, output.at(32, 64)));
        let plan = plan.finish();
        let plan = program.plan_of(plan);
        assert_eq!(barriers(plan, &Arena::of(&program, plan)), [false, false, true]);
    }
}
