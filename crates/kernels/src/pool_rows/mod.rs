//! `pool_rows`: one vector for a text, out of those of its tokens: their mean, or the last one. A text that comes in several
//! steps goes on from what the step before left.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "pool_rows",
    spirv: include_bytes!("pool_rows.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Invocations of a workgroup, a column each.
const POOL_LOCAL_SIZE: u32 = 64;

/// What becomes of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The last one.
    Last,
}

/// What is pooled.
#[derive(Clone, Copy, Debug)]
pub struct PoolRows {
    /// Values in a row.
    pub cols: u32,
    /// Values from one row of x to the next.
    pub stride: u32,
    /// How.
    pub pooling: Pooling,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, stride).
        x: Read,
        /// u32: how many rows hold a token.
        row_count: Read,
        /// The rows of the step, of one sequence and in order.
        step_rows: Read,
        /// f32 (cols): what the rows before these have come to.
        y: ReadWrite,
    }
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
}

/// Pools up to `rows` rows.
pub fn dispatch(pool: &PoolRows, rows: u32, bindings: Bindings) -> Dispatch {
    let PoolRows { cols, stride, pooling } = *pool;
    let values = u64::from(rows) * u64::from(cols);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![POOL_LOCAL_SIZE, cols, (pooling == Pooling::Mean).into()],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride }).to_vec(),
        grid: Grid::Groups([cols.div_ceil(POOL_LOCAL_SIZE), 1, 1]),
        cost: Cost {
            activation_bytes: values * 4 + u64::from(cols) * 8,
            operations: values,
            ..Cost::default()
        },
    }
}
