//! `vecmat_persistent_<variant>`: many steps z = z · A in one dispatch of several workgroups, f32. A stays in registers; z goes
//! from workgroup to workgroup as bare words, of which a NaN that no arithmetic makes says "not there yet".
//!
//! The workgroups must run at the same time, which Vulkan does not promise: whoever uses it tests that first, polls are bounded,
//! and a word that did not come is reported in `status`. `persistent_begin` makes the ring ready for each call.
//!
//! The variant says how the lanes of a subgroup share a slice of A: `l8_k4` is 8 lanes along the rows with 4 rows each.

#[cfg(test)]
mod tests;

use crate::real::{Operator, RealType, plain_product};
use crate::{Cost, Dispatch, Grid, HostMemory, Kernel};
use bytemuck::{Pod, Zeroable};

static L4_K8: Kernel = Kernel {
    name: "vecmat_persistent_l4_k8",
    spirv: include_bytes!("vecmat_persistent_l4_k8.spv"),
    host: run,
    reference: run,
};
static L8_K4: Kernel = Kernel {
    name: "vecmat_persistent_l8_k4",
    spirv: include_bytes!("vecmat_persistent_l8_k4.spv"),
    host: run,
    reference: run,
};
static L8_K8: Kernel = Kernel {
    name: "vecmat_persistent_l8_k8",
    spirv: include_bytes!("vecmat_persistent_l8_k8.spv"),
    host: run,
    reference: run,
};

/// Slots of the ring.
pub const SLOTS: u32 = 4;

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
    patience: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// u32: calls so far, steps of this call.
        control: Read,
        /// (dim, stride): the operator.
        a: Read,
        /// u32 (4, padded): the ring, made ready by `persistent_begin`.
        slots: ReadWrite,
        /// (stride): the state.
        z: ReadWrite,
        /// (stride): the state before the last step.
        before: Write,
        /// u32: becomes 1 when a word did not come.
        status: Write,
    }
}

/// How workgroups, subgroups and lanes share A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    lanes_k: u32,
    values_k: u32,
    subgroup: u32,
    subgroups: u32,
    /// Workgroups, all of which must run at the same time.
    pub workgroups: u32,
    /// Words of a slot of the ring.
    pub padded: u32,
    /// The first words of a slot, which workgroups write; the rest are zeros.
    pub written: u32,
}

impl Shape {
    /// The shape for an operator on a device with subgroups of so many invocations and workgroups of at most so many; none
    /// where A does not fit. The sizes at which variants change were measured on an H200.
    pub fn of(operator: Operator, subgroup: u32, max_invocations: u32) -> Option<Self> {
        let dim = operator.dim;
        let (lanes_k, values_k) = match dim {
            _ if operator.real != RealType::F32 => return None,
            ..=512 => (4, 8),
            513..=672 => (8, 4),
            _ => (8, 8),
        };
        if subgroup < lanes_k {
            return None;
        }
        let slice = lanes_k * values_k;
        let subgroups = dim.div_ceil(slice);
        let columns = 4 * (subgroup / lanes_k);
        let (workgroups, padded) = (dim.div_ceil(columns), slice * subgroups);
        let written = (workgroups * columns).min(padded);
        (subgroups * subgroup <= max_invocations.min(1024)).then_some(Self {
            lanes_k,
            values_k,
            subgroup,
            subgroups,
            workgroups,
            padded,
            written,
        })
    }

    /// Bytes of the ring.
    pub fn ring_bytes(self) -> u64 {
        u64::from(SLOTS) * u64::from(self.padded) * 4
    }
}

/// Advances one trajectory by the steps that `control` says. A word is polled `patience` times at the most.
pub fn dispatch(operator: Operator, shape: Shape, patience: u32, bindings: Bindings) -> Dispatch {
    operator.check(1, Some(bindings.a), &[bindings.z, bindings.before]);
    assert!(bindings.slots.bytes >= shape.ring_bytes(), "ring of {shape:?} in {:?}", bindings.slots);
    let kernel = match (shape.lanes_k, shape.values_k) {
        (4, _) => &L4_K8,
        (_, 4) => &L8_K4,
        _ => &L8_K8,
    };
    let Shape { subgroup, subgroups, .. } = shape;
    Dispatch {
        kernel,
        specialization: vec![subgroup * subgroups, operator.dim, subgroup, subgroups],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride: operator.stride(), patience }).to_vec(),
        grid: Grid::Groups([shape.workgroups, 1, 1]),
        cost: Cost {
            weight_bytes: operator.bytes(),
            activation_bytes: 2 * operator.state_bytes(1),
            operations: 0,
        },
    }
}

/// The plain reference. The ring is left as `persistent_begin` made it: what it holds afterwards is nobody's business.
fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, .. } = dispatch.params();
    let dim = dispatch.specialization[1] as usize;
    let steps = memory.read::<u32>(dispatch.slice("control"))[1];
    let a = memory.read::<f32>(dispatch.slice("a"));
    let slots = memory.read::<f32>(dispatch.slice("slots"));
    let mut z = memory.write::<f32>(dispatch.slice("z"));
    let mut before = memory.write::<f32>(dispatch.slice("before"));
    let mut state = slots[..dim].to_vec();
    for step in 0..steps {
        if step + 1 == steps {
            before[..dim].copy_from_slice(&state);
        }
        state = plain_product(&state, &a, stride as usize);
        state.truncate(dim);
    }
    z[..dim].copy_from_slice(&state);
}
