//! `vecmat_persistent_<variant>`: many steps z = z · A in one dispatch of several workgroups, f32. A stays in registers; z goes
//! from workgroup to workgroup as bare words, of which a NaN that no arithmetic makes says "not there yet".
//!
//! The workgroups must run at the same time, which Vulkan does not promise: whoever uses it tests that first, polls are bounded,
//! and a word that did not come is reported in `status`. `persistent_begin` makes the ring ready for each call.
//!
//! Of a batch, several teams of workgroups each hold all of A and roll their share of the trajectories.
//!
//! The variant says how the lanes of a subgroup share a slice of A: `l8_k4` is 8 lanes along the rows with 4 rows each.

#[cfg(test)]
mod tests;

use crate::real::{Operator, RealType, plain_product};
use crate::{Cost, DeviceTraits, Dispatch, Grid, HostMemory, Kernel};
use bytemuck::{Pod, Zeroable};

static L4_K8: Kernel = Kernel {
    name: "vecmat_persistent_l4_k8",
    spirv: include_bytes!("vecmat_persistent_l4_k8.spv"),
    host: run,
    reference: run,
};
static L4_K16: Kernel = Kernel {
    name: "vecmat_persistent_l4_k16",
    spirv: include_bytes!("vecmat_persistent_l4_k16.spv"),
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
        /// u32 (4, rows, padded): the ring, made ready by `persistent_begin`.
        slots: ReadWrite,
        /// (rows, stride): the states.
        z: ReadWrite,
        /// (rows, stride): the states before the last step.
        before: Write,
        /// u32: becomes 1 when a word did not come.
        status: Write,
    }
}

/// How workgroups, subgroups and lanes share A and the trajectories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    lanes_k: u32,
    values_k: u32,
    subgroup: u32,
    subgroups: u32,
    /// Workgroups that hold A together.
    pub workgroups: u32,
    /// Teams of so many workgroups. They need not run at the same time, but it is for that that there are several.
    pub teams: u32,
    /// Trajectories in all.
    pub rows: u32,
    /// Trajectories of a team, and of them between two barriers.
    team_rows: u32,
    batch: u32,
    /// Words of a slot of the ring, of each trajectory.
    pub padded: u32,
    /// The first words of them, which workgroups write; the rest are zeros.
    pub written: u32,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lanes_k, values_k, workgroups, subgroup, subgroups, .. } = self;
        write!(f, "l{lanes_k}_k{values_k}, {workgroups} workgroups of {}", subgroup * subgroups)?;
        match self.teams {
            1 => Ok(()),
            teams => write!(f, ", {teams} times"),
        }
    }
}

/// Workgroups that may have to run at the same time: one a core of the card that this was made for, in round numbers.
const MOST_WORKGROUPS: u32 = 128;
/// Trajectories at the most; a product in tiles serves more of them better.
const MOST_ROWS: u32 = 1024;
/// Trajectories between two barriers at the most. With more of them than that, their words travel while the next are multiplied.
const MOST_BATCH: u32 = 4;

impl Shape {
    /// The shapes for `rows` trajectories, the one to prefer first; none where A does not fit. For one trajectory the sizes at which
    /// variants change were measured on an H200.
    pub fn all(operator: Operator, rows: u32, device: DeviceTraits) -> Vec<Self> {
        let variants: &[(u32, u32)] = match operator.dim {
            _ if operator.real != RealType::F32 || rows > MOST_ROWS => &[],
            // Few workgroups a team make many teams, and z is read by fewer.
            ..=1024 if rows > 1 => &[(4, 8), (4, 16)],
            ..=512 => &[(4, 8)],
            513..=672 => &[(8, 4)],
            _ => &[(8, 8)],
        };
        variants.iter().filter_map(|variant| Self::of(operator.dim, rows, *variant, device)).collect()
    }

    fn of(dim: u32, rows: u32, (lanes_k, values_k): (u32, u32), device: DeviceTraits) -> Option<Self> {
        let subgroup = device.subgroup_size;
        if subgroup < lanes_k {
            return None;
        }
        let slice = lanes_k * values_k;
        let subgroups = dim.div_ceil(slice);
        if subgroups * subgroup > device.workgroup_invocations.min(1024) {
            return None;
        }
        let columns = 4 * (subgroup / lanes_k);
        let workgroups = dim.div_ceil(columns);
        let teams = (MOST_WORKGROUPS / workgroups).clamp(1, rows);
        let team_rows = rows.div_ceil(teams);
        let sums_bytes = 2 * subgroups * columns * 4;
        let room = (device.shared_memory_bytes - 1024) / sums_bytes;
        let batch = 1 << MOST_BATCH.min(team_rows).min(subgroups).min(room).checked_ilog2()?;
        let padded = slice * subgroups;
        Some(Self {
            lanes_k,
            values_k,
            subgroup,
            subgroups,
            workgroups,
            teams: rows.div_ceil(team_rows),
            rows,
            team_rows,
            batch,
            padded,
            written: (workgroups * columns).min(padded),
        })
    }

    /// Bytes of the ring.
    pub fn ring_bytes(self) -> u64 {
        u64::from(SLOTS) * u64::from(self.rows) * u64::from(self.padded) * 4
    }
}

/// Advances the trajectories by the steps that `control` says. A word is polled `patience` times at the most.
pub fn dispatch(operator: Operator, shape: Shape, patience: u32, bindings: Bindings) -> Dispatch {
    let Shape { subgroup, subgroups, rows, team_rows, batch, .. } = shape;
    operator.check(rows, Some(bindings.a), &[bindings.z, bindings.before]);
    assert!(bindings.slots.bytes >= shape.ring_bytes(), "ring of {shape:?} in {:?}", bindings.slots);
    let kernel = match (shape.lanes_k, shape.values_k) {
        (4, 8) => &L4_K8,
        (4, _) => &L4_K16,
        (_, 4) => &L8_K4,
        _ => &L8_K8,
    };
    Dispatch {
        kernel,
        specialization: vec![subgroup * subgroups, operator.dim, subgroup, subgroups, team_rows, batch, rows],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride: operator.stride(), patience }).to_vec(),
        grid: Grid::Groups([shape.workgroups, shape.teams, 1]),
        cost: Cost {
            weight_bytes: operator.bytes(),
            activation_bytes: 2 * operator.state_bytes(rows),
            operations: 0,
        },
    }
}

/// The plain reference. The ring is left as `persistent_begin` made it: what it holds afterwards is nobody's business.
fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, .. } = dispatch.params();
    let rows = dispatch.specialization[6];
    let (stride, dim) = (stride as usize, dispatch.specialization[1] as usize);
    let steps = memory.read::<u32>(dispatch.slice("control"))[1];
    let a = memory.read::<f32>(dispatch.slice("a"));
    let slots = memory.read::<f32>(dispatch.slice("slots"));
    let padded = slots.len() / (SLOTS * rows) as usize;
    let mut z = memory.write::<f32>(dispatch.slice("z"));
    let mut before = memory.write::<f32>(dispatch.slice("before"));
    for row in 0..rows as usize {
        let mut state = slots[row * padded..][..dim].to_vec();
        for step in 0..steps {
            if step + 1 == steps {
                before[row * stride..][..dim].copy_from_slice(&state);
            }
            state = plain_product(&state, &a, stride);
            state.truncate(dim);
        }
        z[row * stride..][..dim].copy_from_slice(&state);
    }
}
