//! How a matvec call is shared out over invocations: what is chosen without measuring, what there is to choose from, and calls
//! with another choice. It changes how fast a product is there, and in which order its terms are added up.

use crate::linear::{Linear, is_gated, rows_of};
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
const X_PLANES_AT: usize = 14;
const Y_PLANES_AT: usize = 15;

/// Workgroups that keep a large card busy: four for each of the 132 cores of an H200.
const MANY: u64 = 512;
/// Rows of y, as planes, that a workgroup makes at least: whole groups.
const PLANES_ROWS: u32 = 32;

/// What decides how a call is shared out.
struct Job {
    /// Rows of the matrix.
    rows: u64,
    /// Chunks in a row.
    chunks: u32,
    /// Whether x is quantised, which costs a workgroup as much as some rows.
    quantises: bool,
    /// Rows of a workgroup are a multiple of this.
    multiple: u32,
    /// Invocations of a subgroup.
    subgroup: u32,
}

impl Job {
    /// Shared out so that an invocation owns at most `steps` chunks of a row, or as many as it must, and about `subgroups`
    /// subgroups make a workgroup.
    fn shared_out(&self, steps: u32, lane_rows: u32, subgroups: u32) -> Workgroup {
        let k_lanes = self.subgroup.min(self.chunks.next_power_of_two());
        let most = LARGEST / self.subgroup;
        let k_subgroups = self.chunks.div_ceil(k_lanes * steps).min(most);
        let row_subgroups = (subgroups / k_subgroups).clamp(1, most / k_subgroups);
        let local_size = k_subgroups * row_subgroups * self.subgroup;
        let block = row_subgroups * (self.subgroup / k_lanes) * lane_rows;
        let wanted = if self.quantises { self.rows.div_ceil(MANY).min(local_size.into()) as u32 } else { 1 };
        let rows = block.next_multiple_of(self.multiple);
        let rows = rows * (wanted / rows).max(1);
        Workgroup {
            local_size,
            lane_rows,
            k_lanes,
            k_subgroups,
            rows: rows.min(local_size / self.multiple * self.multiple),
        }
    }
}

/// Invocations of a workgroup at most.
const LARGEST: u32 = 512;

impl Workgroup {
    /// The choice without measuring, for rows of `chunks` chunks, on an H200 the best for most shapes: see docs/performance.md.
    pub(super) fn of(layer: &Linear, call: Traits, device: DeviceTraits) -> Self {
        let Traits { int16, polls, makes_planes, reads_planes } = call;
        let gated = layer.epilogue.is_gated();
        let job = Job {
            rows: layer.features() * u64::from(layer.y_rows(1)),
            chunks: layer.layout.cols.div_ceil(chunk_len(layer.layout.dtype)),
            quantises: int16 && !reads_planes && !polls,
            multiple: if makes_planes { PLANES_ROWS } else { 1 } * if gated { 2 } else { 1 },
            subgroup: device.subgroup_size,
        };
        let steps = if int16 { 1 } else { 4 };
        // Workgroups that wait for x poll it, so there are few.
        let (lane_rows, subgroups) = if polls { (4, 16) } else { (2, 8) };
        job.shared_out(steps, lane_rows, 32 * subgroups / device.subgroup_size)
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
            && (1..=local_size).contains(&rows)
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
        let dtype = dtype_of(call.kernel.name);
        let int16 = call.kernel.name.ends_with("_int16");
        let job = Job {
            rows: rows_of(call),
            chunks: call.specialization[COLS_AT].div_ceil(chunk_len(dtype)),
            quantises: int16 && !super::reads_planes(call),
            multiple: Self::of_call(call).rows_multiple(call),
            subgroup,
        };
        let mut found = vec![Self::of_call(call)];
        for (steps, lane_rows, subgroups) in
            [(1, 2, 8), (1, 1, 8), (1, 2, 16), (1, 4, 8), (1, 4, 16), (2, 2, 8)]
        {
            let candidate = job.shared_out(steps, lane_rows, 32 * subgroups / subgroup);
            if !found.contains(&candidate) {
                found.push(candidate);
            }
        }
        found
    }

    /// What the rows of a call's workgroup must be a multiple of.
    fn rows_multiple(&self, call: &Dispatch) -> u32 {
        let pairs = if is_gated(call) { 2 } else { 1 };
        pairs * if call.specialization[Y_PLANES_AT] != 0 { PLANES_ROWS } else { 1 }
    }
}

/// What of a call besides its layer decides how it is shared out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) int16: bool,
    pub(super) polls: bool,
    pub(super) makes_planes: bool,
    pub(super) reads_planes: bool,
}

/// What the best workgroup of a matvec call depends on besides the device, as text; `None` for other kernels, and where rows
/// choose experts: a trial has nobody who chooses, and one expert over and over would be measured from the card's caches.
pub fn tunable(call: &Dispatch) -> Option<String> {
    let name = call.kernel.name;
    (name.starts_with("matvec_") && call.specialization[SLOTS_AT] == 0).then(|| {
        let at = |index: usize| call.specialization[index];
        let [cols, epilogue, norm] = [COLS_AT, EPILOGUE_AT, NORM_AT].map(at);
        let named = [(POLLS_AT, " handed over"), (X_PLANES_AT, " from planes"), (Y_PLANES_AT, " to planes")];
        let how: String =
            named.into_iter().filter(|(index, _)| at(*index) != 0).map(|(_, name)| name).collect();
        format!("{name} {}x{cols} epilogue {epilogue} norm {norm}{how}", rows_of(call))
    })
}
