//! `persistent_begin`: makes the ring of `vecmat_persistent` ready for a call (z in slot 0, "not there yet" elsewhere) and says
//! how many steps it runs.

#[cfg(test)]
mod tests;

use crate::handover::NOT_READY;
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
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// u32, a power of two of them: steps of each call, by the number of calls before it.
        segments: Read,
        /// u32: calls so far, steps of the call that follows.
        control: ReadWrite,
        /// f32 (stride): the state.
        z: Read,
        /// u32 (4, padded): the ring.
        slots: Write,
    }
}

/// Prepares the next call for a state of `dim` values.
pub fn dispatch(dim: u32, shape: Shape, bindings: Bindings) -> Dispatch {
    let segment_mask = segment_mask(bindings.segments);
    let Shape { padded, written, .. } = shape;
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { dim, padded, written, segment_mask }).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost { activation_bytes: shape.ring_bytes(), ..Cost::default() },
    }
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { dim, padded, written, segment_mask } = dispatch.params();
    let steps = next_segment(dispatch, memory, segment_mask);
    memory.write::<u32>(dispatch.slice("control"))[1] = steps;
    let z = memory.read::<u32>(dispatch.slice("z"));
    let mut slots = memory.write::<u32>(dispatch.slice("slots"));
    for slot in 0..SLOTS {
        for i in 0..padded {
            slots[(slot * padded + i) as usize] = match slot {
                0 if i < dim => z[i as usize],
                0 => 0,
                _ if i < written => NOT_READY,
                _ => 0,
            };
        }
    }
}
