//! How a step of all trajectories is shared out over workgroups: what there is to choose from, in the order of a rough model. The
//! choice changes how fast a step is, and no bit of what comes out.

use crate::DeviceTraits;
use crate::real::Operator;

/// The tile of a workgroup, and who holds what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Trajectories of an invocation.
    pub(super) rows: u32,
    /// Columns of an invocation, in quads.
    pub(super) quads: u32,
    /// Chunks of four rows of A that an invocation asks for before it waits.
    pub(super) depth: u32,
    /// Invocations along the trajectories of a tile.
    pub(super) lanes_r: u32,
    /// Invocations along its columns.
    pub(super) lanes_c: u32,
    /// Invocations that share each sum of it.
    pub(super) parts: u32,
}

impl std::fmt::Display for Tiling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [down, across] = self.tile();
        let Self { rows, quads, depth, parts, .. } = self;
        let own = 4 * quads;
        write!(f, "{down} x {across} in {parts} parts, {rows} x {own} an invocation, depth {depth}")
    }
}

/// Registers for what an invocation holds: rows, quads of columns, depth.
const HELD: [(u32, u32, u32); 9] =
    [(1, 1, 4), (1, 1, 2), (2, 1, 2), (2, 1, 1), (4, 1, 2), (4, 1, 1), (8, 1, 1), (4, 2, 1), (8, 2, 1)];
/// Workgroups that a card of today runs at once, one a core, in round numbers.
const CORES: u64 = 128;
/// Trajectories of a tile at the most.
const MOST_ROWS: u32 = 64;

impl Tiling {
    /// The tilings for `rows` trajectories that the device can run, the most promising first; all of them add the terms of a sum
    /// in the same order.
    pub fn all(operator: Operator, rows: u32, device: DeviceTraits) -> Vec<Self> {
        let mut parts = parts(operator, rows);
        loop {
            let mut found = Self::with_parts(operator, rows, parts, device);
            if !found.is_empty() {
                let cost = |tiling: &Self| tiling.clocks(operator, rows);
                found.sort_by(|one, other| cost(one).total_cmp(&cost(other)));
                return found;
            }
            // One invocation a tile fits everywhere.
            parts = (parts / 2).max(1);
        }
    }

    fn with_parts(operator: Operator, rows: u32, parts: u32, device: DeviceTraits) -> Vec<Self> {
        let powers = |most: u32| (0..=most.next_power_of_two().ilog2()).map(|exponent| 1 << exponent);
        let quads_there = operator.stride() / 4;
        let mut found = Vec::new();
        for (held_rows, quads, depth) in HELD {
            for lanes_r in powers(rows.min(MOST_ROWS).div_ceil(held_rows)) {
                for lanes_c in powers(quads_there.div_ceil(quads).min(256)) {
                    found.push(Self { rows: held_rows, quads, depth, lanes_r, lanes_c, parts });
                }
            }
        }
        found.retain(|tiling| {
            // No more of everything than there is work for.
            let fills = tiling.rows < 2 * rows && (tiling.quads == 1 || quads_there > 1);
            fills && tiling.fits(operator, device)
        });
        found
    }

    fn fits(&self, operator: Operator, device: DeviceTraits) -> bool {
        let registers = self.registers(operator);
        let invocations = self.invocations();
        // The registers of a core are shared by those of a workgroup: 65 536 on the cards that this was made for.
        invocations <= device.workgroup_invocations.min(1024)
            && invocations * registers <= 65536
            && registers <= 240
            && self.shared_bytes(operator) + 1024 <= u64::from(device.shared_memory_bytes)
    }

    /// Registers of an invocation, about.
    fn registers(&self, operator: Operator) -> u32 {
        let values = 4 * self.rows * self.quads + 4 * self.depth * (self.rows + 4 * self.quads);
        values * operator.real.words() + 2 * (self.rows + self.quads) + 16
    }

    fn shared_bytes(&self, operator: Operator) -> u64 {
        let sums = self.parts.div_ceil(2) * self.lanes_r * self.lanes_c * self.rows * self.quads * 4;
        u64::from(sums) * operator.real.bytes()
    }

    /// Trajectories and columns of a workgroup.
    fn tile(&self) -> [u32; 2] {
        [self.lanes_r * self.rows, self.lanes_c * self.quads * 4]
    }

    /// Invocations of a workgroup: whole subgroups of any device.
    pub(super) fn invocations(&self) -> u32 {
        (self.lanes_r * self.lanes_c * self.parts).next_multiple_of(64)
    }

