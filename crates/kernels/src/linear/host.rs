//! Linear layers on the CPU: threads share the output features; each row of W is decoded once for all rows of x, and not at
//! all where a single row of x meets q8_0, whose products are as fast as the memory that holds the weights.

use super::{Arguments, Group, Rows, with_operands};
use crate::{Dispatch, HostMemory};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use resident_tensor::DType;

/// Output features that a thread computes before it takes the next ones.
const FEATURES_AT_A_TIME: usize = 32;

/// The CPU device's implementation.
pub(crate) fn host(dispatch: &Dispatch, memory: &HostMemory) {
    let arguments = Arguments::of(dispatch, memory);
    with_operands(dispatch, memory, &arguments, |x, rows| {
        let bias = dispatch.bound("bias").map(|slice| memory.read::<f32>(slice));
        let residual = Arguments::residual(dispatch, memory);
        let mut y = memory.write::<f32>(dispatch.slice("y"));
        for group in &arguments.groups {
            let bias = bias.as_deref().map_or(&[][..], |bias| &bias[group.first_row..]);
            host_group(&arguments, group, x, rows, (bias, &residual), &mut y);
        }
    });
}

fn host_group(
    arguments: &Arguments,
    group: &Group,
    x: &[f32],
    rows: &Rows,
    (bias, residual): (&[f32], &[f32]),
    y: &mut [f32],
) {
    let (features, tokens) = (arguments.params.rows as usize, group.rows.len());
    if tokens == 0 {
        return;
    }
    // (feature block, token, feature in block)
    let mut blocks = vec![0.0f32; features.next_multiple_of(FEATURES_AT_A_TIME) * tokens];
    blocks.par_chunks_mut(FEATURES_AT_A_TIME * tokens).enumerate().for_each(|(block, products)| {
        let first = block * FEATURES_AT_A_TIME;
        let count = FEATURES_AT_A_TIME.min(features - first);
        pulp::Arch::new().dispatch(Block { rows, first, count, x, group, products });
    });
    let mut products = vec![0.0; features];
    for (token, (_, to)) in group.rows.iter().enumerate() {
        let parts = blocks.chunks(FEATURES_AT_A_TIME * tokens);
        for (products, block) in products.chunks_mut(FEATURES_AT_A_TIME).zip(parts) {
            products.copy_from_slice(&block[token * FEATURES_AT_A_TIME..][..products.len()]);
        }
        arguments.store(&mut products, bias, residual, *to, y);
    }
}

/// Some output features, to be compiled for each set of vector instructions. Not a closure: one that is not inlined is compiled
/// for none of them, which was 15 times slower.
struct Block<'a> {
    rows: &'a Rows<'a>,
    /// The features, counted within the group.
    first: usize,
    count: usize,
    x: &'a [f32],
    group: &'a Group,
    /// (token, feature)
    products: &'a mut [f32],
}

impl pulp::WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { rows, first, count, x, group, products } = self;
        let cols = rows.layout.cols as usize;
        let first = group.first_row + first;
        if let ([(from, _)], DType::Q8_0) = (&group.rows[..], rows.layout.dtype) {
            return q8_0_products(rows, first, &x[from * cols..][..cols], &mut products[..count]);
        }
        let mut row = vec![0.0; cols];
        for feature in 0..count {
            rows.decode(first + feature, &mut row);
            for (token, (from, _)) in group.rows.iter().enumerate() {
                products[token * FEATURES_AT_A_TIME + feature] = dot(&row, &x[from * cols..][..cols]);
            }
        }
    }
}

/// a · b in 32 running sums, so that it compiles to whatever vectors the caller's target features allow.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0f32; LANES];
    let (a_lines, a_rest) = a.as_chunks::<LANES>();
    let (b_lines, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lines.iter().zip(b_lines) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Rows that share their loads of x; their sums fill the vector registers.
const ROWS_AT_A_TIME: usize = 4;
/// Weights whose first halves of groups lie together, then the second ones ([`crate::weights`]).
const RUN: usize = 1024;
const GROUP: usize = 32;
const HALF: usize = GROUP / 2;

/// Products of rows `first ..` with x, without a decoded row in between.
#[inline(always)]
fn q8_0_products(rows: &Rows, first: usize, x: &[f32], products: &mut [f32]) {
    let (cols, groups) = (x.len(), x.len() / GROUP);
    let stored: &[f16] =
        bytemuck::cast_slice(&rows.scales[first * groups * 2..][..products.len() * groups * 2]);
    let mut scales = vec![0.0f32; stored.len()];
    stored.convert_to_f32_slice(&mut scales);
    let row =
        |index: usize| (&rows.values[(first + index) * cols..][..cols], &scales[index * groups..][..groups]);
    let (whole, rest) = products.as_chunks_mut::<ROWS_AT_A_TIME>();
    for (index, products) in whole.iter_mut().enumerate() {
        *products = q8_0_dots(std::array::from_fn(|r| row(index * ROWS_AT_A_TIME + r)), x);
    }
    let done = whole.len() * ROWS_AT_A_TIME;
    for (index, product) in rest.iter_mut().enumerate() {
        [*product] = q8_0_dots([row(done + index)], x);
    }
}

/// The products of some rows, each its quants and scales, with x.
#[inline(always)]
fn q8_0_dots<const R: usize>(rows: [(&[u8], &[f32]); R], x: &[f32]) -> [f32; R] {
    let mut sums = [[0.0f32; HALF]; R];
    for (run, x) in x.chunks(RUN).enumerate() {
        let halves = rows.map(|(values, _)| {
            let (first, second) = values[run * RUN..][..x.len()].split_at(x.len() / 2);
            (first.as_chunks::<HALF>().0, second.as_chunks::<HALF>().0)
        });
        let scales = rows.map(|(_, scales)| &scales[run * (RUN / GROUP)..][..x.len() / GROUP]);
        for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
            for r in 0..R {
                let (first, second) = (&halves[r].0[group], &halves[r].1[group]);
                let mut products = [0.0f32; HALF];
                for lane in 0..HALF {
                    products[lane] = f32::from(first[lane] as i8) * x[lane];
                }
                for lane in 0..HALF {
                    products[lane] = f32::from(second[lane] as i8).mul_add(x[HALF + lane], products[lane]);
                }
                for lane in 0..HALF {
                    sums[r][lane] = products[lane].mul_add(scales[r][group], sums[r][lane]);
                }
            }
        }
    }
    sums.map(|sums| sums.iter().sum())
}
