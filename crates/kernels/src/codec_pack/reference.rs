//! The plain reference of `codec_pack`, summing in f64.

use crate::codec::{BandCounts, Place};
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let BandCounts { low, mid, high, anchors } = dispatch.params();
    let [low, anchors] = [low, anchors].map(|count| count as usize);
    let cells = (dispatch.specialization[1] as usize).pow(2);
    let omega = memory.read::<[f32; 2]>(dispatch.slice("omega"));
    let residual = memory.read::<[f32; 2]>(dispatch.slice("residual"));
    let signs = memory.read::<i32>(dispatch.slice("signs"));
    let places = memory.read::<u32>(dispatch.slice("places"));
    let mut z = memory.write::<f32>(dispatch.slice("z"));
    let scaled = |value: [f32; 2]| value.map(|part| f64::from(part) / cells as f64);
    let (mut mid_sum, mut high_sum) = (0.0, 0.0);
    for at in 0..cells {
        let mode = scaled(residual[at]);
        let energy = mode[0] * mode[0] + mode[1] * mode[1];
        match Place::of(places[at]) {
            Place::Low(index) => {
                let kept = scaled(omega[at]);
                z[index as usize] = kept[0] as f32;
                z[low + index as usize] = kept[1] as f32;
            }
            Place::Anchor(index) => {
                z[2 * low + 4 + index as usize] = mode[0] as f32;
                z[2 * low + 4 + anchors + index as usize] = mode[1] as f32;
            }
            Place::Mid => mid_sum += energy,
            Place::High => high_sum += energy,
        }
    }
    let mean = |sum: f64, count: u32| if count > 0 { (sum / f64::from(count)) as f32 } else { 0.0 };
    let structured = signs[..cells].iter().filter(|sign| **sign != 0).count();
    z[2 * low] = (structured as f64 / cells as f64) as f32;
    z[2 * low + 1] = mean(mid_sum, mid - anchors as u32);
    z[2 * low + 2] = mean(high_sum, high);
    z[2 * low + 3] = anchors as f32;
}
