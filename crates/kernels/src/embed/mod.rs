//! `embed_<format>`: `y[r] = table[token of row r] · scale`. An invocation looks four values up. A table may be split into parts of
//! consecutive tokens (one allocation holds less than 4 GiB); a part leaves the rows of other tokens alone.

#[cfg(test)]
mod tests;

use crate::handover::Handover;
use crate::weights::{WeightLayout, dtype_of};
use crate::{Access, Binding, Cost, Dispatch, Grid, HostMemory, Slice};
use bytemuck::{Pod, Zeroable};

weight_kernels!("embed", reference, reference);

/// Invocations of a workgroup.
const WORKGROUP: u32 = 128;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    first_row: u32,
    rows: u32,
    y_stride: u32,
    scale: f32,
}

/// A part of an embedding table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Embed {
    /// The part's rows.
    pub layout: WeightLayout,
    /// The token of its first row.
    pub first_token: u32,
    /// Values from one row of y to the next.
    pub y_stride: u32,
    /// Factor on every embedding.
    pub scale: f32,
    /// Whether y is handed over.
    pub publishes: bool,
}

/// Buffers of an embedding.
#[derive(Clone, Copy, Debug)]
pub struct Bindings {
    /// The table's part: values or quants, then scales.
    pub weight: Slice,
    /// u32: how many token rows are in use.
    pub row_count: Slice,
    /// (token rows) of {token, position, sequence, wants_logits}.
    pub step_rows: Slice,
    /// f32 (token rows, y_stride).
    pub y: Slice,
}

/// Looks up to `token_rows` rows up.
pub fn dispatch(embed: &Embed, token_rows: u32, bindings: Bindings) -> Dispatch {
    let Embed { layout, first_token, y_stride, scale, publishes } = *embed;
    let handover = Handover { polls: false, publishes };
    let scale_bytes = layout.rows * layout.row_scale_bytes();
    let read = |name, slice| Binding { name, slice, access: Access::Read };
    let params = Params { first_row: first_token, rows: layout.rows as u32, y_stride, scale };
    let values = u64::from(token_rows) * u64::from(layout.cols);
    Dispatch {
        kernel: kernel(layout.dtype),
        specialization: vec![WORKGROUP, layout.cols, publishes.into()],
        bindings: vec![
            read("weight", Some(bindings.weight.at(0, layout.value_bytes()))),
            read("scales", (scale_bytes > 0).then(|| bindings.weight.at(layout.value_bytes(), scale_bytes))),
            read("row_count", Some(bindings.row_count)),
            read("step_rows", Some(bindings.step_rows)),
            Binding { name: "y", slice: Some(bindings.y), access: handover.writing() },
        ],
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([token_rows, layout.cols.next_multiple_of(32).div_ceil(4 * WORKGROUP), 1]),
        cost: Cost {
            weight_bytes: u64::from(token_rows) * (layout.row_bytes() + layout.row_scale_bytes()),
            activation_bytes: values * 4,
            operations: values,
        },
    }
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { first_row, rows, y_stride, scale } = dispatch.params();
    let cols = dispatch.specialization[1];
    let layout = WeightLayout { dtype: dtype_of(dispatch.kernel.name), rows: rows.into(), cols };
    let (value_bytes, scale_bytes) = (layout.row_bytes() as usize, layout.row_scale_bytes() as usize);
    let values = memory.read::<u8>(dispatch.slice("weight"));
    let scales = dispatch.bound("scales").map(|slice| memory.read::<u8>(slice));
    let scales: &[u8] = scales.as_deref().unwrap_or(&[]);
    let active = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let step_rows = memory.read::<u32>(dispatch.slice("step_rows"));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    for (y, row) in y.chunks_mut(y_stride as usize).zip(step_rows.chunks_exact(4)).take(active) {
        let entry = row[0].wrapping_sub(first_row) as usize;
        if entry < rows as usize {
            let y = &mut y[..cols as usize];
            layout.decode_row(
                &values[entry * value_bytes..][..value_bytes],
                &scales[entry * scale_bytes..][..scale_bytes],
                y,
            );
            y.iter_mut().for_each(|v| *v *= scale);
        }
    }
}
