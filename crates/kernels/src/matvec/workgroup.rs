//! How a matvec call is shared out over invocations: what is chosen without measuring, what there is to choose from, and calls
//! with another choice. It changes how fast a product is there, and in which order its terms are added up.

use crate::linear::{Linear, rows_of};
use crate::weights::{chunk_len, dtype_of};
use crate::{DeviceTraits, Dispatch, Grid};

/// How a matvec is shared out. `k_lanes` invocations of each of `k_subgroups` subgroups share a row; the others work on other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workgroup {
    /// Invocations: whole subgroups, a multiple of `k_subgroups`.
    pub local_size: u32,
    /// Rows of the matrix that an invocation multiplies at a time, with the next ones on their way.
    pub lane_rows: u32,
    /// Neighbouring invocations along a row: a power of two, at most a subgroup.
    pub k_lanes: u32,
    /// Subgroups along a row.
    pub k_subgroups: u32,
    /// Rows of the matrix, at most as many as invocations; even where gate and up alternate.
    pub rows: u32,
}

/// Specialization constants that hold them.
const LOCAL_SIZE_AT: usize = 0;
const FIRST_AT: usize = 7;
const COLS_AT: usize = 1;
const EPILOGUE_AT: usize = 2;
const SLOTS_AT: usize = 4;
const NORM_AT: usize = 6;
const POLLS_AT: usize = 11;

/// Workgroups that fill a large card: two for each of the 132 cores of an H200.
const MANY: u64 = 256;

impl Workgroup {
    /// The choice without measuring, for rows of `chunks` chunks.
    pub(super) fn of(layer: &Linear, chunks: u32, int16: bool, device: DeviceTraits) -> Self {
        let subgroup = device.subgroup_size;
        let k_lanes = subgroup.min(chunks.next_power_of_two());
        let local_size = 256;
        // An invocation holds x for its chunks, and for each row their weights.
        let steps = if int16 { 2 } else { 4 };
        let wanted = chunks.div_ceil(k_lanes * steps).next_power_of_two();
        let k_subgroups = wanted.min(local_size / subgroup);
        let shape = Self { local_size, lane_rows: 2, k_lanes, k_subgroups, rows: 2 };
        // What it costs to quantise x for a workgroup is shared by its rows.
        let rows = layer.features() * u64::from(layer.y_rows(1));
        let block = shape.block_rows();
        let blocks = if int16 { rows.div_ceil(MANY).div_ceil(u64::from(block)) } else { 1 };
        shape.with_blocks(blocks)
    }

    /// Rows that it multiplies at a time.
    fn block_rows(&self) -> u32 {
        self.local_size / (self.k_lanes * self.k_subgroups) * self.lane_rows
    }

    /// With so many blocks of rows, one after the other, as far as there are invocations to finish them.
    fn with_blocks(self, blocks: u64) -> Self {
        let block = self.block_rows();
        let most = u64::from((self.local_size / block).max(1));
        Self { rows: block * blocks.clamp(1, most) as u32, ..self }
    }

    /// Whether the kernel can be compiled with it.
    pub fn is_sound(&self) -> bool {
        let Self { local_size, lane_rows, k_lanes, k_subgroups, rows } = *self;
        (32..=1024).contains(&local_size)
            && (1..=16).contains(&lane_rows)
            && k_lanes.is_power_of_two()
            && k_lanes <= 128
            && (1..=32).contains(&k_subgroups)
            && local_size.is_multiple_of(k_lanes * k_subgroups)
            && (2..=local_size).contains(&rows)
            && rows.is_multiple_of(2)
    }

    /// The workgroup of a matvec call.
    pub fn of_call(call: &Dispatch) -> Self {
        let at = |index: usize| call.specialization[FIRST_AT + index];
        let local_size = call.specialization[LOCAL_SIZE_AT];
        Self { local_size, lane_rows: at(0), k_lanes: at(1), k_subgroups: at(2), rows: at(3) }
    }

    pub(super) fn constants(&self) -> [u32; 4] {
        [self.lane_rows, self.k_lanes, self.k_subgroups, self.rows]
    }

    /// Workgroups for so many rows of the matrix.
    pub(super) fn groups(&self, rows: u64) -> u32 {
        rows.div_ceil(self.rows.into()) as u32
    }

    /// The same call with this workgroup.
    pub fn applied_to(self, call: &Dispatch) -> Dispatch {
        let Grid::Groups([_, y, z]) = call.grid else { panic!("{}: not a matvec", call.kernel.name) };
        let mut call = call.clone();
        call.grid = Grid::Groups([self.groups(rows_of(&call)), y, z]);
        call.specialization[LOCAL_SIZE_AT] = self.local_size;
        call.specialization[FIRST_AT..FIRST_AT + 4].copy_from_slice(&self.constants());
        call
    }

    /// What is worth measuring for a call on a device with such subgroups.
    pub fn candidates(call: &Dispatch, subgroup: u32) -> Vec<Self> {
        let own = Self::of_call(call);
        let rows = rows_of(call);
        let chunks = call.specialization[COLS_AT].div_ceil(chunk_len(dtype_of(call.kernel.name)));
        let mut found = Vec::new();
        for (local_size, lane_rows, steps) in
            [(256, 2, 1), (256, 2, 2), (256, 4, 1), (256, 2, 4), (512, 2, 1), (512, 2, 2), (512, 4, 1)]
        {
            let k_subgroups = chunks.div_ceil(own.k_lanes * steps).next_power_of_two().min(local_size / subgroup);
            let shape = Self { local_size, lane_rows, k_subgroups, ..own };
            for many in [u64::MAX, 2 * MANY, MANY / 2] {
                let blocks = rows.div_ceil(many).div_ceil(shape.block_rows().into());
                let candidate = shape.with_blocks(blocks);
                if candidate.is_sound() && !found.contains(&candidate) {
                    found.push(candidate);
                }
            }
        }
        found
    }
}

/// What the best workgroup of a matvec call depends on besides the device, as text; `None` for other kernels, and where rows
/// choose experts: a trial has nobody who chooses, and one expert over and over would be measured from the card's caches.
pub fn tunable(call: &Dispatch) -> Option<String> {
    let name = call.kernel.name;
    (name.starts_with("matvec_") && call.specialization[SLOTS_AT] == 0).then(|| {
        let [cols, epilogue, norm, polls] = [COLS_AT, EPILOGUE_AT, NORM_AT, POLLS_AT].map(|at| call.specialization[at]);
        let how = if polls != 0 { " handed over" } else { "" };
        format!("{name} {}x{cols} epilogue {epilogue} norm {norm}{how}", rows_of(call))
    })
}
