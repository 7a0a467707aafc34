//! `max_abs`: the largest absolute value of a buffer, by one workgroup.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel};

static KERNEL: Kernel = Kernel {
    name: "max_abs",
    spirv: include_bytes!("max_abs.spv"),
    host: reference::run,
    reference: reference::run,
};

/// A single workgroup hides latency by its size.
const LOCAL_SIZE: u32 = 512;

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (count), finite.
        x: Read,
        /// f32: the result.
        largest: Write,
    }
}

/// Finds the largest of `count` absolute values.
pub fn dispatch(count: u32, bindings: Bindings) -> Dispatch {
    let values = u64::from(count);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&count).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost { weight_bytes: 0, activation_bytes: values * 4, operations: values },
    }
}
