//! Plans for people: one line a step, a rule where a barrier stands.

use crate::{Arena, BufferKind, Plan, PlanId, Program, barriers};
use resident_kernels::{Access, Binding, Grid};
use std::fmt;

impl Program {
    /// The plan as text: steps with kernel, grid and bindings, and the barriers between them.
    pub fn display(&self, plan: PlanId) -> impl fmt::Display + '_ {
        PlanText { program: self, plan: self.plan_of(plan) }
    }
}

struct PlanText<'a> {
    program: &'a Program,
    plan: &'a Plan,
}

impl PlanText<'_> {
    fn names(&self, bindings: &[Binding], wanted: impl Fn(Access) -> bool) -> String {
        let bound = bindings.iter().filter(|b| wanted(b.access)).filter_map(|b| b.slice);
        let names = bound.map(|slice| {
            let buffer = self.program.declaration(slice.buffer);
            match slice.bytes == buffer.bytes {
                true => buffer.name.clone(),
                false => format!("{}[{}+{}]", buffer.name, slice.offset_bytes, slice.bytes),
            }
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for PlanText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { name, rows, steps } = self.plan;
        let arena = Arena::of(self.program, self.plan);
        let barriers = barriers(self.plan, &arena);
        let phases = 1 + barriers.iter().filter(|b| **b).count();
        writeln!(
            f,
            "plan {name}: {rows} rows, {} steps in {phases} phases, arena {} bytes",
            steps.len(),
            arena.bytes
        )?;
        let weights = self.program.bytes_of(BufferKind::Weight);
        let cost = self.plan.cost();
        writeln!(f, "weights {weights} bytes; a replay reads {} of weights", cost.weight_bytes)?;
        for ((index, step), barrier) in steps.iter().enumerate().zip(barriers) {
            if barrier {
                writeln!(f, "  ---")?;
            }
            let dispatch = &step.dispatch;
            let grid = match dispatch.grid {
                Grid::Groups([x, y, z]) => format!("{x}x{y}x{z} groups"),
                Grid::Subgroups { jobs, y, z } => format!("{jobs}x{y}x{z} subgroups"),
            };
            let reads = self.names(&dispatch.bindings, Access::reads);
            let writes = self.names(&dispatch.bindings, Access::writes);
            writeln!(
                f,
                "{index:4} {:<24} {:<16} {grid:<18} {reads} -> {writes}",
                step.label, dispatch.kernel.name
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::program::test_support::Chain;

    #[test]
    fn a_plan_prints_its_steps_barriers_and_buffers() {
        let Chain { program, plan } = Chain::of(3, 64);
        insta::assert_snapshot!(program.display(plan));
    }
}
