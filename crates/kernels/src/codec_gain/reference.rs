//! The plain reference of `codec_gain`, summing in f64.

use crate::codec::BandCounts;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let counts: BandCounts = dispatch.params();
    let cells = (dispatch.specialization[1] as usize).pow(2);
    let z = memory.read::<f32>(dispatch.slice("z"));
    let fields = memory.read::<[f32; 2]>(dispatch.slice("fields"));
    let signs = memory.read::<i32>(dispatch.slice("signs"));
    let mut gains = memory.write::<f32>(dispatch.slice("gains"));
    let header = &z[2 * counts.low as usize..];
    let modes = [counts.mid - counts.kept_anchors(header[3]), counts.high];
    for band in 0..2 {
        let open = (0..cells).filter(|at| signs[*at] != 0);
        let sum: f64 = open.map(|at| f64::from(fields[(2 + band) * cells + at][0]).powi(2)).sum();
        let (mean, energy) = (sum / cells as f64, f64::from(header[1 + band]));
        let scaled = energy > 0.0 && mean > 1e-30;
        gains[band] = if scaled { (f64::from(modes[band]) * energy / mean).sqrt() as f32 } else { 1.0 };
    }
}
