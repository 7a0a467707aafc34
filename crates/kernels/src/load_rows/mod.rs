//! `load_rows`: takes the next mailbox slot into the step buffer: its rows, their place among the rows whose logits are
//! wanted, their tokens into the history, and the parameters of a sequence if the slot carries some. One workgroup.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "load_rows",
    spirv: include_bytes!("load_rows.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Params {
    /// Rows that the step buffer and a mailbox slot have room for.
    pub max_rows: u32,
    /// Slots of the mailbox, a power of two: slot `loads % slots` is the next.
    pub slots: u32,
    /// Positions of a sequence in `history`.
    pub context: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order; [`crate::step`] describes them.
    pub struct Bindings {
        /// The step buffer.
        step: ReadWrite,
        /// The mailbox.
        mailbox: Read,
        /// Parameters of the sequences.
        sequences: ReadWrite,
        /// Tokens of the sequences.
        history: ReadWrite,
    }
}

/// Loads the next mailbox slot.
pub fn dispatch(params: Params, bindings: Bindings) -> Dispatch {
    assert!(params.slots.is_power_of_two(), "{} mailbox slots are no power of two", params.slots);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost { activation_bytes: u64::from(params.max_rows) * 40, ..Cost::default() },
    }
}
