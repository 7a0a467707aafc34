//! `choose_experts`: from a router's logits to the experts that each row goes through and their weights. The largest logits
//! win, of equal ones the first; weights are the softmax over all experts, or over the chosen ones.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "choose_experts",
    spirv: include_bytes!("choose_experts.spv"),
    host: reference::run,
    reference: reference::run,
};

/// The most experts there may be: their logits lie in shared memory.
pub const MAX_EXPERTS: u32 = 1024;

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChooseExperts {
    /// Experts there are.
    pub experts: u32,
    /// Experts that a row chooses.
    pub slots: u32,
    /// Whether the weights of a row add up to 1.
    pub normalise: bool,
    /// Values from one row of logits to the next.
    pub stride: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, stride).
        logits: Read,
        /// u32: how many rows hold a token.
        row_count: Read,
        /// u32 (rows, slots).
        experts: Write,
        /// f32 (rows, slots).
        weights: Write,
    }
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
}

/// Chooses for up to `rows` rows.
pub fn dispatch(choice: &ChooseExperts, rows: u32, bindings: Bindings) -> Dispatch {
    let ChooseExperts { experts, slots, normalise, stride } = *choice;
    assert!((1..=experts).contains(&slots) && experts <= MAX_EXPERTS, "{slots} of {experts} experts");
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![128, experts, slots, normalise.into()],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride }).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        cost: Cost {
            activation_bytes: u64::from(rows) * u64::from(experts + 2 * slots) * 4,
            operations: u64::from(rows) * u64::from(experts) * u64::from(experts),
            ..Cost::default()
        },
    }
}
