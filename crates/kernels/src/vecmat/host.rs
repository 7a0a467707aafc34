//! The CPU device's step: SIMD over the columns, threads over columns or trajectories.

use super::Params;
use crate::real::{Real, product};
use crate::{Dispatch, HostMemory};
use rayon::prelude::*;

/// Multiply-adds below which a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 18;

pub(super) fn host<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
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

/// Threads share the trajectories.
fn host_batch<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, rows, dim, .. } = dispatch.params();
    let [stride, rows, dim] = [stride, rows, dim].map(|count| count as usize);
    let z = memory.read::<T>(dispatch.slice("z"));
    let a = memory.read::<T>(dispatch.slice("a"));
    let mut y = memory.write::<T>(dispatch.slice("y"));
    let share = rows.div_ceil(rayon::current_num_threads());
    let share = if share < TOGETHER { share } else { share.next_multiple_of(TOGETHER) };
    y[..rows * stride].par_chunks_mut(share * stride).zip(z.par_chunks(share * stride)).for_each(|(y, z)| {
        pulp::Arch::new().dispatch(BatchProduct { z, a: &a, dim, stride, y });
    });
}

/// Trajectories that share loads of A.
const TOGETHER: usize = 4;

/// As `real::product`, for several trajectories; four rows of A at a time serve all of them.
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
        let rows: [&[T]; 4] = std::array::from_fn(|i| &a[(first + i.min(here - 1)) * stride..][..stride]);
        // Rows behind the last count nothing.
        let factors =
            |z: &[T]| -> [T; 4] { std::array::from_fn(|i| if i < here { z[first + i] } else { T::ZERO }) };
        for (z, y) in z.chunks(TOGETHER * stride).zip(y.chunks_mut(TOGETHER * stride)) {
            let mut states = y.chunks_exact_mut(stride);
            let z = |row: usize| factors(&z[row * stride..]);
            match std::array::from_fn(|_| states.next()) {
                [Some(y0), Some(y1), Some(y2), Some(y3)] => {
                    add_to_four([z(0), z(1), z(2), z(3)], rows, [y0, y1, y2, y3]);
                }
                fewer => {
                    fewer.into_iter().flatten().enumerate().for_each(|(at, y)| add_to_one(z(at), rows, y))
                }
            }
        }
    }
}

#[inline(always)]
fn add_to_one<T: Real>(z: [T; 4], rows: [&[T]; 4], y: &mut [T]) {
    let width = y.len();
    let [r0, r1, r2, r3] = rows.map(|row| &row[..width]);
    for j in 0..width {
        y[j] = z[3].fused(r3[j], z[2].fused(r2[j], z[1].fused(r1[j], z[0].fused(r0[j], y[j]))));
    }
}

/// Four accumulators side by side, so that a value of A is loaded once for four trajectories.
#[inline(always)]
fn add_to_four<T: Real>(z: [[T; 4]; 4], rows: [&[T]; 4], [y0, y1, y2, y3]: [&mut [T]; 4]) {
    let width = y0.len();
    let [r0, r1, r2, r3] = rows.map(|row| &row[..width]);
    let (y1, y2, y3) = (&mut y1[..width], &mut y2[..width], &mut y3[..width]);
    let sum = |z: &[T; 4], j: usize, y: T| {
        z[3].fused(r3[j], z[2].fused(r2[j], z[1].fused(r1[j], z[0].fused(r0[j], y))))
    };
    for j in 0..width {
        y0[j] = sum(&z[0], j, y0[j]);
        y1[j] = sum(&z[1], j, y1[j]);
        y2[j] = sum(&z[2], j, y2[j]);
        y3[j] = sum(&z[3], j, y3[j]);
    }
}