    /// Workgroups along the columns, and along the trajectories.
    pub(super) fn groups(&self, operator: Operator, rows: u32) -> [u32; 2] {
        let [down, across] = self.tile();
        [operator.stride().div_ceil(across), rows.div_ceil(down)]
    }

    /// What a step takes, in clocks of a core, by a rough model with an H200's numbers: the second-level cache gives a core 22 bytes a
    /// clock where all ask it and 32 where few do, a subgroup's load of 16 bytes takes 4 clocks of the load unit and answers after 600, a core multiplies 128
    /// values a clock, and its shared memory moves 128 bytes. Only the order counts: the first few are measured.
    fn clocks(&self, operator: Operator, rows: u32) -> f64 {
        let words = f64::from(operator.real.words());
        let [across, down] = self.groups(operator, rows).map(u64::from);
        let (groups, warps) = (across * down, f64::from(self.invocations().div_ceil(32)));
        let a_core = groups.div_ceil(CORES) as f64;
        let turns = (f64::from(operator.dim / 4) / f64::from(self.parts)).ceil().max(1.0);
        let loads = f64::from(self.rows + 4 * self.quads) * 4.0 * words;
        let products = f64::from(16 * self.rows * self.quads) * words;
        let [tile_rows, tile_columns] = self.tile().map(f64::from);
        let bytes = f64::from(operator.dim) * (tile_rows + tile_columns.max(8.0)) * 4.0 * words;
        let cache = (bytes * groups as f64 / (22.0 * CORES as f64)).max(bytes * a_core / 32.0);
        let load_unit = a_core * warps * turns * loads;
        let multiplying = a_core * warps * turns * products / 4.0;
        let invocations = self.invocations() * self.registers(operator);
        let at_once = f64::from((65536 / invocations).max(1)).min(a_core);
        let depth = f64::from(self.depth);
        let waiting =
            (a_core / at_once).ceil() * (turns / depth).ceil() * (600.0 + depth * (loads + products));
        let adding = a_core * f64::from(self.parts - 1) * tile_rows * tile_columns * 8.0 * words / 128.0;
        // What does not bind still costs a little.
        let bounds = [cache, load_unit, multiplying, waiting];
        bounds.iter().fold(0.0f64, |most, bound| most.max(*bound)) + 0.1 * bounds.iter().sum::<f64>() + adding
    }
}

/// Invocations that share a sum: so many that the cores are busy, by the shape alone.
fn parts(operator: Operator, rows: u32) -> u32 {
    let held = 4 * u64::from(rows.next_power_of_two().min(8));
    let invocations = CORES * if held <= 8 { 1024 } else { 512 };
    let wanted = (invocations * held / (u64::from(rows) * u64::from(operator.stride()))).max(1);
    let most = 128 / (held / 4).min(4);
    let chunks = (operator.dim / 4).max(1).next_power_of_two();
    // The next lower power of two.
    (1 << wanted.ilog2()).min(most as u32).min(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::RealType;
    use crate::testing::H200;

    #[test]
    fn every_shape_has_a_tiling_on_every_device() {
        for device in [DeviceTraits::LEAST, H200] {
            for real in [RealType::F32, RealType::F64] {
                for (dim, rows) in
                    [(1, 1), (3, 5), (654, 64), (1024, 2), (4096, 1), (16384, 1), (16384, 3000)]
                {
                    let operator = Operator { real, dim };
                    let all = Tiling::all(operator, rows, device);
                    assert!(
                        all.iter()
                            .all(|tiling| tiling.parts == all[0].parts && tiling.fits(operator, device))
                    );
                }
            }
        }
    }

    /// A core needs tens of kilobytes under way, and the cores all something to do.
    #[test]
    fn large_operators_fill_the_card() {
        for dim in [2048, 4096, 8192, 16384] {
            let operator = Operator { real: RealType::F32, dim };
            let best = Tiling::all(operator, 1, H200)[0];
            let [across, _] = best.groups(operator, 1);
            let under_way = best.invocations() * best.depth * 4 * 16;
            assert!(across >= 128 && under_way >= 32 << 10, "{dim}: {best}");
        }
    }

    #[test]
    fn batches_fill_the_card() {
        for (dim, rows) in [(512, 64), (1024, 64), (2048, 64), (4096, 64), (1024, 8)] {
            let operator = Operator { real: RealType::F32, dim };
            for best in &Tiling::all(operator, rows, H200)[..4] {
                let groups: u32 = best.groups(operator, rows).iter().product();
                assert!((64..=1100).contains(&groups), "{rows} x {dim}: {groups} of {best}");
            }
        }
    }
}
