//! `fill`: one word into every word of a slice: clears a hand-over for its next producers.

#[cfg(test)]
mod tests;

use crate::{Access, Binding, Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE, Slice};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel =
    Kernel { name: "fill", spirv: include_bytes!("fill.spv"), host: reference, reference };

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    quads: u32,
    word: u32,
}

/// Workgroups of a launch at most; they stride over the quads.
const GROUPS: u32 = 1024;

/// Fills a slice of whole 16-byte quads with `word`.
pub fn dispatch(word: u32, values: Slice) -> Dispatch {
    assert!(values.bytes.is_multiple_of(16), "fill of {} bytes", values.bytes);
    let quads = u32::try_from(values.bytes / 16).expect("at most 64 GiB at once");
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: vec![Binding { name: "values", slice: Some(values), access: Access::Write }],
        params: bytemuck::bytes_of(&Params { quads, word }).to_vec(),
        grid: Grid::Groups([quads.div_ceil(LOCAL_SIZE).clamp(1, GROUPS), 1, 1]),
        cost: Cost { activation_bytes: values.bytes, ..Cost::default() },
    }
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { word, .. } = dispatch.params();
    memory.write::<u32>(dispatch.slice("values")).fill(word);
}
