//! `persistent_begin`: makes the ring of `vecmat_persistent` ready for a call (z in slot 0, "not there yet" elsewhere) and says
//! how many steps it runs.

#[cfg(test)]
mod tests;

use crate::handover::NOT_READY;
use crate::real::Operator;
use crate::vecmat_chain::{next_segment, segment_mask};
use crate::vecmat_persistent::{SLOTS, Shape};
use crate::{Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "persistent_begin",
    spirv: include_bytes!("persistent_begin.spv"),
    host: reference,
    reference,
};

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    dim: u32,
    padded: u32,
    written: u32,
    segment_mask: u32,
    stride: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// u32, a power of two of them: steps of each call, by the number of calls before it.
        segments: Read,
        /// u32: calls so far, steps of the call that follows.
        control: ReadWrite,
        /// f32 (rows, stride): the states.
        z: Read,
        /// u32 (4, rows, padded): the ring.
        slots: Write,
    }
}

/// Prepares the next call for the trajectories of `shape`.
pub fn dispatch(operator: Operator, shape: Shape, bindings: Bindings) -> Dispatch {
    operator.check(shape.rows, None, &[bindings.z]);
    let segment_mask = segment_mask(bindings.segments);
    let Shape { rows, padded, written, .. } = shape;
    let params = Params { dim: operator.dim, padded, written, segment_mask, stride: operator.stride() };
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        cost: Cost { activation_bytes: shape.ring_bytes(), ..Cost::default() },
    }
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { dim, padded, written, segment_mask, stride } = dispatch.params();
    let Grid::Groups([rows, ..]) = dispatch.grid else { unreachable!("see dispatch") };
    let steps = next_segment(dispatch, memory, segment_mask);
    memory.write::<u32>(dispatch.slice("control"))[1] = steps;
    let z = memory.read::<u32>(dispatch.slice("z"));
    let mut slots = memory.write::<u32>(dispatch.slice("slots"));
    for (slot, row) in (0..SLOTS).flat_map(|slot| (0..rows).map(move |row| (slot, row))) {
        for i in 0..padded {
            slots[((slot * rows + row) * padded + i) as usize] = match slot {
                0 if i < dim => z[(row * stride + i) as usize],
                0 => 0,
                _ if i < written => NOT_READY,
                _ => 0,
            };
        }
    }
}
