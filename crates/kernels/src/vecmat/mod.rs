//! `vecmat_<type>`: one step of a rollout, y = z · A with z a row vector: `y[j] = Σ z[i] · A[i][j]`. Not A · z.
//! A batch of trajectories that share A makes it a matrix product of few rows.
//!
//! It streams A from memory, so it serves every size; `vecmat_chain` and `vecmat_persistent` keep A on chip.

#[cfg(test)]
mod tests;
mod tiling;

pub use tiling::Tiling;

use crate::real::{Operator, Real, plain_product, product};
use crate::{Cost, Dispatch, Grid, HostMemory};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

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

/// Multiply-adds below which a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 18;

fn host<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    match dispatch.params::<Params>().rows {
        1 => host_alone::<T>(dispatch, memory),
        _ => host_batch::<T>(dispatch, memory),
    }
}

/// Threads share the columns.
fn host_alone<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, dim, .. } = dispatch.params();
    let (stride, dim) = (stride as usize, dim as usize);
    let z = memory.read::<T>(dispatch.slice("z"));
    let a = memory.read::<T>(dispatch.slice("a"));
    let mut y = memory.write::<T>(dispatch.slice("y"));
    let threads = (dim * dim / WORTH_A_THREAD).clamp(1, rayon::current_num_threads());
    let width = stride.div_ceil(threads).next_multiple_of(64);
    let columns = |(block, y): (usize, &mut [T])| {
        product(&z[..dim], &a, stride, block * width, y);
    };
    match threads {
        1 => columns((0, &mut y)),
        _ => y.par_chunks_mut(width).enumerate().for_each(columns),
    }
}

/// Threads share the trajectories; four rows of A serve all of a thread's.
fn host_batch<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, rows, dim, .. } = dispatch.params();
    let [stride, rows, dim] = [stride, rows, dim].map(|count| count as usize);
    let z = memory.read::<T>(dispatch.slice("z"));
    let a = memory.read::<T>(dispatch.slice("a"));
    let mut y = memory.write::<T>(dispatch.slice("y"));
    let share = rows.div_ceil(rayon::current_num_threads());
    y[..rows * stride].par_chunks_mut(share * stride).zip(z.par_chunks(share * stride)).for_each(|(y, z)| {
        pulp::Arch::new().dispatch(BatchProduct { z, a: &a, dim, stride, y });
    });
}

/// As `real::product`, for several trajectories; four rows of A at a time.
struct BatchProduct<'a, T> {
    z: &'a [T],
    a: &'a [T],
    dim: usize,
    stride: usize,
    y: &'a mut [T],
}

impl<T: Real> pulp::WithSimd for BatchProduct<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        batch_product(self.z, self.a, self.dim, self.stride, self.y);
    }
}

#[inline(always)]
fn batch_product<T: Real>(z: &[T], a: &[T], dim: usize, stride: usize, y: &mut [T]) {
    y.fill(T::ZERO);
    for first in (0..dim).step_by(4) {
        let here = 4.min(dim - first);
        let row = |i: usize| &a[(first + i.min(here - 1)) * stride..][..stride];
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        for (z, y) in z.chunks_exact(stride).zip(y.chunks_exact_mut(stride)) {
            // Rows behind the last count nothing.
            let z: [T; 4] = std::array::from_fn(|i| if i < here { z[first + i] } else { T::ZERO });
            for j in 0..stride {
                y[j] = z[3].fused(r3[j], z[2].fused(r2[j], z[1].fused(r1[j], z[0].fused(r0[j], y[j]))));
            }
        }
    }
}
