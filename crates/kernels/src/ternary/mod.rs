//! `ternary_threshold`, `ternary_vote`: a field in three levels against a share of its largest value, and a majority vote of
//! each cell's 3 × 3 neighbourhood. A vote that changes nothing may be repeated, so a plan simply has all of them.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static THRESHOLD: Kernel = Kernel {
    name: "ternary_threshold",
    spirv: include_bytes!("ternary_threshold.spv"),
    host: reference::threshold,
    reference: reference::threshold,
};

static VOTE: Kernel = Kernel {
    name: "ternary_vote",
    spirv: include_bytes!("ternary_vote.spv"),
    host: reference::vote,
    reference: reference::vote,
};

/// Push constants of the threshold after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    count: u32,
    tau: f32,
}

/// Levels from values.
pub mod threshold {
    use super::*;

    crate::bindings! {
        /// Buffers, in push-constant order.
        pub struct Bindings {
            /// f32 (count).
            x: Read,
            /// f32: max |x|.
            largest: Read,
            /// i32 (count): −1, 0 or 1.
            signs: Write,
        }
    }

    /// Compares with `tau` times the largest value.
    pub fn dispatch(count: u32, tau: f32, bindings: Bindings) -> Dispatch {
        let values = u64::from(count);
        Dispatch {
            kernel: &THRESHOLD,
            specialization: vec![LOCAL_SIZE],
            bindings: bindings.list(),
            params: bytemuck::bytes_of(&Params { count, tau }).to_vec(),
            grid: Grid::Groups([count.div_ceil(LOCAL_SIZE), 1, 1]),
            cost: Cost { weight_bytes: 0, activation_bytes: values * 8, operations: values * 3 },
        }
    }
}

/// Majorities of levels.
pub mod vote {
    use super::*;

    crate::bindings! {
        /// Buffers, in push-constant order.
        pub struct Bindings {
            /// i32 (n, n).
            signs: Read,
            /// i32 (n, n).
            voted: Write,
        }
    }

    /// One vote of an n × n field with periodic neighbours.
    pub fn dispatch(n: u32, bindings: Bindings) -> Dispatch {
        let cells = u64::from(n) * u64::from(n);
        Dispatch {
            kernel: &VOTE,
            specialization: vec![LOCAL_SIZE, n],
            bindings: bindings.list(),
            params: Vec::new(),
            grid: Grid::Groups([(n * n).div_ceil(LOCAL_SIZE), 1, 1]),
            cost: Cost { weight_bytes: 0, activation_bytes: cells * 8, operations: cells * 9 },
        }
    }
}
