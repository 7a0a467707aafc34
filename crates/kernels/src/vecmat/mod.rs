//! `vecmat_<type>`: one step of a rollout, y = z · A with z a row vector: `y[j] = Σ z[i] · A[i][j]`. Not A · z.
//! A batch of trajectories that share A makes it a matrix product of few rows.
//!
//! It streams A from memory, so it serves every size; `vecmat_chain` and `vecmat_persistent` keep A on chip.

mod host;
#[cfg(test)]
mod tests;
mod tiling;

pub use tiling::Tiling;

use crate::real::{Operator, Real, plain_product};
use crate::{Cost, Dispatch, Grid, HostMemory};
use bytemuck::{Pod, Zeroable};
use host::host;

real_kernels!(kernel, "vecmat", host, reference);

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
    rows: u32,
    dim: u32,
    backwards: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// (rows, stride): the states.
        z: Read,
        /// (dim, stride): the operator.
        a: Read,
        /// (rows, stride): the states one step later.
        y: Write,
    }
}

/// Advances `rows` trajectories by one step. A swept `backwards` begins with what a step forwards read last: where A is larger than the
/// device's cache, that part of it may still be there.
pub fn dispatch(
    operator: Operator,
    rows: u32,
    tiling: Tiling,
    backwards: bool,
    bindings: Bindings,
) -> Dispatch {
    operator.check(rows, Some(bindings.a), &[bindings.z, bindings.y]);
    let params = Params { stride: operator.stride(), rows, dim: operator.dim, backwards: backwards.into() };
    let [across, down] = tiling.groups(operator, rows);
    let Tiling { rows: held, quads, depth, lanes_r, lanes_c, parts } = tiling;
    Dispatch {
        kernel: kernel(operator.real),
        specialization: vec![tiling.invocations(), held, quads, depth, lanes_r, lanes_c, parts],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([across, down, 1]),
        cost: cost(operator, rows),
    }
}

/// What a step must move and compute.
pub(crate) fn cost(operator: Operator, rows: u32) -> Cost {
    Cost {
        weight_bytes: operator.bytes(),
        activation_bytes: 2 * operator.state_bytes(rows),
        operations: 2 * u64::from(rows) * u64::from(operator.dim) * u64::from(operator.dim),
    }
}

fn reference<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, dim, .. } = dispatch.params();
    let (stride, dim) = (stride as usize, dim as usize);
    let z = memory.read::<T>(dispatch.slice("z"));
    let a = memory.read::<T>(dispatch.slice("a"));
    let mut y = memory.write::<T>(dispatch.slice("y"));
    for (z, y) in z.chunks(stride).zip(y.chunks_mut(stride)) {
        y.copy_from_slice(&plain_product(&z[..dim], &a, stride));
    }
}
